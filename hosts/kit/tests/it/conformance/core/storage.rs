//! `Storage`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    Conn, Reach, Storage, StoreError, Tx,
    conformance::storage::{LINES, StoragePlace, StorageSubject as Subject, check},
    storage::TxConnection,
};
use saas_kit::{
    SystemClock,
    testing::{TestDatabase, TestEngine},
};
use saas_sql::{SqlStorage, execute, fetch_all, sqlx::SqlitePool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    conformance::{broken::assert_noticed, on_each_engine},
    engines::{open, options},
};

/// A database with a table of things.
#[derive(Debug)]
struct Place {
    database: TestDatabase,
    writers: u32,
    time_out: Duration,
}

impl Place {
    async fn new(engine: TestEngine, time_out: Duration) -> Self {
        let database = TestDatabase::create(engine).await;
        let mut tx = open(&database).await.begin(Reach::Platform("a test")).await.unwrap();
        execute!(tx.conn(), "CREATE TABLE things (name text NOT NULL)").unwrap();
        tx.commit().await.unwrap();
        let writers = if engine == TestEngine::Sqlite { 1 } else { 3 };
        Self { database, writers, time_out }
    }

    async fn sql(&self) -> SqlStorage {
        let mut options = options(&self.database);
        options.pool_size = 3;
        options.write_timeout = self.time_out;
        SqlStorage::open(&options).await.unwrap()
    }
}

#[async_trait]
impl StoragePlace for Place {
    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(self.sql().await)
    }

    async fn put(&self, conn: &mut Conn, key: &str) -> Result<(), StoreError> {
        execute!(conn, "INSERT INTO things (name) VALUES ($1)", key)?;
        Ok(())
    }

    async fn keys(&self, conn: &mut Conn) -> Result<Vec<String>, StoreError> {
        let names = fetch_all!(conn, (String,), "SELECT name FROM things LIMIT 100")?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    fn writers(&self) -> usize {
        self.writers as usize
    }

    fn time_out(&self) -> Duration {
        self.time_out
    }
}

async fn subject(engine: TestEngine) -> Subject {
    // Long enough for a slow disk that several wait for.
    let place = Place::new(engine, Duration::from_secs(2)).await;
    Subject::new(Arc::new(place), Arc::<SystemClock>::default())
}

on_each_engine!(saas_core::storage_conformance);

/// A place whose storage breaks one line of the contract.
#[derive(Debug)]
struct BrokenPlace(&'static str, Place);

#[async_trait]
impl StoragePlace for BrokenPlace {
    async fn open(&self) -> Arc<dyn Storage> {
        // A pool of readers that nothing keeps from writing.
        let pool = SqlitePool::connect(self.1.database.url()).await.unwrap();
        Arc::new(Broken {
            line: self.0,
            storage: self.1.sql().await,
            writable: SqlStorage::from_sqlite(pool.clone(), pool),
            alone: Arc::new(Semaphore::new(1)),
            late: Arc::default(),
        })
    }

    async fn put(&self, conn: &mut Conn, key: &str) -> Result<(), StoreError> {
        self.1.put(conn, key).await
    }

    async fn keys(&self, conn: &mut Conn) -> Result<Vec<String>, StoreError> {
        self.1.keys(conn).await
    }

    fn writers(&self) -> usize {
        self.1.writers()
    }

    fn time_out(&self) -> Duration {
        self.1.time_out()
    }
}

#[derive(Debug)]
struct Broken {
    line: &'static str,
    storage: SqlStorage,
    writable: SqlStorage,
    alone: Arc<Semaphore>,
    late: Arc<Mutex<Vec<Tx>>>,
}

#[async_trait]
impl Storage for Broken {
    async fn read(&self, reach: Reach) -> Result<Conn, StoreError> {
        match self.line {
            "a_connection_from_read_cannot_write" => self.writable.read(reach).await,
            _ => self.storage.read(reach).await,
        }
    }

    async fn begin(&self, reach: Reach) -> Result<Tx, StoreError> {
        Ok(Tx::new(match self.line {
            "a_transaction_is_seen_by_itself_alone_before_its_commit_and_by_everybody_after_it"
            | "dropping_a_transaction_undoes_all_of_it" => {
                BrokenTx::WritesAtOnce(self.writable.read(reach).await?)
            }
            "begin_waits_for_a_writer" => {
                let busy = |_| StoreError::Busy { holder: "another".to_owned() };
                let turn = Arc::clone(&self.alone).try_acquire_owned().map_err(busy)?;
                BrokenTx::Alone(self.storage.begin(reach).await?, turn)
            }
            "begin_gives_up_after_its_time_out_so_that_a_nested_one_never_hangs" => loop {
                match self.storage.begin(reach).await {
                    Err(StoreError::Busy { .. }) => {}
                    begun => return begun,
                }
            },
            "effects_run_in_their_order_after_the_commit_and_not_after_a_roll_back" => {
                BrokenTx::RollsBack(self.storage.begin(reach).await?)
            }
            "after_a_crash_a_transaction_is_there_whole_or_not_at_all" => {
                BrokenTx::CommitsLate(self.storage.begin(reach).await?, Arc::clone(&self.late))
            }
            _ => return self.storage.begin(reach).await,
        }))
    }

    async fn begin_single(&self, reach: Reach) -> Result<Tx, StoreError> {
        let tx = self.storage.begin_single(reach).await?;
        Ok(match self.line {
            "what_one_statement_wrote_is_there_after_its_commit_and_its_effects_run_then" => {
                Tx::new(BrokenTx::RollsBack(tx))
            }
            _ => tx,
        })
    }
}

#[derive(Debug)]
enum BrokenTx {
    WritesAtOnce(Conn),
    Alone(Tx, OwnedSemaphorePermit),
    RollsBack(Tx),
    CommitsLate(Tx, Arc<Mutex<Vec<Tx>>>),
}

#[async_trait]
impl TxConnection for BrokenTx {
    fn conn(&mut self) -> &mut Conn {
        match self {
            Self::WritesAtOnce(conn) => conn,
            Self::Alone(tx, _) | Self::RollsBack(tx) | Self::CommitsLate(tx, _) => tx.conn(),
        }
    }

    /// Says that it has committed, whatever it did.
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        match *self {
            Self::WritesAtOnce(_) | Self::RollsBack(_) => Ok(()),
            Self::Alone(tx, _turn) => tx.commit().await,
            Self::CommitsLate(tx, late) => {
                late.lock().unwrap().push(tx);
                Ok(())
            }
        }
    }
}

#[tokio::test]
async fn a_storage_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let place = Place::new(TestEngine::Sqlite, Duration::from_millis(300)).await;
        let subject = Subject::new(Arc::new(BrokenPlace(line, place)), Arc::<SystemClock>::default());
        assert_noticed(line, check(line, subject)).await;
    }
}
