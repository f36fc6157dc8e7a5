//! Pools, transactions, and who holds SQLite's writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    Conn, Reach, Storage, StoreError, Tx,
    storage::{AfterCommit, TxConnection},
};
use sqlx::Transaction;
#[cfg(feature = "postgres")]
use sqlx::{
    PgPool, Postgres,
    postgres::{PgConnectOptions, PgPoolOptions},
};
#[cfg(feature = "sqlite")]
use sqlx::{
    Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{EngineKind, SqlOptions, Synchronous, conn::SqlConn, error::sorted, execute};

/// A database that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one.
    #[error("the database URL is not valid")]
    Url(#[source] sqlx::Error),
    /// The folder for SQLite's file could not be made.
    #[error("the folder {0} for the database could not be made")]
    Folder(String, #[source] std::io::Error),
    /// Nothing answers there, or it refuses.
    #[error("the database did not answer")]
    Connect(#[source] sqlx::Error),
}

/// [`Storage`] over one database. Cloning shares its pools.
#[derive(Debug, Clone)]
pub struct SqlStorage {
    pools: Pools,
}

#[derive(Debug, Clone)]
enum Pools {
    #[cfg(feature = "postgres")]
    Postgres { read: PgPool, write: PgPool },
    #[cfg(feature = "sqlite")]
    Sqlite { read: SqlitePool, write: SqlitePool, writer: Writer },
}

/// sqlx's transaction, handed back, and the effects that wait for its commit: run them after it.
pub struct Released<T> {
    /// The transaction; whoever owns it commits it.
    pub transaction: T,
    /// What [`Tx::after_commit`] kept. Dropping these delays work until the next poll; it loses nothing.
    pub after_commit: Vec<AfterCommit>,
}

impl<T> std::fmt::Debug for Released<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Released").field("after_commit", &self.after_commit.len()).finish_non_exhaustive()
    }
}

impl SqlStorage {
    /// Opens the database of `options`; a missing SQLite file is made, readable by its owner alone.
    pub async fn open(options: &SqlOptions) -> Result<Self, OpenError> {
        match options.kind {
            #[cfg(feature = "sqlite")]
            EngineKind::Sqlite => Self::open_sqlite(options).await,
            #[cfg(feature = "postgres")]
            EngineKind::Postgres => Self::open_postgres(options).await,
            #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
            _ => unreachable!("SqlOptions::new refuses what is not built"),
        }
    }

    #[cfg(feature = "sqlite")]
    async fn open_sqlite(options: &SqlOptions) -> Result<Self, OpenError> {
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

    #[cfg(feature = "postgres")]
    async fn open_postgres(options: &SqlOptions) -> Result<Self, OpenError> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let connect: PgConnectOptions = options.url.parse().map_err(OpenError::Url)?;
        let connect = connect.application_name("saas").options([
            ("statement_timeout", millis(options.statement_timeout)),
            ("lock_timeout", millis(options.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(options.statement_timeout)),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.pool_size)
            .acquire_timeout(options.write_timeout)
            .connect_with(connect)
            .await
            .map_err(OpenError::Connect)?;
        Ok(Self::from_pg(pool))
    }

    /// Takes an embedder's pool for transactions; reads get a pool of their own with the same options, whose connections cannot write.
    #[cfg(feature = "postgres")]
    pub fn from_pg(write: PgPool) -> Self {
        let connect = (*write.connect_options()).clone().options([("default_transaction_read_only", "on")]);
        let read = PgPoolOptions::new()
            .max_connections(write.options().get_max_connections())
            .acquire_timeout(write.options().get_acquire_timeout())
            .connect_lazy_with(connect);
        Self { pools: Pools::Postgres { read, write } }
    }

    /// Takes an embedder's pools: `read` opened with `PRAGMA query_only = ON`, `write` with one connection, both with
    /// `PRAGMA foreign_keys = ON`, on one file in WAL mode. `write`'s acquire time-out bounds how long `begin` waits.
    #[cfg(feature = "sqlite")]
    pub fn from_sqlite(read: SqlitePool, write: SqlitePool) -> Self {
        Self { pools: Pools::Sqlite { read, write, writer: Writer::default() } }
    }

    /// Which engine it is.
    pub fn kind(&self) -> EngineKind {
        match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { .. } => EngineKind::Postgres,
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => EngineKind::Sqlite,
        }
    }

    /// Answers when a statement runs, so that readiness means something.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut conn = self.read(Reach::Platform("health")).await?;
        execute!(&mut conn, "SELECT 1")?;
        Ok(())
    }

    /// Ends idle connections and waits for the busy ones.
    pub async fn close(&self) {
        match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { read, write } => {
                read.close().await;
                write.close().await;
            }
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
        }
    }

    /// Makes a [`Tx`] of an embedder's transaction, so that our commands can join it.
    #[cfg(feature = "postgres")]
    pub fn adopt_pg(&self, transaction: Transaction<'static, Postgres>) -> Tx {
        Tx::new(SqlTx(Conn::new(SqlConn::PgTx(transaction))))
    }

    /// Makes a [`Tx`] of an embedder's transaction, so that our commands can join it.
    #[cfg(feature = "sqlite")]
    pub fn adopt_sqlite(&self, transaction: Transaction<'static, Sqlite>) -> Tx {
        Tx::new(SqlTx(Conn::new(SqlConn::SqliteTx(transaction, None))))
    }

    /// Hands the transaction of an adopted (or begun) [`Tx`] back, uncommitted.
    #[cfg(feature = "postgres")]
    pub fn release_pg(&self, tx: Tx) -> Result<Released<Transaction<'static, Postgres>>, StoreError> {
        match released(tx)? {
            (SqlConn::PgTx(transaction), after_commit) => Ok(Released { transaction, after_commit }),
            _ => Err(StoreError::ForeignConnection),
        }
    }

    /// Hands the transaction of an adopted (or begun) [`Tx`] back, uncommitted.
    #[cfg(feature = "sqlite")]
    pub fn release_sqlite(&self, tx: Tx) -> Result<Released<Transaction<'static, Sqlite>>, StoreError> {
        match released(tx)? {
            (SqlConn::SqliteTx(transaction, _), after_commit) => Ok(Released { transaction, after_commit }),
            _ => Err(StoreError::ForeignConnection),
        }
    }
}

#[async_trait]
impl Storage for SqlStorage {
    async fn read(&self, _reach: Reach) -> Result<Conn, StoreError> {
        Ok(Conn::new(match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { read, .. } => SqlConn::Pg(read.acquire().await.map_err(sorted)?),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { read, .. } => SqlConn::Sqlite(read.acquire().await.map_err(sorted)?),
        }))
    }

    async fn begin(&self, reach: Reach) -> Result<Tx, StoreError> {
        let conn = match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { write, .. } => {
                // A commit that says "done" and a crash right after must agree on what is there.
                SqlConn::PgTx(write.begin().await.map_err(sorted)?)
            }
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { write, writer, .. } => match write.begin_with("BEGIN IMMEDIATE").await {
                Ok(tx) => SqlConn::SqliteTx(tx, Some(writer.lease(reach))),
                Err(sqlx::Error::PoolTimedOut) => return Err(StoreError::Busy { holder: writer.holder() }),
                Err(error) => {
                    return Err(match sorted(error) {
                        StoreError::Contended(_) => StoreError::Busy { holder: "another process".to_owned() },
                        other => other,
                    });
                }
            },
        };
        #[cfg(not(feature = "sqlite"))]
        let _ = reach;
        Ok(Tx::new(SqlTx(Conn::new(conn))))
    }
}

/// What this crate puts into a [`Tx`].
#[derive(Debug)]
struct SqlTx(Conn);

#[async_trait]
impl TxConnection for SqlTx {
    fn conn(&mut self) -> &mut Conn {
        &mut self.0
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        match self.0.downcast::<SqlConn>()? {
            #[cfg(feature = "postgres")]
            SqlConn::PgTx(tx) => tx.commit().await.map_err(sorted),
            #[cfg(feature = "sqlite")]
            SqlConn::SqliteTx(tx, lease) => {
                let done = tx.commit().await.map_err(sorted);
                drop(lease);
                done
            }
            _ => Err(StoreError::ForeignConnection),
        }
    }
}

fn released(tx: Tx) -> Result<(SqlConn, Vec<AfterCommit>), StoreError> {
    let (inner, after_commit) = tx.into_parts();
    let any: Box<dyn std::any::Any> = inner;
    let tx = any.downcast::<SqlTx>().map_err(|_| StoreError::ForeignConnection)?;
    Ok((tx.0.downcast::<SqlConn>()?, after_commit))
}

/// SQLite has one writer; this remembers who holds it, for the error of who waits in vain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer(Arc<Mutex<Option<Reach>>>);

/// Held as long as the transaction.
#[derive(Debug)]
pub(crate) struct WriterLease(Writer);

impl Writer {
    fn lease(&self, reach: Reach) -> WriterLease {
        self.set(Some(reach));
        WriterLease(self.clone())
    }

    fn set(&self, reach: Option<Reach>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reach;
    }

    fn holder(&self) -> String {
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
#[cfg(feature = "sqlite")]
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
