//! SQL written once, run on whichever engine the connection belongs to.
//!
//! One macro per set of features: a `cfg` inside an exported macro would be evaluated in the caller's crate.

/// How many rows a statement changed, on either engine.
pub trait RowsAffected {
    /// The number.
    fn rows(&self) -> u64;
}

#[cfg(feature = "postgres")]
impl RowsAffected for sqlx::postgres::PgQueryResult {
    fn rows(&self) -> u64 {
        self.rows_affected()
    }
}

#[cfg(feature = "sqlite")]
impl RowsAffected for sqlx::sqlite::SqliteQueryResult {
    fn rows(&self) -> u64 {
        self.rows_affected()
    }
}

/// Runs the same future on either engine's connection: `sql!(conn, |c| query.fetch_one(c))`, with a `Result<_, SqlError>`.
///
/// The dialect is what both engines share: `$1` placeholders, `RETURNING`, `ON CONFLICT`; typed binds (`Uuid`, `DateTime<Utc>` cut to
/// microseconds, `i64`, `bool`, `&str`, `&[u8]`); no arrays, no `now()`, no data-modifying CTE; a cast around `SUM` of integers.
#[cfg(all(feature = "postgres", feature = "sqlite"))]
#[macro_export]
macro_rules! sql {
    ($conn:expr, |$c:ident| $query:expr) => {
        match $crate::engine($conn) {
            Ok($crate::Engine::Postgres($c)) => $query.await.map_err($crate::SqlError::from),
            Ok($crate::Engine::Sqlite($c)) => $query.await.map_err($crate::SqlError::from),
            Err(error) => Err($crate::SqlError::from(error)),
        }
    };
}

/// Runs a future on PostgreSQL's connection: `sql!(conn, |c| query.fetch_one(c))`, with a `Result<_, SqlError>`.
#[cfg(all(feature = "postgres", not(feature = "sqlite")))]
#[macro_export]
macro_rules! sql {
    ($conn:expr, |$c:ident| $query:expr) => {
        match $crate::engine($conn) {
            Ok($crate::Engine::Postgres($c)) => $query.await.map_err($crate::SqlError::from),
            Err(error) => Err($crate::SqlError::from(error)),
        }
    };
}

/// Runs a future on SQLite's connection: `sql!(conn, |c| query.fetch_one(c))`, with a `Result<_, SqlError>`.
#[cfg(all(feature = "sqlite", not(feature = "postgres")))]
#[macro_export]
macro_rules! sql {
    ($conn:expr, |$c:ident| $query:expr) => {
        match $crate::engine($conn) {
            Ok($crate::Engine::Sqlite($c)) => $query.await.map_err($crate::SqlError::from),
            Err(error) => Err($crate::SqlError::from(error)),
        }
    };
}

/// The one row, or none: `fetch_optional!(conn, Row, "SELECT …", bind, …)`.
#[macro_export]
macro_rules! fetch_optional {
    ($conn:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::sql!($conn, |c| $crate::sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_optional(c))
    };
}

/// The one row: `fetch_one!(conn, Row, "SELECT …", bind, …)`.
#[macro_export]
macro_rules! fetch_one {
    ($conn:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::sql!($conn, |c| $crate::sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_one(c))
    };
}

/// All rows of a query that has a `LIMIT`: `fetch_all!(conn, Row, "SELECT …", bind, …)`.
#[macro_export]
macro_rules! fetch_all {
    ($conn:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::sql!($conn, |c| $crate::sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_all(c))
    };
}

/// How many rows a statement changed: `execute!(conn, "UPDATE …", bind, …)`.
#[macro_export]
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::sql!($conn, |c| async {
            $crate::sqlx::query($sql)$(.bind($bind))*.execute(c).await.map(|done| $crate::RowsAffected::rows(&done))
        })
    };
}
