//! Embedded migrations: one folder per engine, applied under a lock, remembered with a checksum in `saas_migrations`.
//!
//! Each migration says the oldest version of its component that can still run on the schema it leaves behind (`min_compatible`), so
//! that a rolling deployment may have one binary newer than the other, and a binary that is too old refuses to start.

use chrono::{DateTime, Utc};
use saas_core::{Clock, Conn, Reach, Storage, StoreError, Tx, clock::stored_now, text::hex};
use sha2::{Digest, Sha256};

use crate::{Engine, EngineKind, SqlError, SqlStorage, engine, execute, fetch_all, sql};

/// One crate's migrations.
#[derive(Debug, Clone, Copy)]
pub struct Component {
    /// Its name in `saas_migrations`.
    pub name: &'static str,
    /// In order, from version 1 without a gap.
    pub migrations: &'static [Migration],
}

/// One step of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// From 1, without a gap.
    pub version: i64,
    /// The oldest version of the component that runs on this schema.
    pub min_compatible: i64,
    /// The name of its two files.
    pub name: &'static str,
    /// The statements for PostgreSQL.
    pub postgres: &'static str,
    /// The statements for SQLite.
    pub sqlite: &'static str,
}

/// A [`Component`] from `migrations/postgres/<name>.sql` and `migrations/sqlite/<name>.sql` beside the calling crate's `Cargo.toml`:
/// `component!("auth", [(1, 1, "0001_users")])` names version, `min_compatible` and file.
#[macro_export]
macro_rules! component {
    ($component:literal, [$(($version:literal, $min:literal, $name:literal)),+ $(,)?]) => {
        $crate::Component {
            name: $component,
            migrations: &[$($crate::Migration {
                version: $version,
                min_compatible: $min,
                name: $name,
                postgres: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $name, ".sql")),
                sqlite: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $name, ".sql")),
            }),+],
        }
    };
}

impl Migration {
    const fn statements(&self, kind: EngineKind) -> &'static str {
        match kind {
            EngineKind::Postgres => self.postgres,
            EngineKind::Sqlite => self.sqlite,
        }
    }

    fn checksum(&self, kind: EngineKind) -> String {
        hex(&Sha256::digest(self.statements(kind).as_bytes()))
    }
}

impl Component {
    fn newest(&self) -> i64 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }
}

/// Why a database cannot be migrated, or not be used as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// What was applied is not what this binary holds under that number.
    #[error(
        "migration {component}/{version} was applied with other statements than this binary holds: use the release that made this database, or restore a backup"
    )]
    Changed {
        /// The component.
        component: String,
        /// Its version.
        version: i64,
    },
    /// A newer release has moved the schema on, past what this binary can run on.
    #[error(
        "the database is at {component}/{database}, which needs at least version {needs}; this binary knows {binary}: deploy the newer release"
    )]
    TooNew {
        /// The component.
        component: String,
        /// Where the database is.
        database: i64,
        /// What it asks for.
        needs: i64,
        /// What this binary knows.
        binary: i64,
    },
    /// A migration's statements failed; nothing of it stayed.
    #[error("migration {component}/{version} failed")]
    Failed {
        /// The component.
        component: &'static str,
        /// Its version.
        version: i64,
        /// The engine's answer.
        #[source]
        source: StoreError,
    },
    /// The storage failed.
    #[error("the migrations could not be read")]
    Store(#[from] StoreError),
}

impl From<SqlError> for MigrateError {
    fn from(error: SqlError) -> Self {
        Self::Store(error.into())
    }
}

/// Where a database stands against this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// `component/version` of what is not applied yet, in order.
    pub pending: Vec<String>,
}

impl MigrationStatus {
    /// Whether nothing is pending.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty()
    }
}

#[derive(Debug, sqlx::FromRow)]
struct Applied {
    component: String,
    version: i64,
    checksum: String,
    min_compatible: i64,
}

impl SqlStorage {
    /// Applies what is pending, in the order given and in one transaction, under a lock: of several processes one works and the
    /// others find it done. Answers what was applied.
    pub async fn migrate(
        &self,
        components: &[Component],
        clock: &dyn Clock,
    ) -> Result<MigrationStatus, MigrateError> {
        let mut tx = self.begin_migration().await?;
        lock(tx.conn()).await?;
        let done = apply(tx.conn(), self.kind(), components, stored_now(clock)).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Another process that migrates holds SQLite's writer for longer than a command may: wait for it up to a minute.
    async fn begin_migration(&self) -> Result<Tx, StoreError> {
        let mut tries = 0;
        loop {
            match self.begin(Reach::Platform("migrations")).await {
                Err(StoreError::Busy { .. }) if tries < 11 => tries += 1,
                done => return done,
            }
        }
    }

    /// Where the database stands; an empty one has everything pending.
    pub async fn migration_status(&self, components: &[Component]) -> Result<MigrationStatus, MigrateError> {
        let mut conn = self.read(Reach::Platform("migrations")).await?;
        let applied = if ledger_exists(&mut conn).await? { applied(&mut conn).await? } else { Vec::new() };
        Ok(MigrationStatus {
            pending: pending(components, &applied, self.kind())?.iter().map(label).collect(),
        })
    }
}

impl SqlStorage {
    /// `component/version` of every migration that was applied to this database.
    pub async fn applied_migrations(&self) -> Result<Vec<String>, StoreError> {
        let mut conn = self.read(Reach::Platform("migrations")).await?;
        let applied = applied(&mut conn).await?;
        Ok(applied.into_iter().map(|row| format!("{}/{}", row.component, row.version)).collect())
    }
}

fn label((component, migration): &(&'static str, &'static Migration)) -> String {
    format!("{component}/{}", migration.version)
}

async fn apply(
    conn: &mut Conn,
    kind: EngineKind,
    components: &[Component],
    now: DateTime<Utc>,
) -> Result<MigrationStatus, MigrateError> {
    run(conn, LEDGER).await?;
    let applied = applied(conn).await?;
    let pending = pending(components, &applied, kind)?;
    for (component, migration) in &pending {
        let failed = |source| MigrateError::Failed { component, version: migration.version, source };
        step(conn, kind, component, migration, now).await.map_err(failed)?;
        tracing::info!(
            migration.component = component,
            migration.version,
            migration.name,
            "migration applied"
        );
    }
    Ok(MigrationStatus { pending: pending.iter().map(label).collect() })
}

/// One migration and its line in the ledger.
async fn step(
    conn: &mut Conn,
    kind: EngineKind,
    component: &str,
    migration: &Migration,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    run(conn, migration.statements(kind)).await?;
    execute!(
        conn,
        "INSERT INTO saas_migrations (component, version, name, checksum, min_compatible, applied_at) VALUES ($1, $2, $3, $4, $5, $6)",
        component,
        migration.version,
        migration.name,
        migration.checksum(kind),
        migration.min_compatible,
        now,
    )?;
    Ok(())
}

/// What is pending, after a look at what was applied.
fn pending(
    components: &[Component],
    applied: &[Applied],
    kind: EngineKind,
) -> Result<Vec<(&'static str, &'static Migration)>, MigrateError> {
    let mut pending = Vec::new();
    for component in components {
        let of_this = || applied.iter().filter(|row| row.component == component.name);
        for row in of_this() {
            let known = component.migrations.iter().find(|migration| migration.version == row.version);
            if known.is_some_and(|migration| migration.checksum(kind) != row.checksum) {
                return Err(MigrateError::Changed { component: row.component.clone(), version: row.version });
            }
        }
        let needs = of_this().map(|row| row.min_compatible).max().unwrap_or(0);
        if needs > component.newest() {
            return Err(MigrateError::TooNew {
                component: component.name.to_owned(),
                database: of_this().map(|row| row.version).max().unwrap_or(0),
                needs,
                binary: component.newest(),
            });
        }
        let is_new = |migration: &&Migration| !of_this().any(|row| row.version == migration.version);
        pending
            .extend(component.migrations.iter().filter(is_new).map(|migration| (component.name, migration)));
    }
    Ok(pending)
}

/// The same words on both engines; `timestamptz` on SQLite is a column of text.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS saas_migrations (
    component text NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    min_compatible bigint NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (component, version)
)";

async fn ledger_exists(conn: &mut Conn) -> Result<bool, StoreError> {
    let found: Option<(String,)> = match engine(conn)? {
        #[cfg(feature = "postgres")]
        Engine::Postgres(c) => {
            sqlx::query_as("SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'saas_migrations'")
                .fetch_optional(c)
                .await
        }
        #[cfg(feature = "sqlite")]
        Engine::Sqlite(c) => {
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'saas_migrations'").fetch_optional(c).await
        }
    }
    .map_err(SqlError::from)?;
    Ok(found.is_some())
}

async fn applied(conn: &mut Conn) -> Result<Vec<Applied>, StoreError> {
    // Bounded by the number of migrations ever released.
    Ok(fetch_all!(
        conn,
        Applied,
        "SELECT component, version, checksum, min_compatible FROM saas_migrations ORDER BY component, version"
    )?)
}

async fn run(conn: &mut Conn, statements: &'static str) -> Result<(), StoreError> {
    sql!(conn, |c| async { sqlx::raw_sql(statements).execute(c).await.map(drop) })?;
    Ok(())
}

/// PostgreSQL: an advisory lock until the commit, without the time-outs of ordinary statements. SQLite: its writer is the lock.
#[cfg_attr(
    not(feature = "postgres"),
    expect(clippy::unused_async, reason = "SQLite has nothing to wait for")
)]
async fn lock(conn: &mut Conn) -> Result<(), StoreError> {
    match engine(conn)? {
        #[cfg(feature = "postgres")]
        Engine::Postgres(c) => sqlx::raw_sql(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_xact_lock(hashtext('saas_migrations'), hashtext(current_schema()))",
        )
        .execute(c)
        .await
        .map(drop)
        .map_err(|error| SqlError::from(error).into()),
        #[cfg(feature = "sqlite")]
        Engine::Sqlite(_) => Ok(()),
    }
}
