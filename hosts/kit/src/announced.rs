//! Changes that other processes are told of at once.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Change, ChangeFeed};
use saas_core::{Conn, StoreError, Tx};
use saas_sql::Signals;

/// What the other processes hear.
pub(crate) const CHANGES: &str = "changes";

/// A feed whose changes are raised as a signal after their commit. Who does not hear it reads the feed each second.
#[derive(Debug)]
pub(crate) struct Announced<F> {
    pub(crate) feed: F,
    pub(crate) signals: Signals,
}

#[async_trait]
impl<F: ChangeFeed> ChangeFeed for Announced<F> {
    async fn note(&self, tx: &mut Tx, change: &Change) -> Result<(), StoreError> {
        self.feed.note(tx, change).await?;
        let signals = self.signals.clone();
        tx.after_commit(move || signals.raise(CHANGES));
        Ok(())
    }

    async fn since(
        &self,
        conn: &mut Conn,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError> {
        self.feed.since(conn, since, limit).await
    }

    async fn forget(&self, tx: &mut Tx, before: DateTime<Utc>) -> Result<u64, StoreError> {
        self.feed.forget(tx, before).await
    }
}
