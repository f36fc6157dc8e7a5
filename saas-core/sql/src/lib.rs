//! [`Storage`](saas_core::Storage) over SQLite and PostgreSQL, picked by URL.
//!
//! Every table of ours begins with `saas_`; whatever else lives in the database is not touched. SQL is written once for both engines
//! (see [`sql!`]); migrations are embedded, one folder per engine, and the two schemas are compared by a test. It is no query builder
//! and no ORM: [`sqlx`] is re-exported, and its connections are lent to whoever has tables of their own ([`pg`], [`sqlite`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use saas_core::{Reach, Storage};
//! use saas_sql::{SqlOptions, SqlStorage};
//!
//! let storage = SqlStorage::open(&SqlOptions::new("sqlite:./var/saas.db")?).await?;
//! let mut tx = storage.begin(Reach::Platform("example")).await?;
//! saas_sql::execute!(tx.conn(), "DELETE FROM saas_secrets WHERE name = $1", "old")?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```

mod audit;
mod conn;
mod envelopes;
mod error;
mod event_log;
mod jobs;
mod measures;
pub mod migrate;
mod once;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod retention;
pub mod root_key;
pub mod schema;
mod sealed;
mod signals;
#[cfg(feature = "sqlite")]
mod sqlite;
mod storage;

pub use audit::SqlAudit;
#[cfg(feature = "postgres")]
pub use conn::pg;
#[cfg(feature = "sqlite")]
pub use conn::sqlite;
pub use conn::{Engine, engine};
pub use envelopes::{EnvelopedColumn, Reencrypted, Reencryption};
pub use error::SqlError;
pub use event_log::SqlEventLog;
pub use jobs::SqlJobs;
pub use measures::PoolStatus;
pub use migrate::{Component, MigrateError, Migration, MigrationStatus};
pub use once::RowsAffected;
pub use options::{EngineKind, InvalidDatabaseUrl, SqlOptions, Synchronous};
pub use retention::{Keep, Purge, RETENTION, Retention};
pub use root_key::{InvalidRootKey, RootKey, RootKeyError};
pub use sealed::SealedSecrets;
pub use signals::Signals;
pub use sqlx;
pub use storage::{OpenError, Released, SqlStorage};

/// This crate's own tables: the migrations' ledger's neighbours, sealed secrets, the deployment's identity, event streams, jobs and the audit log.
pub const CORE: Component = component!(
    "core",
    [
        (1, 1, "0001_secrets"),
        (2, 1, "0002_events"),
        (3, 1, "0003_jobs"),
        (4, 1, "0004_audit"),
        (5, 1, "0005_trimmed_events"),
        (6, 1, "0006_dead_jobs")
    ]
);
