//! What sqlx reports, sorted by what a caller can do.

use saas_core::StoreError;
use sqlx::error::DatabaseError;

/// A failed statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The connection was not ours.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's answer.
    #[error("the statement failed")]
    Sqlx(#[from] sqlx::Error),
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Store(error) => error,
            SqlError::Sqlx(error) => sorted(error),
        }
    }
}

/// Puts an engine's error where a caller can act on it.
pub(crate) fn sorted(error: sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    match &error {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
            StoreError::Unavailable(error.into())
        }
        // A connection that ends before the server has said whether it takes TLS, as through a proxy whose server is away, is that to sqlx.
        E::Protocol(_) => StoreError::Unavailable(error.into()),
        E::Database(database) => match passing(&**database) {
            Some(Passing::Away) => StoreError::Unavailable(error.into()),
            Some(Passing::Contended) => StoreError::Contended(error.into()),
            None => StoreError::Backend(error.into()),
        },
        _ => StoreError::Backend(error.into()),
    }
}

/// Whether somebody else was in between.
#[cfg(feature = "sqlite")]
pub(crate) fn is_contended(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| matches!(passing(error), Some(Passing::Contended)))
}

enum Passing {
    Away,
    Contended,
}

/// What passes by itself. A SQLSTATE has five characters, SQLite's codes have fewer.
fn passing(error: &dyn DatabaseError) -> Option<Passing> {
    let code = error.code()?;
    if code.len() == 5 { of_sqlstate(&code) } else { of_sqlite(code.parse().ok()?) }
}

/// PostgreSQL's manual, appendix A.
fn of_sqlstate(state: &str) -> Option<Passing> {
    match state {
        // Serialization failure, deadlock, lock time-out, statement time-out.
        "40001" | "40P01" | "55P03" | "57014" => Some(Passing::Contended),
        // Shutting down or starting, too many connections, connection exceptions.
        _ if ["57P", "53", "08"].iter().any(|class| state.starts_with(class)) => Some(Passing::Away),
        _ => None,
    }
}

/// sqlite.org/rescode.html; the low byte of an extended code is the primary one.
fn of_sqlite(code: u32) -> Option<Passing> {
    match code & 0xff {
        // BUSY, LOCKED.
        5 | 6 => Some(Passing::Contended),
        // IOERR, FULL, CANTOPEN.
        10 | 13 | 14 => Some(Passing::Away),
        _ => None,
    }
}
