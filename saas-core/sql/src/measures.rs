//! What an operator may know of the pools: how full they are, and how long who begins a transaction waits.

use std::time::Instant;

use metrics::{Counter, Histogram, counter, histogram};
use saas_core::StoreError;
use sqlx::{Database, Pool};

use crate::SqlStorage;

/// A pool at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// `read` or `write`.
    pub name: &'static str,
    /// How many connections it may have.
    pub limit: u32,
    /// How many wait to be used.
    pub idle: u32,
    /// How many somebody has.
    pub in_use: u32,
}

impl PoolStatus {
    pub(crate) fn of<D: Database>(name: &'static str, pool: &Pool<D>) -> Self {
        // The two are not read at one moment.
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let in_use = pool.size().saturating_sub(idle);
        Self { name, limit: pool.options().get_max_connections(), idle, in_use }
    }
}

/// Where it is counted; resolved once for a storage.
#[derive(Debug)]
pub(crate) struct Measures {
    read_timeouts: Counter,
    write_timeouts: Counter,
    begin_wait: Histogram,
}

impl Measures {
    pub(crate) fn new() -> Self {
        Self {
            read_timeouts: counter!("saas_storage_pool_timeouts_total", "pool" => "read"),
            write_timeouts: counter!("saas_storage_pool_timeouts_total", "pool" => "write"),
            begin_wait: histogram!("saas_storage_begin_wait_seconds"),
        }
    }

    /// A read that got no connection.
    pub(crate) fn not_read(&self, error: &sqlx::Error) {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            self.read_timeouts.increment(1);
        }
    }

    /// Waits for `begin`, and counts for how long, in vain or not.
    pub(crate) async fn waiting<T>(
        &self,
        begin: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let asked = now();
        let transaction = begin.await;
        self.begin_wait.record(asked.elapsed());
        if matches!(transaction, Err(StoreError::Busy { .. })) {
            self.write_timeouts.increment(1);
        }
        transaction
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a storage has no clock, and nothing is decided by how long it took"
)]
fn now() -> Instant {
    Instant::now()
}

impl SqlStorage {
    /// The pools as they are now: the one that reads, and the one that writes.
    pub fn pools(&self) -> [PoolStatus; 2] {
        match &self.pools {
            #[cfg(feature = "postgres")]
            crate::storage::Pools::Postgres { read, write, .. } => {
                [PoolStatus::of("read", read), PoolStatus::of("write", write)]
            }
            #[cfg(feature = "sqlite")]
            crate::storage::Pools::Sqlite { read, write, .. } => {
                [PoolStatus::of("read", read), PoolStatus::of("write", write)]
            }
        }
    }
}
