//! PostgreSQL's side of the storage: a pool that writes and a pool whose connections cannot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use saas_core::{Conn, StoreError, Tx};
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    OpenError, Released, SqlOptions, SqlStorage,
    conn::SqlConn,
    storage::{Pools, SqlTx, released},
};

impl SqlStorage {
    pub(crate) async fn open_postgres(options: &SqlOptions) -> Result<Self, OpenError> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let connect: PgConnectOptions = options.url.parse().map_err(OpenError::Url)?;
        let connect = connect.application_name("saas").options([
            ("statement_timeout", millis(options.statement_timeout)),
            ("lock_timeout", millis(options.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(options.statement_timeout)),
            // sqlx logs notices at info, and "already exists, skipping" at every start is no news.
            ("client_min_messages", "warning".to_owned()),
        ]);
        let pool = asked_when_idle(PgPoolOptions::new())
            .max_connections(options.pool_size)
            .acquire_timeout(options.write_timeout)
            .connect_with(connect.clone())
            .await;
        match pool {
            Ok(pool) => Ok(Self::over_pg(pool, Singles::of_our_pool())),
            Err(error) => Err(OpenError::Connect(cause(error, &connect).await)),
        }
    }

    /// Takes an embedder's pool for transactions; reads get a pool of their own with the same options, whose connections cannot write.
    ///
    /// Let a command on it run to its end: sqlx 0.9.0 hands a connection whose `BEGIN` was dropped half-way back to the pool with the
    /// transaction open (its issue 4393). The next transaction there is whole all the same, but a statement without one joins it.
    pub fn from_pg(write: PgPool) -> Self {
        Self::over_pg(write, Singles::of_their_pool())
    }

    fn over_pg(write: PgPool, singles: Singles) -> Self {
        let connect = (*write.connect_options()).clone().options([("default_transaction_read_only", "on")]);
        let read = asked_when_idle(PgPoolOptions::new())
            .max_connections(write.options().get_max_connections())
            .acquire_timeout(write.options().get_acquire_timeout())
            .connect_lazy_with(connect);
        Self::over(Pools::Postgres { read, write, singles })
    }

    /// Makes a [`Tx`] of an embedder's transaction, so that our commands can join it.
    pub fn adopt_pg(&self, transaction: Transaction<'static, Postgres>) -> Tx {
        Tx::new(SqlTx(Conn::new(SqlConn::PgTx(transaction))))
    }

    /// Hands the transaction of an adopted (or begun) [`Tx`] back, uncommitted.
    pub fn release_pg(&self, tx: Tx) -> Result<Released<Transaction<'static, Postgres>>, StoreError> {
        match released(tx)? {
            (SqlConn::PgTx(transaction), after_commit) => Ok(Released { transaction, after_commit }),
            _ => Err(StoreError::ForeignConnection),
        }
    }
}

/// Whether a statement without a transaction commits itself. sqlx 0.9.0 hands a connection whose `BEGIN` was dropped half-way back to the pool
/// with the transaction open (its issue 4393), and such a statement would join it and be lost with it.
#[derive(Debug, Clone)]
pub(crate) struct Singles(Option<Arc<AtomicBool>>);

impl Singles {
    /// As long as each of our own transactions has begun whole.
    fn of_our_pool() -> Self {
        Self(Some(Arc::new(AtomicBool::new(true))))
    }

    /// Never: others begin transactions there.
    fn of_their_pool() -> Self {
        Self(None)
    }

    pub(crate) fn are_safe(&self) -> bool {
        self.0.as_ref().is_some_and(|safe| safe.load(Ordering::SeqCst))
    }

    /// To be told when a transaction has begun or has failed to; dropped before, nobody trusts the pool any more.
    pub(crate) fn begin(&self) -> Beginning {
        Beginning(self.0.clone())
    }
}

/// A transaction that begins.
pub(crate) struct Beginning(Option<Arc<AtomicBool>>);

impl Beginning {
    pub(crate) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        if let Some(safe) = &self.0 {
            safe.store(false, Ordering::SeqCst);
        }
    }
}

/// Whether the pool has every connection that it may have, and somebody has each of them. Where the server is away, it has fewer, but
/// for those that are being opened.
pub(crate) fn all_taken(pool: &PgPool) -> bool {
    pool.size() >= pool.options().get_max_connections() && pool.num_idle() == 0
}

/// Connects, and asks whether somebody is there.
pub(crate) async fn ping_anew(connect: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut conn = PgConnection::connect_with(connect).await?;
    conn.ping().await?;
    conn.close().await
}

/// How long a connection may have been idle to be used without asking whether it lives.
const FRESH: Duration = Duration::from_secs(1);

/// Asking a connection whether it lives takes a round trip, as every statement does: one that was used a moment ago is not asked. Should
/// it be dead, its statement fails as unavailable, and the next gets another one.
fn asked_when_idle(options: PgPoolOptions) -> PgPoolOptions {
    options.test_before_acquire(false).before_acquire(|conn, meta| {
        Box::pin(
            async move { if meta.idle_for < FRESH { Ok(true) } else { conn.ping().await.map(|()| true) } },
        )
    })
}

/// The pool tries again until its time is over, and then says no more than that: one look at the server says why.
async fn cause(error: sqlx::Error, connect: &PgConnectOptions) -> sqlx::Error {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return error;
    }
    let look = tokio::time::timeout(Duration::from_secs(1), PgConnection::connect_with(connect)).await;
    look.ok().and_then(Result::err).unwrap_or(error)
}
