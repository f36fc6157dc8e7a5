//! Migrating: empty databases, full ones, several processes at once, older and newer releases.

use std::{collections::BTreeSet, sync::Arc};

use saas_core::{Reach, Storage, clock::ManualClock};
use saas_kit::{
    Blueprint, MigrateError, OpenError,
    testing::{PASSWORD, TestDatabase, TestEngine, TestSaas, TestWorkers},
};
use saas_sql::{
    Component, MigrateError as Refused, Migration, SqlStorage, execute, fetch_all, fetch_one, sql, sqlx,
};
use tokio::sync::Barrier;

use crate::{agents::stage::while_time_passes, engines::open};

const TEST: Reach = Reach::Platform("a test");

/// What the product applies to an empty database, in its order.
async fn all() -> Vec<String> {
    let empty = TestDatabase::create(TestEngine::Sqlite).await;
    match blueprint(&empty).open().await {
        Err(OpenError::NotMigrated { pending }) => pending,
        other => panic!("an empty database opened, or failed otherwise: {other:?}"),
    }
}

fn blueprint(database: &TestDatabase) -> Blueprint {
    TestSaas::blueprint(database, Arc::default(), 1, [])
}

/// A migration that is the same on both engines.
const fn migration(version: i64, min_compatible: i64, statements: &'static str) -> Migration {
    Migration { version, min_compatible, name: "step", postgres: statements, sqlite: statements }
}

const fn guide(migrations: &'static [Migration]) -> Component {
    Component { name: "guide", migrations }
}

const FIRST: Migration = migration(1, 1, "CREATE TABLE saas_guide (id bigint NOT NULL)");
const SECOND: Migration = migration(2, 1, "ALTER TABLE saas_guide ADD COLUMN title text");
const THIRD: Migration = migration(3, 2, "CREATE TABLE saas_guide_pages (id bigint NOT NULL)");
const BAD: Migration =
    migration(2, 1, "CREATE TABLE saas_half (id bigint); INSERT INTO saas_guide (no_such_column) VALUES (1)");

const V1: Component = guide(&[FIRST]);
const V2: Component = guide(&[FIRST, SECOND]);
const V3: Component = guide(&[FIRST, SECOND, THIRD]);
const BAD_SECOND: Component = guide(&[FIRST, BAD]);

async fn migrate(storage: &SqlStorage, component: Component) -> Result<Vec<String>, Refused> {
    storage.migrate(&[component], &ManualClock::default()).await.map(|done| done.pending)
}

/// The ledger, as `component/version`.
async fn ledger(storage: &SqlStorage) -> Vec<String> {
    let mut conn = storage.read(TEST).await.unwrap();
    fetch_all!(
        &mut conn,
        (String, i64),
        "SELECT component, version FROM saas_migrations ORDER BY applied_at, component, version"
    )
    .unwrap()
    .into_iter()
    .map(|(component, version)| format!("{component}/{version}"))
    .collect()
}

/// Everything in the database that has a name, in the embedder's schema.
async fn names(storage: &SqlStorage, engine: TestEngine) -> BTreeSet<String> {
    let mut conn = storage.read(TEST).await.unwrap();
    let rows = match engine {
        TestEngine::Sqlite => {
            fetch_all!(
                &mut conn,
                (String,),
                "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            )
        }
        TestEngine::Postgres => fetch_all!(
            &mut conn,
            (String,),
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
             UNION SELECT typname::text FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '\\_saas%' \
             UNION SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
             UNION SELECT conname::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        ),
    };
    rows.unwrap().into_iter().map(|(name,)| name).collect()
}

/// A database that somebody else's program has used for a while, with names like ours.
const EMBEDDERS_TABLES: &str = "
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, password text);
CREATE TABLE sessions (id text PRIMARY KEY, user_id bigint NOT NULL REFERENCES users (id), data text NOT NULL);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE TABLE tenants (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE jobs (id bigint PRIMARY KEY, payload text NOT NULL, attempts bigint NOT NULL DEFAULT 0);
CREATE TABLE _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success boolean NOT NULL,
    checksum text NOT NULL,
    execution_time bigint NOT NULL
);
INSERT INTO users VALUES (1, 'Grace@Example.com', 'x'), (2, 'ada@example.com', NULL);
INSERT INTO sessions VALUES ('a', 1, '{}'), ('b', 2, '{\"cart\": [1, 2]}');
INSERT INTO tenants VALUES (1, 'Test Tenant');
INSERT INTO jobs VALUES (1, 'send mail', 3);
INSERT INTO _sqlx_migrations VALUES (20260101000000, 'initial', '2026-01-01 00:00:00', true, 'd34db33f', 12);
";

/// Rows, where they lie, who wrote them last, and how their tables are defined.
async fn embedders_bytes(storage: &SqlStorage, engine: TestEngine) -> Vec<String> {
    let queries: &[&str] = match engine {
        TestEngine::Sqlite => &[
            "SELECT rootpage || type || name || sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'saas\\_%' ESCAPE '\\' ORDER BY name",
            "SELECT rowid || quote(id) || quote(email) || quote(password) FROM users ORDER BY rowid",
            "SELECT rowid || quote(id) || quote(user_id) || quote(data) FROM sessions ORDER BY rowid",
            "SELECT rowid || quote(id) || quote(name) FROM tenants ORDER BY rowid",
            "SELECT rowid || quote(id) || quote(payload) || quote(attempts) FROM jobs ORDER BY rowid",
            "SELECT rowid || quote(version) || quote(description) || quote(installed_on) || quote(success) || quote(checksum) || quote(execution_time) FROM _sqlx_migrations ORDER BY rowid",
        ],
        TestEngine::Postgres => &[
            "SELECT concat_ws(' ', attrelid::regclass, attnum, attname, atttypid::regtype, attnotnull, attrelid::regclass::oid) FROM pg_attribute \
             WHERE attrelid IN ('users'::regclass, 'sessions'::regclass, 'tenants'::regclass, 'jobs'::regclass, '_sqlx_migrations'::regclass) \
             AND attnum > 0 ORDER BY attrelid, attnum",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'saas\\_%' ORDER BY indexname",
            "SELECT concat_ws(' ', ctid, xmin, xmax, t) FROM users t ORDER BY ctid",
            "SELECT concat_ws(' ', ctid, xmin, xmax, t) FROM sessions t ORDER BY ctid",
            "SELECT concat_ws(' ', ctid, xmin, xmax, t) FROM tenants t ORDER BY ctid",
            "SELECT concat_ws(' ', ctid, xmin, xmax, t) FROM jobs t ORDER BY ctid",
            "SELECT concat_ws(' ', ctid, xmin, xmax, t) FROM _sqlx_migrations t ORDER BY ctid",
        ],
    };
    let mut conn = storage.read(TEST).await.unwrap();
    let mut lines = Vec::new();
    for query in queries {
        let rows = fetch_all!(&mut conn, (String,), *query).unwrap();
        assert!(!rows.is_empty(), "{query}");
        lines.extend(rows.into_iter().map(|(line,)| line));
    }
    lines
}

on_both_engines! {
    async fn an_empty_database_migrates_and_a_second_time_nothing_is_applied(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let blueprint = blueprint(&database);
        assert_eq!(blueprint.migrate().await.unwrap().pending, all().await);
        let storage = open(&database).await;
        let (before, schema) = (ledger(&storage).await, storage.schema().await.unwrap());
        assert_eq!(BTreeSet::from_iter(&before), BTreeSet::from_iter(&all().await));

        assert!(blueprint.migrate().await.unwrap().is_current());
        assert!(self::blueprint(&database).migrate().await.unwrap().is_current(), "after a restart");
        assert_eq!((ledger(&storage).await, storage.schema().await.unwrap()), (before, schema));
    }

    async fn an_embedders_tables_with_our_words_for_names_stay_as_they_are(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let storage = open(&database).await;
        let mut tx = storage.begin(TEST).await.unwrap();
        sql!(tx.conn(), |c| async { sqlx::raw_sql(EMBEDDERS_TABLES).execute(c).await.map(drop) }).unwrap();
        tx.commit().await.unwrap();
        let before = embedders_bytes(&storage, engine).await;

        let blueprint = blueprint(&database);
        assert_eq!(blueprint.migrate().await.unwrap().pending, all().await);
        assert_eq!(embedders_bytes(&storage, engine).await, before, "migrating changed them");

        let saas = blueprint.open().await.unwrap();
        let command = saas_tenancy::Register::new(
            saas_core::Email::parse("ada@example.com").unwrap(),
            saas_core::Secret::new(PASSWORD.to_owned()),
            saas_core::TenantName::parse("Test Tenant").unwrap(),
        );
        saas.tenancy().register(&saas_core::Actor::system("test"), command).await.unwrap();
        assert_eq!(embedders_bytes(&storage, engine).await, before, "registering changed them");
    }

    async fn everything_of_ours_has_a_name_of_ours(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        blueprint(&database).migrate().await.unwrap();
        let names = names(&open(&database).await, engine).await;
        assert!(names.contains("saas_users") && names.contains("saas_migrations"), "{names:?}");
        let foreign: Vec<_> = names.iter().filter(|name| !name.starts_with("saas_")).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
    }

    async fn of_several_that_migrate_at_once_one_works_and_all_succeed(engine: TestEngine) {
        const PROCESSES: usize = 8;
        let database = TestDatabase::create(engine).await;
        let start = Arc::new(Barrier::new(PROCESSES));
        let processes: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let (blueprint, start) = (blueprint(&database), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    blueprint.migrate().await.map(|done| done.pending)
                })
            })
            .collect();
        let mut applied = Vec::new();
        for process in processes {
            applied.extend(process.await.unwrap().unwrap());
        }
        assert_eq!(applied, all().await, "each migration is applied once, and by one process");
        assert_eq!(ledger(&open(&database).await).await.len(), all().await.len());
    }

    async fn a_migration_that_was_applied_with_other_statements_is_refused(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let blueprint = blueprint(&database);
        blueprint.migrate().await.unwrap();
        let storage = open(&database).await;
        let mut tx = storage.begin(TEST).await.unwrap();
        execute!(tx.conn(), "UPDATE saas_migrations SET checksum = 'other' WHERE component = 'auth'").unwrap();
        tx.commit().await.unwrap();

        let error = blueprint.migrate().await.unwrap_err();
        let MigrateError::Migrate(Refused::Changed { component, version }) = &error else { panic!("{error:?}") };
        assert_eq!((component.as_str(), *version), ("auth", 1));
        assert!(error.to_string().contains("auth/1"), "{error}");
        let error = blueprint.open().await.unwrap_err();
        assert!(matches!(error, OpenError::Migrations(Refused::Changed { .. })), "{error:?}");
    }

    async fn a_newer_database_is_accepted_down_to_the_version_that_it_names(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let storage = open(&database).await;
        assert_eq!(migrate(&storage, V1).await.unwrap(), ["guide/1"]);
        assert_eq!(storage.migration_status(&[V2]).await.unwrap().pending, ["guide/2"]);
        assert_eq!(migrate(&storage, V2).await.unwrap(), ["guide/2"]);
        assert!(migrate(&storage, V1).await.unwrap().is_empty(), "an older binary still runs");
        assert!(storage.migration_status(&[V1]).await.unwrap().is_current());

        assert_eq!(migrate(&storage, V3).await.unwrap(), ["guide/3"]);
        assert!(storage.migration_status(&[V2]).await.unwrap().is_current(), "its oldest is 2");
        for error in [migrate(&storage, V1).await.unwrap_err(), storage.migration_status(&[V1]).await.unwrap_err()] {
            let Refused::TooNew { component, database, needs, binary } = &error else { panic!("{error:?}") };
            assert_eq!((component.as_str(), *database, *needs, *binary), ("guide", 3, 2, 1));
            assert!(error.to_string().contains("deploy the newer release"), "{error}");
        }
    }

    async fn a_failing_migration_leaves_nothing_behind(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let storage = open(&database).await;
        let error = migrate(&storage, BAD_SECOND).await.unwrap_err();
        assert!(matches!(error, Refused::Failed { component: "guide", version: 2, .. }), "{error:?}");
        assert_eq!(names(&storage, engine).await, BTreeSet::new(), "of an empty database");

        migrate(&storage, V1).await.unwrap();
        let before = names(&storage, engine).await;
        migrate(&storage, BAD_SECOND).await.unwrap_err();
        assert_eq!(names(&storage, engine).await, before, "of a database at version 1");
        assert_eq!(ledger(&storage).await, ["guide/1"]);
        assert_eq!(migrate(&storage, V2).await.unwrap(), ["guide/2"], "the mended release migrates");
    }

    async fn a_run_that_a_release_without_jobs_of_runs_left_running_ends_as_interrupted(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let (storage, clock) = (open(&database).await, Arc::new(ManualClock::default()));
        let earlier = Component { name: "agents", migrations: &saas_agents_sql::AGENTS.migrations[..2] };
        storage.migrate(&[saas_sql::CORE, earlier], &*clock).await.unwrap();
        let (id, now) = (sqlx::types::Uuid::from_u128(7), saas_core::clock::stored_now(&*clock));
        let mut tx = storage.begin(TEST).await.unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO saas_conversations (id, tenant_id, user_id, key, agent, message_count, preview, created_at, updated_at) \
             VALUES ($1, $1, $1, 'c', 'triage', 0, '', $2, $2)",
            id,
            now,
        )
        .unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO saas_runs (id, tenant_id, user_id, conversation_id, position, agent, status, input, request_hash, attempt, owner, \
             leased_until, cancel_requested, answer, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, created_at) \
             VALUES ($1, $1, $1, $1, 1, 'triage', 'running', 'hello', $2, 1, 'gone', $3, $4, '', 0, 0, 0, 0, $3)",
            id,
            [0_u8].as_slice(),
            now,
            false,
        )
        .unwrap();
        tx.commit().await.unwrap();

        let blueprint = TestSaas::blueprint(&database, Arc::clone(&clock), 1, []);
        blueprint.migrate().await.unwrap();
        let saas = blueprint.open().await.unwrap();
        let _workers = TestWorkers::start(&saas);
        let ended = async {
            let status = "SELECT status FROM saas_runs";
            while fetch_one!(&mut storage.read(TEST).await.unwrap(), (String,), status).unwrap().0 != "interrupted" {
                tokio::task::yield_now().await;
            }
        };
        while_time_passes(&clock, ended).await;
    }

    async fn opening_an_unmigrated_database_fails_with_the_fix(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let blueprint = blueprint(&database);
        let error = blueprint.open().await.unwrap_err();
        let OpenError::NotMigrated { pending } = &error else { panic!("{error:?}") };
        assert_eq!(*pending, all().await);
        let place = |name: &str| pending.iter().position(|pending| pending == name).expect(name);
        assert!(place("core/1") < place("auth/1") && place("auth/1") < place("tenancy/1"), "{pending:?}");
        for word in ["tenancy/1", "AUTO_RUN_MIGRATIONS=true", "Blueprint::migrate"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(names(&open(&database).await, engine).await, BTreeSet::new(), "opening wrote something");
        blueprint.migrate().await.unwrap();
        blueprint.open().await.expect("after migrating it opens");
    }

    async fn the_migration_url_is_what_migrates(engine: TestEngine) {
        let (application, owner) = (TestDatabase::create(engine).await, TestDatabase::create(engine).await);
        let settings = [("MIGRATION_DATABASE_URL", owner.url())];
        let blueprint = TestSaas::blueprint(&application, Arc::default(), 1, settings);
        assert_eq!(blueprint.migrate().await.unwrap().pending, all().await);
        assert_eq!(ledger(&open(&owner).await).await.len(), all().await.len());
        assert!(matches!(blueprint.open().await, Err(OpenError::NotMigrated { .. })), "the other database was migrated");
    }
}

#[tokio::test]
async fn both_engines_have_the_same_schema() {
    let mut schemas = Vec::new();
    for engine in [TestEngine::Sqlite, TestEngine::Postgres] {
        let database = TestDatabase::create(engine).await;
        blueprint(&database).migrate().await.unwrap();
        schemas.push(open(&database).await.schema().await.unwrap());
    }
    let [sqlite, postgres] = &schemas[..] else { unreachable!("two engines") };
    assert_eq!(sqlite.tables, postgres.tables);
    assert_eq!(sqlite.indexes, postgres.indexes);
    assert!(sqlite.tables.len() >= 6 && sqlite.indexes.contains("saas_users_email"), "{sqlite:?}");
    for (table, columns) in sqlite.tables.iter().chain(&postgres.tables) {
        assert!(table.starts_with("saas_"), "{table}");
        for (name, column) in columns {
            assert_ne!(column.class, "unknown", "{table}.{name}");
        }
    }
}

#[tokio::test]
async fn on_postgres_an_application_role_that_may_not_change_the_schema_runs_the_product() {
    let database = TestDatabase::create(TestEngine::Postgres).await;
    let (server, name) = database.url().rsplit_once('/').unwrap();
    let role = format!("{name}_app");
    let admin = open(&database).await;
    let mut tx = admin.begin(TEST).await.unwrap();
    let grants = format!(
        "CREATE ROLE {role} LOGIN; ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants)).execute(saas_sql::pg(tx.conn()).unwrap()).await.unwrap();
    tx.commit().await.unwrap();

    let (_, host) = server.rsplit_once('@').unwrap();
    let application = format!("postgres://{role}@{host}/{name}");
    let settings = [("DATABASE_URL", application.as_str()), ("MIGRATION_DATABASE_URL", database.url())];
    let without = TestSaas::blueprint(&database, Arc::default(), 1, [settings[0]]);
    without.migrate().await.expect_err("the application role changed the schema");
    let blueprint = TestSaas::blueprint(&database, Arc::default(), 1, settings);
    blueprint.migrate().await.unwrap();
    let saas = blueprint.open().await.unwrap();

    let mut tx = saas.storage().begin(TEST).await.unwrap();
    let (who,) = fetch_one!(tx.conn(), (String,), "SELECT current_user::text").unwrap();
    assert_eq!(who, role);
    execute!(tx.conn(), "DROP TABLE saas_sessions").expect_err("the application role owns the tables");
    drop(tx);
    saas.close().await;

    let mut tx = admin.begin(TEST).await.unwrap();
    let cleanup = sqlx::AssertSqlSafe(format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    sqlx::raw_sql(cleanup).execute(saas_sql::pg(tx.conn()).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
}
