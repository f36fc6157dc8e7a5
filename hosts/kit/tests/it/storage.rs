//! The contract of `Storage`, and how this adapter sorts its engines' errors.

use std::{
    net::TcpListener,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use saas_auth::UserStore;
use saas_auth_sql::SqlUsers;
use saas_core::{
    Conn, ErrorKind, Fault, Reach, Storage, StoreError, TenantId, Tx, UserId, storage::Connection,
};
use saas_kit::testing::{TestDatabase, TestEngine, TestSaas};
use saas_sql::{
    SqlStorage, execute, fetch_one,
    sqlx::postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Barrier, oneshot};

use crate::engines::{open, options};

const TEST: Reach = Reach::Platform("a test");

/// A database with a table of notes.
async fn notes(engine: TestEngine) -> (TestDatabase, SqlStorage) {
    let database = TestDatabase::create(engine).await;
    let storage = open(&database).await;
    let mut tx = storage.begin(TEST).await.unwrap();
    execute!(tx.conn(), "CREATE TABLE notes (writer bigint NOT NULL, body text NOT NULL UNIQUE)").unwrap();
    tx.commit().await.unwrap();
    (database, storage)
}

/// Opens it so that whoever waits in vain gives up soon.
async fn impatient(database: &TestDatabase) -> SqlStorage {
    let mut options = options(database);
    options.write_timeout = Duration::from_millis(300);
    SqlStorage::open(&options).await.unwrap()
}

async fn note(tx: &mut Tx, writer: i64, body: &str) {
    execute!(tx.conn(), "INSERT INTO notes (writer, body) VALUES ($1, $2)", writer, body).unwrap();
}

async fn count(conn: &mut Conn) -> i64 {
    fetch_one!(conn, (i64,), "SELECT COUNT(*) FROM notes").unwrap().0
}

/// How many notes somebody else sees.
async fn seen(storage: &SqlStorage) -> i64 {
    count(&mut storage.read(TEST).await.unwrap()).await
}

/// The writer is free: somebody can write and commit.
async fn assert_writable(storage: &SqlStorage) {
    let before = seen(storage).await;
    let mut tx = storage.begin(TEST).await.unwrap();
    note(&mut tx, -1, &format!("written after {before} others")).await;
    tx.commit().await.unwrap();
    assert_eq!(seen(storage).await, before + 1);
}

/// An adapter's connection that is not saas-sql's.
#[derive(Debug)]
struct Elsewhere(Option<Box<Conn>>);

impl Connection for Elsewhere {}

#[async_trait::async_trait]
impl saas_core::storage::TxConnection for Elsewhere {
    fn conn(&mut self) -> &mut Conn {
        self.0.get_or_insert_with(|| Box::new(Conn::new(Self(None))))
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Polls a future so many times at most; `None` when it was not ready by then and was dropped where it stood.
struct CutShort<F> {
    inner: Pin<Box<F>>,
    polls: i64,
}

impl<F: Future> Future for CutShort<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls -= 1;
        match self.inner.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

on_both_engines! {
    async fn a_read_connection_cannot_write(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        assert_writable(&storage).await;
        for reach in [TEST, Reach::Tenant(TenantId::from_uuid(uuid(7)))] {
            let mut conn = storage.read(reach).await.unwrap();
            for statement in [
                "INSERT INTO notes (writer, body) VALUES (1, 'smuggled')",
                "UPDATE notes SET body = 'changed'",
                "DELETE FROM notes",
                "CREATE TABLE smuggled (id bigint)",
                "DROP TABLE notes",
            ] {
                execute!(&mut conn, statement).expect_err(statement);
            }
            assert_eq!(count(&mut conn).await, 1, "the connection still reads");
        }
        assert_eq!(fetch_one!(&mut storage.read(TEST).await.unwrap(), (i64,), "SELECT writer FROM notes").unwrap(), (-1,));
    }

    async fn a_connection_of_another_adapter_is_refused(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        let foreign = saas_sql::engine(&mut Conn::new(Elsewhere(None))).map(drop);
        assert!(matches!(foreign, Err(StoreError::ForeignConnection)));
        let statement = execute!(&mut Conn::new(Elsewhere(None)), "DELETE FROM notes").map_err(StoreError::from);
        assert!(matches!(statement, Err(StoreError::ForeignConnection)));

        let mut tx = Tx::new(Elsewhere(None));
        let user = SqlUsers.by_id(tx.conn(), UserId::from_uuid(uuid(7))).await;
        assert!(matches!(user, Err(StoreError::ForeignConnection)));
        assert!(matches!(storage.release_pg(Tx::new(Elsewhere(None))).map(drop), Err(StoreError::ForeignConnection)));
        assert!(matches!(storage.release_sqlite(tx).map(drop), Err(StoreError::ForeignConnection)));
    }

    async fn a_connection_is_lent_as_its_own_engine_alone(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        let mut tx = storage.begin(TEST).await.unwrap();
        note(&mut tx, 1, "gone").await;
        let (pg, sqlite) = (saas_sql::pg(tx.conn()).is_ok(), saas_sql::sqlite(tx.conn()).is_ok());
        assert_eq!((pg, sqlite), (engine == TestEngine::Postgres, engine == TestEngine::Sqlite));
        let wrong = match engine {
            TestEngine::Sqlite => storage.release_pg(tx).map(drop),
            TestEngine::Postgres => storage.release_sqlite(tx).map(drop),
        };
        assert!(matches!(wrong, Err(StoreError::ForeignConnection)));
        assert_eq!(seen(&storage).await, 0);
        assert_writable(&storage).await;
    }

    async fn a_commit_that_fails_writes_nothing_runs_no_effect_and_frees_the_writer(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        let mut tx = storage.begin(TEST).await.unwrap();
        execute!(tx.conn(), "CREATE TABLE authors (id bigint PRIMARY KEY)").unwrap();
        execute!(
            tx.conn(),
            "CREATE TABLE books (author bigint NOT NULL REFERENCES authors (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        .unwrap();
        tx.commit().await.unwrap();

        let held = Arc::new(Mutex::new(0));
        let mut tx = storage.begin(TEST).await.unwrap();
        let effect = Arc::clone(&held);
        tx.after_commit(move || *effect.lock().unwrap() += 1);
        note(&mut tx, 1, "gone").await;
        execute!(tx.conn(), "INSERT INTO books (author) VALUES (404)").unwrap();
        assert!(matches!(tx.commit().await, Err(StoreError::Backend(_))));
        assert_eq!(*held.lock().unwrap(), 0);
        assert_eq!(seen(&storage).await, 0);
        assert_writable(&storage).await;
    }

    async fn a_task_aborted_inside_a_transaction_leaves_nothing_and_frees_the_writer(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        let (wrote, has_written) = oneshot::channel();
        let writer = storage.clone();
        let task = tokio::spawn(async move {
            let mut tx = writer.begin(TEST).await.unwrap();
            note(&mut tx, 1, "gone").await;
            wrote.send(()).unwrap();
            std::future::pending::<()>().await;
            tx.commit().await.unwrap();
        });
        has_written.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(seen(&storage).await, 0);
        assert_writable(&storage).await;
    }

    async fn a_transaction_cancelled_at_any_await_is_there_whole_or_not_at_all(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        let mut cancelled = 0;
        for round in 0..8 {
            for polls in 1.. {
                let writer = round * 1_000 + polls;
                let transaction = async {
                    let mut tx = storage.begin(TEST).await.unwrap();
                    note(&mut tx, writer, &format!("{writer} first")).await;
                    note(&mut tx, writer, &format!("{writer} second")).await;
                    tx.commit().await.unwrap();
                };
                let cut = CutShort { inner: Box::pin(transaction), polls };
                let finished = cut.await.is_some();
                // Whoever comes next gets the writer.
                storage.begin(TEST).await.unwrap().commit().await.unwrap();
                let mut conn = storage.read(TEST).await.unwrap();
                let rows = "SELECT COUNT(*) FROM notes WHERE writer = $1";
                let (rows,) = fetch_one!(&mut conn, (i64,), rows, writer).unwrap();
                assert!(rows == 2 || rows == 0 && !finished, "{rows} rows of a transaction dropped at poll {polls}");
                if finished {
                    break;
                }
                cancelled += 1;
            }
        }
        assert!(cancelled > 0, "no transaction was cut short");
    }

    async fn a_cancelled_begin_does_not_show_in_the_next_transaction_on_its_connection(engine: TestEngine) {
        let (database, _) = notes(engine).await;
        let mut options = options(&database);
        options.pool_size = 1;
        let storage = SqlStorage::open(&options).await.unwrap();
        for polls in 1..10 {
            let cut = CutShort { inner: Box::pin(storage.begin(TEST)), polls };
            drop(cut.await);
            let mut tx = storage.begin(TEST).await.unwrap();
            note(&mut tx, polls, "gone").await;
            drop(tx);
            let mut tx = storage.begin(TEST).await.unwrap();
            note(&mut tx, polls, &polls.to_string()).await;
            tx.commit().await.unwrap();
            assert_eq!(seen(&storage).await, polls);
        }
    }

    async fn a_single_statement_is_there_whatever_begin_was_cancelled_on_its_connection(engine: TestEngine) {
        let (database, _) = notes(engine).await;
        let mut options = options(&database);
        options.pool_size = 1;
        let storage = SqlStorage::open(&options).await.unwrap();
        for polls in 1..10 {
            let cut = CutShort { inner: Box::pin(storage.begin(TEST)), polls };
            drop(cut.await);
            let mut tx = storage.begin_single(TEST).await.unwrap();
            note(&mut tx, polls, &polls.to_string()).await;
            tx.commit().await.unwrap();
            // What joined an open transaction would be undone with it.
            drop(storage.begin(TEST).await.unwrap());
            assert_eq!(seen(&storage).await, polls);
        }
    }

    async fn concurrent_writers_all_succeed(engine: TestEngine) {
        const WRITERS: i64 = 32;
        let (_database, storage) = notes(engine).await;
        let start = Arc::new(Barrier::new(32));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (storage, start) = (storage.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    let mut tx = storage.begin(TEST).await.unwrap();
                    note(&mut tx, writer, &writer.to_string()).await;
                    tx.commit().await.unwrap();
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(seen(&storage).await, WRITERS);
    }

    async fn a_broken_rule_is_our_fault_and_nothing_to_retry(engine: TestEngine) {
        let (_database, storage) = notes(engine).await;
        let mut tx = storage.begin(TEST).await.unwrap();
        note(&mut tx, 1, "once").await;
        let twice = execute!(tx.conn(), "INSERT INTO notes (writer, body) VALUES (2, 'once')");
        let error = StoreError::from(twice.unwrap_err());
        assert!(matches!(error, StoreError::Backend(_)), "{error:?}");
        assert_eq!(error.report().kind, ErrorKind::Internal);
    }
}

fn uuid(number: u128) -> saas_sql::sqlx::types::Uuid {
    saas_sql::sqlx::types::Uuid::from_u128(number)
}

#[tokio::test]
async fn a_nested_begin_on_sqlite_names_who_holds_the_writer() {
    let (database, _) = notes(TestEngine::Sqlite).await;
    let storage = impatient(&database).await;
    let tenant = TenantId::from_uuid(uuid(7));
    let outer_ones = [
        (Reach::Platform("the outer command"), "the transaction for \"the outer command\"".to_owned()),
        (Reach::Tenant(tenant), format!("a transaction of tenant {tenant}")),
    ];
    for (reach, expected) in outer_ones {
        let outer = storage.begin(reach).await.unwrap();
        let error = storage.begin(Reach::Platform("the inner command")).await.unwrap_err();
        assert_eq!(error.report().kind, ErrorKind::Unavailable);
        let StoreError::Busy { holder } = error else { panic!("{error:?}") };
        assert_eq!(holder, expected);
        drop(outer);
        assert_writable(&storage).await;
    }
}

#[tokio::test]
async fn a_writer_that_an_embedder_holds_is_named_on_sqlite() {
    let (database, _) = notes(TestEngine::Sqlite).await;
    let storage = impatient(&database).await;
    let released = storage.release_sqlite(storage.begin(TEST).await.unwrap()).unwrap();
    let error = storage.begin(TEST).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Busy { holder } if holder == "an adopted transaction or another process"),
        "{error:?}"
    );
    drop(released);
    assert_writable(&storage).await;
}

#[tokio::test]
async fn another_process_that_holds_sqlites_writer_is_named() {
    let (database, storage) = notes(TestEngine::Sqlite).await;
    let other_process = impatient(&database).await;
    let outer = storage.begin(TEST).await.unwrap();
    let error = other_process.begin(TEST).await.unwrap_err();
    assert!(matches!(&error, StoreError::Busy { holder } if holder == "another process"), "{error:?}");
    assert_eq!(error.report().kind, ErrorKind::Unavailable);
    outer.commit().await.unwrap();
    assert_writable(&other_process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_that_open_a_new_sqlite_file_at_once_all_succeed() {
    const PROCESSES: usize = 16;
    for _ in 0..10 {
        let database = Arc::new(TestDatabase::create(TestEngine::Sqlite).await);
        let start = Arc::new(Barrier::new(PROCESSES));
        let processes: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let (database, start) = (Arc::clone(&database), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    let storage = SqlStorage::open(&options(&database)).await?;
                    storage.ping().await.expect("an open database answers");
                    Ok::<_, saas_sql::OpenError>(storage)
                })
            })
            .collect();
        for process in processes {
            process.await.unwrap().unwrap();
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_sqlite_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let (database, storage) = notes(TestEngine::Sqlite).await;
    assert_writable(&storage).await;
    let file = std::path::Path::new(database.url().strip_prefix("sqlite:").unwrap());
    let files: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 2, "the log lies beside the file");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn a_full_disk_on_sqlite_costs_its_transaction_and_no_other() {
    let (_database, storage) = notes(TestEngine::Sqlite).await;
    let mut tx = storage.begin(TEST).await.unwrap();
    // The connection's own limit stands for the disk's: SQLite rolls back by itself on either.
    saas_sql::sqlx::query("PRAGMA max_page_count = 1")
        .execute(saas_sql::sqlite(tx.conn()).unwrap())
        .await
        .unwrap();
    let large = "x".repeat(1 << 20);
    let full = StoreError::from(
        execute!(tx.conn(), "INSERT INTO notes (writer, body) VALUES (1, $1)", large).unwrap_err(),
    );
    assert!(matches!(full, StoreError::Unavailable(_)), "{full:?}");
    drop(tx);
    assert_eq!(seen(&storage).await, 0);
    assert_writable(&storage).await;
    storage.ping().await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_nobody_serves_is_unavailable() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let connect = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(free.port());
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(100)).connect_lazy_with(connect);
    let storage = SqlStorage::from_pg(pool);
    for error in [storage.begin(TEST).await.unwrap_err(), storage.read(TEST).await.unwrap_err()] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert_eq!(error.report().kind, ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_connection_that_postgres_ended_is_unavailable_and_the_next_one_works() {
    let (_database, storage) = notes(TestEngine::Postgres).await;
    let mut tx = storage.begin(TEST).await.unwrap();
    note(&mut tx, 1, "gone").await;
    let ended = execute!(tx.conn(), "SELECT pg_terminate_backend(pg_backend_pid())").unwrap_err();
    let error = StoreError::from(ended);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.report().kind, ErrorKind::Unavailable, "{error:?}");
    assert_eq!(seen(&storage).await, 0);
    assert_writable(&storage).await;
}

#[tokio::test]
async fn a_row_that_another_transaction_holds_on_postgres_is_contended() {
    let (database, storage) = notes(TestEngine::Postgres).await;
    assert_writable(&storage).await;
    let mut options = options(&database);
    options.lock_timeout = Duration::from_millis(100);
    let storage = SqlStorage::open(&options).await.unwrap();
    let (mut first, mut second) = (storage.begin(TEST).await.unwrap(), storage.begin(TEST).await.unwrap());
    execute!(first.conn(), "UPDATE notes SET writer = 1").unwrap();
    let error = StoreError::from(execute!(second.conn(), "UPDATE notes SET writer = 2").unwrap_err());
    assert!(matches!(error, StoreError::Contended(_)), "{error:?}");
    assert_eq!(error.report().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_pool_that_is_used_to_its_last_connection_is_ready_while_the_server_answers() {
    let pool =
        [("DATABASE_POOL_SIZE", "1"), ("DATABASE_POOL_TIMEOUT", "1"), ("DATABASE_HEALTH_TIMEOUT", "1")];
    let test = TestSaas::with_settings(TestEngine::Postgres, pool).await;
    test.workers.stop().await;
    let (storage, one) = (test.saas.storage(), test.saas.storage().begin(TEST).await.unwrap());
    let another = storage.read(TEST).await.unwrap();
    assert!(storage.is_full());
    assert!(test.saas.readiness().await.is_ready());
    drop((one, another));
    assert!(test.saas.readiness().await.is_ready());
}
