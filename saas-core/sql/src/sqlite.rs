//! SQLite's side of the storage: one writer, a pool of readers that cannot write, and who holds the writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use saas_core::{Conn, Reach, StoreError, Tx};
use sqlx::{
    Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    OpenError, Released, SqlOptions, SqlStorage, Synchronous,
    conn::SqlConn,
    storage::{Pools, SqlTx, released},
};

impl SqlStorage {
    pub(crate) async fn open_sqlite(options: &SqlOptions) -> Result<Self, OpenError> {
        let connect: SqliteConnectOptions = options.url.parse().map_err(OpenError::Url)?;
        make_folder(connect.get_filename())?;
        let connect = connect
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(options.write_timeout)
            .synchronous(match options.synchronous {
                Synchronous::Full => SqliteSynchronous::Full,
                Synchronous::Normal => SqliteSynchronous::Normal,
            });
        // The writer first: it makes the file and turns WAL on, which a query-only connection may not.
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(options.write_timeout)
            .connect_with(connect.clone())
            .await
            .map_err(OpenError::Connect)?;
        let read = SqlitePoolOptions::new()
            .max_connections(options.pool_size)
            .acquire_timeout(options.pool_timeout)
            .connect_lazy_with(connect.pragma("query_only", "ON"));
        Ok(Self::from_sqlite(read, write))
    }

    /// Takes an embedder's pools: `read` opened with `PRAGMA query_only = ON`, `write` with one connection, both with
    /// `PRAGMA foreign_keys = ON`, on one file in WAL mode. `write`'s acquire time-out bounds how long `begin` waits.
    pub fn from_sqlite(read: SqlitePool, write: SqlitePool) -> Self {
        Self { pools: Pools::Sqlite { read, write, writer: Writer::default() } }
    }

    /// Makes a [`Tx`] of an embedder's transaction, so that our commands can join it.
    pub fn adopt_sqlite(&self, transaction: Transaction<'static, Sqlite>) -> Tx {
        Tx::new(SqlTx(Conn::new(SqlConn::SqliteTx(transaction, None))))
    }

    /// Hands the transaction of an adopted (or begun) [`Tx`] back, uncommitted.
    pub fn release_sqlite(&self, tx: Tx) -> Result<Released<Transaction<'static, Sqlite>>, StoreError> {
        match released(tx)? {
            (SqlConn::SqliteTx(transaction, _), after_commit) => Ok(Released { transaction, after_commit }),
            _ => Err(StoreError::ForeignConnection),
        }
    }
}

/// SQLite has one writer; this remembers who holds it, for the error of who waits in vain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer(Arc<Mutex<Option<Reach>>>);

/// Held as long as the transaction.
#[derive(Debug)]
pub(crate) struct WriterLease(Writer);

impl Writer {
    pub(crate) fn lease(&self, reach: Reach) -> WriterLease {
        self.set(Some(reach));
        WriterLease(self.clone())
    }

    fn set(&self, reach: Option<Reach>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reach;
    }

    pub(crate) fn holder(&self) -> String {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Reach::Platform(why)) => format!("the transaction for \"{why}\""),
            Some(Reach::Tenant(tenant)) => format!("a transaction of tenant {tenant}"),
            None => "an adopted transaction".to_owned(),
        }
    }
}

impl Drop for WriterLease {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Makes the folder of a database file, open to its owner alone.
fn make_folder(file: &Path) -> Result<(), OpenError> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| OpenError::Folder(folder.display().to_string(), error))
}
