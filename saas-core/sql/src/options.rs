//! How to open a database.

use std::{fmt, time::Duration};

/// Which engine a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// How hard SQLite makes a commit survive a power cut (`PRAGMA synchronous`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Every commit is on the disk when it returns.
    Full,
    /// A power cut may lose the last commits; a crash of the process loses nothing.
    Normal,
}

/// Where the database is, and the bounds on using it.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqlOptions {
    pub(crate) url: String,
    pub(crate) kind: EngineKind,
    /// Connections that read, at most; and as many that write on PostgreSQL (SQLite has one writer).
    pub pool_size: u32,
    /// How long a read waits for a connection.
    pub pool_timeout: Duration,
    /// How long `begin` waits for a writer.
    pub write_timeout: Duration,
    /// PostgreSQL's `statement_timeout`.
    pub statement_timeout: Duration,
    /// PostgreSQL's `lock_timeout`.
    pub lock_timeout: Duration,
    /// SQLite's `synchronous`.
    pub synchronous: Synchronous,
}

impl fmt::Debug for SqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlOptions")
            .field("kind", &self.kind)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// A URL that names neither engine, or one that this build lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDatabaseUrl {
    /// Neither scheme.
    #[error("the database URL must begin with sqlite: or postgres://")]
    Scheme,
    /// An engine that this build has not.
    #[error("this build has no {0} support: build with its feature `{0}`")]
    NotBuilt(&'static str),
}

impl SqlOptions {
    /// Options with the defaults: 10 connections, 5 s to wait for one or for the writer, 30 s for a statement, 5 s for a lock.
    pub fn new(url: &str) -> Result<Self, InvalidDatabaseUrl> {
        let kind = if url.starts_with("sqlite:") {
            EngineKind::Sqlite
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            EngineKind::Postgres
        } else {
            return Err(InvalidDatabaseUrl::Scheme);
        };
        match kind {
            EngineKind::Sqlite if !cfg!(feature = "sqlite") => {
                return Err(InvalidDatabaseUrl::NotBuilt("sqlite"));
            }
            EngineKind::Postgres if !cfg!(feature = "postgres") => {
                return Err(InvalidDatabaseUrl::NotBuilt("postgres"));
            }
            _ => {}
        }
        let seconds = Duration::from_secs;
        Ok(Self {
            url: url.to_owned(),
            kind,
            pool_size: 10,
            pool_timeout: seconds(5),
            write_timeout: seconds(5),
            statement_timeout: seconds(30),
            lock_timeout: seconds(5),
            synchronous: Synchronous::Full,
        })
    }

    /// Which engine it is.
    pub const fn kind(&self) -> EngineKind {
        self.kind
    }
}
