//! The connection that an engine gives, inside a [`Conn`], and how it is lent.

use saas_core::{Conn, StoreError, storage::Connection};
#[cfg(feature = "postgres")]
use sqlx::{PgConnection, Postgres};
#[cfg(feature = "sqlite")]
use sqlx::{Sqlite, SqliteConnection};
use sqlx::{Transaction, pool::PoolConnection};

#[cfg(feature = "sqlite")]
use crate::sqlite::WriterLease;

/// What this crate puts into a [`Conn`].
#[derive(Debug)]
pub(crate) enum SqlConn {
    #[cfg(feature = "postgres")]
    Pg(PoolConnection<Postgres>),
    #[cfg(feature = "postgres")]
    PgTx(Transaction<'static, Postgres>),
    #[cfg(feature = "sqlite")]
    Sqlite(PoolConnection<Sqlite>),
    #[cfg(feature = "sqlite")]
    SqliteTx(Transaction<'static, Sqlite>, Option<WriterLease>),
}

impl Connection for SqlConn {}

/// sqlx's connection of either engine.
#[derive(Debug)]
pub enum Engine<'c> {
    /// PostgreSQL's.
    #[cfg(feature = "postgres")]
    Postgres(&'c mut PgConnection),
    /// SQLite's.
    #[cfg(feature = "sqlite")]
    Sqlite(&'c mut SqliteConnection),
}

/// Lends sqlx's connection of whichever engine it is.
pub fn engine(conn: &mut Conn) -> Result<Engine<'_>, StoreError> {
    Ok(match conn.downcast_mut::<SqlConn>()? {
        #[cfg(feature = "postgres")]
        SqlConn::Pg(conn) => Engine::Postgres(conn),
        #[cfg(feature = "postgres")]
        SqlConn::PgTx(tx) => Engine::Postgres(tx),
        #[cfg(feature = "sqlite")]
        SqlConn::Sqlite(conn) => Engine::Sqlite(conn),
        #[cfg(feature = "sqlite")]
        SqlConn::SqliteTx(tx, _) => Engine::Sqlite(tx),
    })
}

/// Lends PostgreSQL's connection for tables of your own; an error on SQLite.
#[cfg(feature = "postgres")]
pub fn pg(conn: &mut Conn) -> Result<&mut PgConnection, StoreError> {
    match engine(conn)? {
        Engine::Postgres(conn) => Ok(conn),
        #[cfg(feature = "sqlite")]
        Engine::Sqlite(_) => Err(StoreError::ForeignConnection),
    }
}

/// Lends SQLite's connection for tables of your own; an error on PostgreSQL.
#[cfg(feature = "sqlite")]
pub fn sqlite(conn: &mut Conn) -> Result<&mut SqliteConnection, StoreError> {
    match engine(conn)? {
        Engine::Sqlite(conn) => Ok(conn),
        #[cfg(feature = "postgres")]
        Engine::Postgres(_) => Err(StoreError::ForeignConnection),
    }
}
