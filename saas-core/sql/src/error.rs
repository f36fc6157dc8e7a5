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
        E::Database(database) => match passing(&**database) {
            Some(Passing::Away) => StoreError::Unavailable(error.into()),
            Some(Passing::Contended) => StoreError::Contended(error.into()),
            None => StoreError::Backend(error.into()),
        },
        _ => StoreError::Backend(error.into()),
    }
}

enum Passing {
    Away,
    Contended,
}

/// SQLSTATE classes of PostgreSQL (appendix A of its manual) and result codes of SQLite (sqlite.org/rescode.html) that pass by
/// themselves.
fn passing(error: &dyn DatabaseError) -> Option<Passing> {
    let code = error.code()?;
    match &*code {
        // SQLite: BUSY and LOCKED, plain and extended.
        "5" | "6" | "261" | "262" | "517" | "518" | "773" => Some(Passing::Contended),
        // SQLite: IOERR family, FULL, CANTOPEN.
        "10" | "13" | "14" => Some(Passing::Away),
        // PostgreSQL: serialization failure, deadlock, lock time-out, statement time-out.
        "40001" | "40P01" | "55P03" | "57014" => Some(Passing::Contended),
        // PostgreSQL: shutting down or starting, too many connections, connection exceptions.
        state if state.len() == 5 && ["57P", "53", "08"].iter().any(|class| state.starts_with(class)) => {
            Some(Passing::Away)
        }
        _ => None,
    }
}
