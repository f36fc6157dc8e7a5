//! What every process has to hear of at once: that something a request is decided by has changed.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, StoreError, TenantId, Tx, UserId};

saas_core::id! {
    /// A change.
    pub ChangeId
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changed {
    /// A user: their status, their profile, one of their sessions or memberships.
    User(UserId),
    /// A tenant: its state.
    Tenant(TenantId),
    /// Something else, of a newer release, or too much to say: everything is asked for again.
    Everything,
}

/// A change, as the feed keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: ChangeId,
    /// What has changed.
    pub what: Changed,
    /// When, by the clock of the process that changed it.
    pub at: DateTime<Utc>,
}

/// Carries changes from the process that makes one to every other.
///
/// A process asks for what is new once a second, and again for the last half minute each time: transactions do not commit in the order
/// in which they begin, and clocks differ.
///
/// # Contract
/// - A change that was noted is seen when its transaction is committed, never before, and never if that rolls back.
/// - `since` gives the changes that were noted at that moment or later, each once, oldest first, at most `limit` of them.
/// - `forget` removes the changes from before a moment and no others.
#[async_trait]
pub trait ChangeFeed: Debug + Send + Sync + 'static {
    /// Notes a change in the transaction that makes it.
    async fn note(&self, tx: &mut Tx, change: &Change) -> Result<(), StoreError>;
    /// The changes since a moment.
    async fn since(
        &self,
        conn: &mut Conn,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError>;
    /// Removes those from before a moment, and tells how many there were.
    async fn forget(&self, tx: &mut Tx, before: DateTime<Utc>) -> Result<u64, StoreError>;
}
