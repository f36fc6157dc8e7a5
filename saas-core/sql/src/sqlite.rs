//! SQLite's side of the storage: one writer, a pool of readers that cannot write, and who holds the writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use saas_core::{Conn, Reach, StoreError, Tx};
use sqlx::{
    ConnectOptions, Connection, Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    OpenError, Released, SqlOptions, SqlStorage, Synchronous,
    conn::SqlConn,
    error::is_contended,
    storage::{Pools, SqlTx, released},
};

impl SqlStorage {
    pub(crate) async fn open_sqlite(options: &SqlOptions) -> Result<Self, OpenError> {
        let connect: SqliteConnectOptions = options.url.parse().map_err(OpenError::Url)?;
        make_folder(connect.get_filename())?;
        make_file(connect.get_filename())?;
        let connect = connect
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(options.write_timeout)
            .synchronous(match options.synchronous {
                Synchronous::Full => SqliteSynchronous::Full,
                Synchronous::Normal => SqliteSynchronous::Normal,
            });
        // The writer first: it turns WAL on, which a query-only connection may not.
        // On a full disk SQLite rolls back by itself, and sqlx goes on believing in the transaction: such a connection is not used again.
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(options.write_timeout)
            .test_before_acquire(false)
            .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }));
        let write = connect_writer(write, &connect).await.map_err(OpenError::Connect)?;
        let read = SqlitePoolOptions::new()
            .max_connections(options.pool_size)
            .acquire_timeout(options.pool_timeout)
            // A file does not go away as a server's connection does: no statement is spent on asking.
            .test_before_acquire(false)
            .connect_lazy_with(connect.journal_mode(SqliteJournalMode::Wal).pragma("query_only", "ON"));
        Ok(Self::from_sqlite(read, write))
    }

    /// Takes an embedder's pools: `read` opened with `PRAGMA query_only = ON`, `write` with one connection, both with
    /// `PRAGMA foreign_keys = ON`, on one file in WAL mode. `write`'s acquire time-out bounds how long `begin` waits,
    /// and a connection of it that says `is_in_transaction` when it is acquired should be closed: SQLite rolls back by itself when the
    /// disk is full, and sqlx 0.9 does not notice.
    pub fn from_sqlite(read: SqlitePool, write: SqlitePool) -> Self {
        Self::over(Pools::Sqlite { read, write, writer: Writer::default() })
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

/// How often turning WAL on is tried while other processes are at it too.
const WAL_TRIES: usize = 20;

/// Of several processes that turn WAL on in a new file, SQLite tells some at once that the file is busy, whatever the time-out: they
/// queue for the writer, where it does wait, and try again.
async fn connect_writer(
    pool: SqlitePoolOptions,
    connect: &SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    let wal = connect.clone().journal_mode(SqliteJournalMode::Wal);
    for _ in 1..WAL_TRIES {
        match pool.clone().connect_with(wal.clone()).await {
            Err(error) if is_contended(&error) => drop(queue_for_writer(connect).await),
            done => return done,
        }
    }
    pool.connect_with(wal).await
}

async fn queue_for_writer(connect: &SqliteConnectOptions) -> Result<(), sqlx::Error> {
    let mut conn = connect.connect().await?;
    sqlx::raw_sql("BEGIN IMMEDIATE; COMMIT").execute(&mut conn).await?;
    conn.close().await
}

/// SQLite has one writer; this remembers who holds it, for the error of who waits in vain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer(Arc<Mutex<Holder>>);

#[derive(Debug, Default)]
struct Holder {
    lease: u64,
    reach: Option<Reach>,
}

/// Held as long as the transaction.
#[derive(Debug)]
pub(crate) struct WriterLease(Writer, u64);

impl Writer {
    pub(crate) fn lease(&self, reach: Reach) -> WriterLease {
        let mut holder = self.lock();
        holder.lease += 1;
        holder.reach = Some(reach);
        WriterLease(self.clone(), holder.lease)
    }

    fn lock(&self) -> MutexGuard<'_, Holder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn holder(&self) -> String {
        match self.lock().reach {
            Some(Reach::Platform(why)) => format!("the transaction for \"{why}\""),
            Some(Reach::Tenant(tenant)) => format!("a transaction of tenant {tenant}"),
            None => "an adopted transaction or another process".to_owned(),
        }
    }
}

impl Drop for WriterLease {
    fn drop(&mut self) {
        let mut holder = self.0.lock();
        // The connection may be the next one's already.
        if holder.lease == self.1 {
            holder.reach = None;
        }
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

/// Makes a database file, open to its owner alone; SQLite gives the files beside it the same mode.
fn make_file(file: &Path) -> Result<(), OpenError> {
    // sqlx's name for a database in memory is a URI.
    if file.to_string_lossy().starts_with("file:") {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(OpenError::File(file.display().to_string(), error))
        }
        _ => Ok(()),
    }
}
