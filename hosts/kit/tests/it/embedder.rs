//! A program with tables and pools of its own, and the product in the same transactions.

use std::sync::{Arc, Mutex};

use saas_auth::UserStore;
use saas_auth_sql::SqlUsers;
use saas_core::{Actor, Client, Email, Fault, Reach, Secret, Storage, StoreError, TenantName, Tx};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{PASSWORD, TestDatabase, TestEngine, TestSaas},
};
use saas_sql::{
    SqlStorage, fetch_one,
    sqlx::{
        self, PgPool, SqlitePool,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
    },
};
use saas_tenancy::{PreparedRegistration, Register, RegisterError, RegisterInError, Tenancy};

const EMBEDDER: Reach = Reach::Platform("the embedder's own command");
const CREATE: &str = "CREATE TABLE profile (email text NOT NULL, bio text NOT NULL)";
const INSERT: &str = "INSERT INTO profile (email, bio) VALUES ('ada@example.com', 'first programmer')";

fn actor() -> Actor {
    Actor::system("the embedder")
}

fn ada() -> Register {
    Register::new(
        Email::parse("ada@example.com").unwrap(),
        Secret::new(PASSWORD.to_owned()),
        TenantName::parse("Analytical Engines").unwrap(),
    )
}

async fn prepared(tenancy: &Tenancy) -> PreparedRegistration {
    tenancy.prepare_registration(&actor(), ada()).await.unwrap()
}

/// Runs a statement of the embedder's on sqlx's own connection, lent from ours.
async fn run_lent(tx: &mut Tx, engine: TestEngine, statement: &'static str) {
    match engine {
        TestEngine::Sqlite => {
            sqlx::query(statement).execute(saas_sql::sqlite(tx.conn()).unwrap()).await.map(drop)
        }
        TestEngine::Postgres => {
            sqlx::query(statement).execute(saas_sql::pg(tx.conn()).unwrap()).await.map(drop)
        }
    }
    .unwrap();
}

/// What everybody sees: the embedder's profiles, and our users, tenants, memberships and sessions.
async fn rows(storage: &SqlStorage) -> [i64; 5] {
    let mut conn = storage.read(EMBEDDER).await.unwrap();
    let counts = fetch_one!(
        &mut conn,
        (i64, i64, i64, i64, i64),
        "SELECT (SELECT COUNT(*) FROM profile), (SELECT COUNT(*) FROM saas_users), (SELECT COUNT(*) FROM saas_tenants), \
         (SELECT COUNT(*) FROM saas_memberships), (SELECT COUNT(*) FROM saas_sessions)"
    );
    counts.unwrap().into()
}

/// The embedder's pool of either engine, on a database with their table.
#[derive(Debug)]
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// The embedder's own transaction.
enum OwnTransaction {
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

impl Pool {
    /// The pool, and our storage over it.
    async fn open(database: &TestDatabase, engine: TestEngine) -> (Self, SqlStorage) {
        match engine {
            TestEngine::Postgres => {
                let pool = PgPool::connect(database.url()).await.unwrap();
                sqlx::query(CREATE).execute(&pool).await.unwrap();
                (Self::Postgres(pool.clone()), SqlStorage::from_pg(pool))
            }
            TestEngine::Sqlite => {
                let connect: SqliteConnectOptions = database.url().parse().unwrap();
                let connect =
                    connect.create_if_missing(true).journal_mode(SqliteJournalMode::Wal).foreign_keys(true);
                let write =
                    SqlitePoolOptions::new().max_connections(1).connect_with(connect.clone()).await.unwrap();
                let read = SqlitePoolOptions::new().connect_lazy_with(connect.pragma("query_only", "ON"));
                sqlx::query(CREATE).execute(&write).await.unwrap();
                (Self::Sqlite(write.clone()), SqlStorage::from_sqlite(read, write))
            }
        }
    }

    async fn begin(&self) -> OwnTransaction {
        match self {
            Self::Postgres(pool) => OwnTransaction::Postgres(pool.begin().await.unwrap()),
            Self::Sqlite(pool) => OwnTransaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await.unwrap()),
        }
    }
}

impl OwnTransaction {
    async fn run(&mut self, statement: &'static str) {
        match self {
            Self::Postgres(tx) => sqlx::query(statement).execute(&mut **tx).await.map(drop),
            Self::Sqlite(tx) => sqlx::query(statement).execute(&mut **tx).await.map(drop),
        }
        .unwrap();
    }

    fn adopted_by(self, storage: &SqlStorage) -> Tx {
        match self {
            Self::Postgres(tx) => storage.adopt_pg(tx),
            Self::Sqlite(tx) => storage.adopt_sqlite(tx),
        }
    }

    /// Takes it back, with the effects that wait for its commit.
    fn released(
        storage: &SqlStorage,
        engine: TestEngine,
        tx: Tx,
    ) -> (Self, Vec<saas_core::storage::AfterCommit>) {
        match engine {
            TestEngine::Postgres => {
                let released = storage.release_pg(tx).unwrap();
                (Self::Postgres(released.transaction), released.after_commit)
            }
            TestEngine::Sqlite => {
                let released = storage.release_sqlite(tx).unwrap();
                (Self::Sqlite(released.transaction), released.after_commit)
            }
        }
    }

    async fn commit(self) {
        match self {
            Self::Postgres(tx) => tx.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
        }
        .unwrap();
    }

    async fn roll_back(self) {
        match self {
            Self::Postgres(tx) => tx.rollback().await,
            Self::Sqlite(tx) => tx.rollback().await,
        }
        .unwrap();
    }
}

/// The product on the embedder's pools.
async fn saas_on(storage: SqlStorage, database: &TestDatabase) -> Saas {
    let flags = [
        ("ENVIRONMENT", "test"),
        ("DATABASE_URL", database.url()),
        ("ROOT_KEY", "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8="),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).unwrap();
    let blueprint = Saas::builder(settings).storage(storage).build().unwrap();
    blueprint.migrate().await.unwrap();
    blueprint.open().await.unwrap()
}

/// The product with the embedder's table in its database.
async fn with_profiles(engine: TestEngine) -> TestSaas {
    let test = TestSaas::with_settings(engine, [("DATABASE_WRITE_TIMEOUT", "1")]).await;
    let mut tx = test.saas.storage().begin(EMBEDDER).await.unwrap();
    run_lent(&mut tx, engine, CREATE).await;
    tx.commit().await.unwrap();
    test
}

on_both_engines! {
    async fn one_transaction_spans_the_embedders_table_and_a_registration(engine: TestEngine) {
        let test = with_profiles(engine).await;
        let (storage, tenancy) = (test.saas.storage(), test.saas.tenancy());
        let prepared = prepared(tenancy).await;
        let mut tx = storage.begin(EMBEDDER).await.unwrap();
        run_lent(&mut tx, engine, INSERT).await;
        let registered = tenancy.register_in(&mut tx, &actor(), prepared).await.unwrap();
        assert_eq!(rows(storage).await, [0; 5], "somebody saw it before the commit");
        tx.commit().await.unwrap();
        assert_eq!(rows(storage).await, [1; 5]);

        let tokens = test.saas.auth().tokens_for(&registered.session).unwrap();
        let session = test.saas.auth().authenticate(tokens.access_token.expose(), None, Client::default()).await;
        assert!(session.is_ok(), "the session of a joined registration is good once it is committed");
        test.drain_jobs().await;
    }

    async fn a_dropped_transaction_leaves_neither_the_embedders_row_nor_ours(engine: TestEngine) {
        let test = with_profiles(engine).await;
        let (storage, tenancy) = (test.saas.storage(), test.saas.tenancy());
        let again = prepared(tenancy).await;
        let mut tx = storage.begin(EMBEDDER).await.unwrap();
        run_lent(&mut tx, engine, INSERT).await;
        tenancy.register_in(&mut tx, &actor(), again.clone()).await.unwrap();
        drop(tx);
        assert_eq!(rows(storage).await, [0; 5]);

        let mut tx = storage.begin(EMBEDDER).await.unwrap();
        tenancy.register_in(&mut tx, &actor(), again).await.expect("the address is still free");
        tx.commit().await.unwrap();
        assert_eq!(rows(storage).await, [0, 1, 1, 1, 1]);
        test.drain_jobs().await;
    }

    async fn a_taken_address_leaves_the_embedders_transaction_usable(engine: TestEngine) {
        let test = with_profiles(engine).await;
        let (storage, tenancy) = (test.saas.storage(), test.saas.tenancy());
        test.register("ada@example.com").await;
        let prepared = prepared(tenancy).await;
        let mut tx = storage.begin(EMBEDDER).await.unwrap();
        let refused = tenancy.register_in(&mut tx, &actor(), prepared).await;
        assert!(matches!(refused, Err(RegisterInError::EmailTaken)), "{refused:?}");
        run_lent(&mut tx, engine, INSERT).await;
        tx.commit().await.unwrap();
        assert_eq!(rows(storage).await, [1; 5]);
    }

    async fn an_adopted_transaction_is_released_and_committed_by_its_owner(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let (pool, storage) = Pool::open(&database, engine).await;
        let saas = saas_on(storage.clone(), &database).await;
        let prepared = prepared(saas.tenancy()).await;

        let mut own = pool.begin().await;
        own.run(INSERT).await;
        let mut tx = own.adopted_by(&storage);
        saas.tenancy().register_in(&mut tx, &actor(), prepared).await.unwrap();
        let ran = Arc::new(Mutex::new(Vec::new()));
        for effect in 1..=2 {
            let ran = Arc::clone(&ran);
            tx.after_commit(move || ran.lock().unwrap().push(effect));
        }
        let (mut own, effects) = OwnTransaction::released(&storage, engine, tx);
        own.run("UPDATE profile SET bio = 'wrote the first program'").await;
        assert_eq!(rows(&storage).await, [0; 5], "a release commits nothing");
        own.commit().await;
        assert!(ran.lock().unwrap().is_empty(), "the effects are the owner's to run");
        for effect in effects {
            effect();
        }
        assert_eq!(*ran.lock().unwrap(), [1, 2]);

        assert_eq!(rows(&storage).await, [1; 5]);
        let mut conn = storage.read(EMBEDDER).await.unwrap();
        let user = SqlUsers.credentials(&mut conn, &Email::parse("ada@example.com").unwrap()).await.unwrap();
        assert!(user.is_some());
        assert_eq!(fetch_one!(&mut conn, (String,), "SELECT bio FROM profile").unwrap().0, "wrote the first program");
    }

    async fn an_adopted_transaction_that_its_owner_rolls_back_leaves_nothing(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let (pool, storage) = Pool::open(&database, engine).await;
        let saas = saas_on(storage.clone(), &database).await;
        let prepared = prepared(saas.tenancy()).await;

        let mut own = pool.begin().await;
        own.run(INSERT).await;
        let mut tx = own.adopted_by(&storage);
        saas.tenancy().register_in(&mut tx, &actor(), prepared.clone()).await.unwrap();
        // The effect, which wakes whoever sends the welcome, is the owner's to drop.
        let (own, effects) = OwnTransaction::released(&storage, engine, tx);
        // The wake that a mail waits for, and what counts four audit rows: for a commit that does not come.
        assert_eq!(effects.len(), 5);
        own.roll_back().await;
        assert_eq!(rows(&storage).await, [0; 5]);

        let mut tx = pool.begin().await.adopted_by(&storage);
        saas.tenancy().register_in(&mut tx, &actor(), prepared.clone()).await.unwrap();
        drop(tx);
        assert_eq!(rows(&storage).await, [0; 5], "an adopted transaction was dropped");

        let mut tx = pool.begin().await.adopted_by(&storage);
        saas.tenancy().register_in(&mut tx, &actor(), prepared).await.unwrap();
        tx.commit().await.expect("an adopted transaction may also be committed through its new owner");
        assert_eq!(rows(&storage).await, [0, 1, 1, 1, 1]);
    }

    async fn a_transaction_of_ours_can_be_released_to_the_embedder(engine: TestEngine) {
        let test = with_profiles(engine).await;
        let storage = test.saas.storage();
        let prepared = prepared(test.saas.tenancy()).await;
        let mut tx = storage.begin(EMBEDDER).await.unwrap();
        test.saas.tenancy().register_in(&mut tx, &actor(), prepared).await.unwrap();
        let (mut own, _) = OwnTransaction::released(storage, engine, tx);
        own.run(INSERT).await;
        own.commit().await;
        assert_eq!(rows(storage).await, [1; 5]);
    }

    async fn an_embedders_read_connection_cannot_write(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let (_pool, storage) = Pool::open(&database, engine).await;
        let mut conn = storage.read(EMBEDDER).await.unwrap();
        saas_sql::execute!(&mut conn, INSERT).expect_err("a read connection wrote");
    }
}

#[tokio::test]
async fn a_command_with_a_transaction_of_its_own_errors_inside_the_callers_on_sqlite() {
    let test = with_profiles(TestEngine::Sqlite).await;
    let tx = test.saas.storage().begin(EMBEDDER).await.unwrap();
    let error = test.saas.tenancy().register(&actor(), ada()).await.unwrap_err();
    assert_eq!(error.report().code, "unavailable");
    let RegisterError::Write(RegisterInError::Store(StoreError::Busy { holder })) = error else {
        panic!("{error:?}")
    };
    assert_eq!(holder, "the transaction for \"the embedder's own command\"");
    drop(tx);
    test.saas.tenancy().register(&actor(), ada()).await.expect("the writer is free again");
    test.drain_jobs().await;
}
