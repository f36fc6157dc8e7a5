//! Databases that scenarios make and leave behind them.

use std::{fmt, path::Path};

use bench::Failure;
use saas_sql::{
    SqlOptions, SqlStorage,
    sqlx::{self, AssertSqlSafe, Connection, PgConnection},
};
use tempfile::TempDir;

/// Where PostgreSQL is; `scripts/with-services` starts one and says so here.
const SERVER: &str = "SAAS_TEST_POSTGRES_URL";

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl Engine {
    pub(crate) fn parse(word: &str) -> Result<Self, Failure> {
        match word {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => Err("--engine is sqlite or postgres".into()),
        }
    }

    /// Its version, and what makes its figures better than they would be elsewhere.
    pub(crate) async fn described(self) -> Result<String, Failure> {
        Ok(match self {
            Self::Sqlite => {
                let mut conn = sqlx::SqliteConnection::connect("sqlite::memory:").await?;
                let (version,): (String,) =
                    sqlx::query_as("SELECT sqlite_version()").fetch_one(&mut conn).await?;
                format!("SQLite {version}, every commit on the disk")
            }
            Self::Postgres => {
                let mut conn = PgConnection::connect(&server()?).await?;
                let (version, fsync): (String, String) =
                    sqlx::query_as("SELECT current_setting('server_version'), current_setting('fsync')")
                        .fetch_one(&mut conn)
                        .await?;
                format!("PostgreSQL {version}, `fsync` {fsync}, on all cores")
            }
        })
    }
}

fn server() -> Result<String, Failure> {
    std::env::var(SERVER).map_err(|_| {
        format!("{SERVER} is not set: run this under scripts/with-services, or with --engine sqlite").into()
    })
}

/// A new, empty database and a folder.
#[derive(Debug)]
pub(crate) struct Database {
    url: String,
    folder: TempDir,
    name: Option<String>,
}

impl Database {
    pub(crate) async fn create(engine: Engine) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("saas_bench_").tempdir()?;
        if engine == Engine::Sqlite {
            let url = format!("sqlite:{}", folder.path().join("saas.db").display());
            return Ok(Self { url, folder, name: None });
        }
        let name = folder.path().file_name().ok_or("the folder has a name")?.to_string_lossy().to_lowercase();
        run(format!("CREATE DATABASE \"{name}\"")).await?;
        let server = server()?;
        let (base, _) = server.rsplit_once('/').ok_or("the URL names a database")?;
        Ok(Self { url: format!("{base}/{name}"), folder, name: Some(name) })
    }

    pub(crate) async fn remove(self) -> Result<(), Failure> {
        match &self.name {
            Some(name) => run(format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await,
            None => Ok(()),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The product's storage over it, with the product's defaults.
    pub(crate) async fn storage(&self) -> Result<SqlStorage, Failure> {
        Ok(SqlStorage::open(&SqlOptions::new(&self.url)?).await?)
    }
}

async fn run(statement: String) -> Result<(), Failure> {
    let mut conn = PgConnection::connect(&server()?).await?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut conn).await?;
    Ok(conn.close().await?)
}
