//! The storage of either engine.

use std::sync::Arc;

use async_trait::async_trait;
use saas_core::{
    Conn, Reach, Storage, StoreError, Tx,
    storage::{AfterCommit, TxConnection},
};
#[cfg(feature = "postgres")]
use sqlx::PgPool;
#[cfg(feature = "sqlite")]
use sqlx::SqlitePool;

#[cfg(feature = "postgres")]
use crate::postgres::{Singles, all_taken, ping_anew};
#[cfg(feature = "sqlite")]
use crate::sqlite::Writer;
use crate::{EngineKind, SqlOptions, conn::SqlConn, error::sorted, execute, measures::Measures};

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
    /// SQLite's file could not be made.
    #[error("the database file {0} could not be made")]
    File(String, #[source] std::io::Error),
    /// Nothing answers there, or it refuses.
    #[error("the database did not answer")]
    Connect(#[source] sqlx::Error),
}

/// [`Storage`] over one database. Cloning shares its pools.
#[derive(Debug, Clone)]
pub struct SqlStorage {
    pub(crate) pools: Pools,
    measures: Arc<Measures>,
}

#[derive(Debug, Clone)]
pub(crate) enum Pools {
    #[cfg(feature = "postgres")]
    Postgres { read: PgPool, write: PgPool, singles: Singles },
    #[cfg(feature = "sqlite")]
    Sqlite { read: SqlitePool, write: SqlitePool, writer: Writer },
}

/// sqlx's transaction, handed back, and the effects that wait for its commit: run them after it.
#[must_use = "the transaction rolls back when it is dropped"]
pub struct Released<T> {
    /// The transaction; whoever owns it commits it.
    pub transaction: T,
    /// What [`Tx::after_commit`] kept: run each after the commit. Dropping these delays work until the next poll, and this process lets
    /// a session that ended in the transaction in until it hears of the end as other processes do.
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

    pub(crate) fn over(pools: Pools) -> Self {
        Self { pools, measures: Arc::new(Measures::new()) }
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

    /// Answers when a statement runs and a transaction begins, so that readiness means something. A busy writer is a working one.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut conn = self.read(Reach::Platform("health")).await?;
        execute!(&mut conn, "SELECT 1")?;
        match self.begin(Reach::Platform("health")).await {
            // Ended in words: one that is dropped is rolled back by whoever gets the connection next.
            Ok(tx) => tx.commit().await,
            Err(StoreError::Busy { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody has every connection that a pool may have. Who waits for one then knows nothing of the server.
    pub fn is_full(&self) -> bool {
        match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { read, write, .. } => all_taken(read) || all_taken(write),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => false,
        }
    }

    /// Answers when the server does, on a connection beside the pools: for when they are [full](Self::is_full).
    pub async fn ping_beside(&self) -> Result<(), StoreError> {
        match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { write, .. } => ping_anew(&write.connect_options()).await.map_err(sorted),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => self.ping().await,
        }
    }

    /// Ends idle connections and waits for the busy ones.
    pub async fn close(&self) {
        match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { read, write, .. } => {
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
}

#[async_trait]
impl Storage for SqlStorage {
    async fn read(&self, _reach: Reach) -> Result<Conn, StoreError> {
        let conn = match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { read, .. } => read.acquire().await.map(SqlConn::Pg),
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { read, .. } => read.acquire().await.map(SqlConn::Sqlite),
        };
        conn.map(Conn::new).inspect_err(|error| self.measures.not_read(error)).map_err(sorted)
    }

    async fn begin(&self, reach: Reach) -> Result<Tx, StoreError> {
        let conn = self.measures.waiting(self.transaction(reach)).await?;
        Ok(Tx::new(SqlTx(Conn::new(conn))))
    }

    async fn begin_single(&self, reach: Reach) -> Result<Tx, StoreError> {
        match &self.pools {
            #[cfg(feature = "postgres")]
            Pools::Postgres { write, singles, .. } if singles.are_safe() => {
                let conn = async { write.acquire().await.map_err(|error| not_begun(write, error)) };
                let conn = self.measures.waiting(conn).await?;
                Ok(Tx::new(SqlTx(Conn::new(SqlConn::Pg(conn)))))
            }
            _ => self.begin(reach).await,
        }
    }
}

/// Why PostgreSQL gave no connection to write on.
#[cfg(feature = "postgres")]
fn not_begun(write: &PgPool, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut if all_taken(write) => {
            StoreError::Busy { holder: format!("one of the pool's {} connections", write.size()) }
        }
        error => sorted(error),
    }
}

impl SqlStorage {
    async fn transaction(&self, reach: Reach) -> Result<SqlConn, StoreError> {
        #[cfg(not(feature = "sqlite"))]
        let _ = reach;
        Ok(match &self.pools {
            #[cfg(feature = "postgres")]
            // A commit that says "done" and a crash right after must agree on what is there.
            Pools::Postgres { write, singles, .. } => {
                let beginning = singles.begin();
                let begun = write.begin().await;
                beginning.answered();
                SqlConn::PgTx(begun.map_err(|error| not_begun(write, error))?)
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
        })
    }
}

/// What this crate puts into a [`Tx`].
#[derive(Debug)]
pub(crate) struct SqlTx(pub(crate) Conn);

#[async_trait]
impl TxConnection for SqlTx {
    fn conn(&mut self) -> &mut Conn {
        &mut self.0
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        match self.0.downcast::<SqlConn>()? {
            #[cfg(feature = "postgres")]
            SqlConn::PgTx(tx) => tx.commit().await.map_err(sorted),
            // A single statement has committed itself.
            #[cfg(feature = "postgres")]
            SqlConn::Pg(_) => Ok(()),
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

pub(crate) fn released(tx: Tx) -> Result<(SqlConn, Vec<AfterCommit>), StoreError> {
    let (inner, after_commit) = tx.into_parts();
    let any: Box<dyn std::any::Any> = inner;
    let tx = any.downcast::<SqlTx>().map_err(|_| StoreError::ForeignConnection)?;
    Ok((tx.0.downcast::<SqlConn>()?, after_commit))
}
