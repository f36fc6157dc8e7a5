//! Databases that tests make and leave behind them.

use std::sync::Arc;

use saas_core::{Entropy, entropy::SystemEntropy};

use super::left_jobs::LeftJobs;

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestEngine {
    /// A file in a temporary folder.
    Sqlite,
    /// A database of its own on the server of `SAAS_TEST_POSTGRES_URL`.
    #[cfg(feature = "postgres")]
    Postgres,
}

/// A new, empty database; dropping this drops it.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    pub(super) left_jobs: Arc<LeftJobs>,
    #[expect(dead_code, reason = "held for its Drop")]
    end: End,
}

#[derive(Debug)]
enum End {
    Folder(#[expect(dead_code, reason = "held for its Drop")] tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Postgres(#[expect(dead_code, reason = "held for its Drop")] postgres::Dropper),
}

impl TestDatabase {
    /// Makes one.
    #[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "a file needs no waiting"))]
    pub async fn create(engine: TestEngine) -> Self {
        match engine {
            TestEngine::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder can be made");
                Self {
                    url: format!("sqlite:{}", folder.path().join("test.db").display()),
                    left_jobs: Arc::default(),
                    end: End::Folder(folder),
                }
            }
            #[cfg(feature = "postgres")]
            TestEngine::Postgres => {
                let (url, dropper) = postgres::create(&random_name()).await;
                Self { url, left_jobs: Arc::default(), end: End::Postgres(dropper) }
            }
        }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite's folder has a name already"))]
fn random_name() -> String {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    format!("saas_test_{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(feature = "postgres")]
mod postgres {
    use saas_sql::sqlx::{AssertSqlSafe, Connection, PgConnection};

    /// Where the server is, which tests do not start by themselves.
    const VARIABLE: &str = "SAAS_TEST_POSTGRES_URL";

    fn server() -> String {
        std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} is not set: run scripts/test, or scripts/with-services <command>, which start a PostgreSQL")
        })
    }

    async fn run(statement: String) {
        let mut conn = PgConnection::connect(&server()).await.expect("the test server answers");
        saas_sql::sqlx::query(AssertSqlSafe(statement))
            .execute(&mut conn)
            .await
            .expect("the test server obeys");
        conn.close().await.expect("the connection ends");
    }

    pub(super) async fn create(name: &str) -> (String, Dropper) {
        run(format!("CREATE DATABASE {name}")).await;
        let server = server();
        let (base, _) = server.rsplit_once('/').expect("the URL names a database");
        (format!("{base}/{name}"), Dropper(name.to_owned()))
    }

    /// Drops the database on a thread of its own: the test's runtime may be gone.
    #[derive(Debug)]
    pub(super) struct Dropper(String);

    impl Drop for Dropper {
        fn drop(&mut self) {
            let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0);
            let drop = move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map(|runtime| runtime.block_on(run(statement)))
            };
            // A database that stays behind on a test server is no reason to fail a test that passed.
            let _ = std::thread::spawn(drop).join();
        }
    }
}
