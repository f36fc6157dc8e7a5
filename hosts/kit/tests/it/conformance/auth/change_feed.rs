//! `ChangeFeed`.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Change, ChangeFeed,
    conformance::change_feed::{ChangeFeedSubject as Subject, LINES, check},
};
use saas_auth_sql::SqlChanges;
use saas_core::{Conn, StoreError, Tx};
use saas_kit::testing::TestEngine;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, changes: Arc<dyn ChangeFeed>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), changes, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlChanges)).await
}

on_each_engine!(saas_auth::change_feed_conformance);

/// The SQL feed, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str, Mutex<Vec<Change>>);

#[async_trait]
impl ChangeFeed for Broken {
    async fn note(&self, tx: &mut Tx, change: &Change) -> Result<(), StoreError> {
        // Beside the transaction: seen before it commits, and without it.
        if self.0.starts_with("a_change_is_seen") {
            self.1.lock().unwrap().push(*change);
        }
        SqlChanges.note(tx, change).await
    }

    async fn since(
        &self,
        conn: &mut Conn,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError> {
        let mut changes = SqlChanges.since(conn, since, limit).await?;
        changes.extend(self.1.lock().unwrap().iter());
        if self.0.starts_with("the_changes_since") {
            changes.retain(|change| change.at > since);
        }
        Ok(changes)
    }

    async fn forget(&self, tx: &mut Tx, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let before = if self.0.starts_with("what_is_older") { DateTime::<Utc>::MAX_UTC } else { before };
        SqlChanges.forget(tx, before).await
    }
}

#[tokio::test]
async fn a_feed_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let broken = Arc::new(Broken(line, Mutex::default()));
        assert_noticed(line, check(line, over(TestEngine::Sqlite, broken).await)).await;
    }
}
