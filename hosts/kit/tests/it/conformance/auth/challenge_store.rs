//! `ChallengeStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Challenge, ChallengeId, ChallengeStore,
    conformance::challenge_store::{ChallengeStoreSubject as Subject, LINES, check},
};
use saas_auth_sql::{SqlChallenges, SqlUsers};
use saas_core::{StoreError, Tx, UserId};
use saas_kit::testing::TestEngine;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, challenges: Arc<dyn ChallengeStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlUsers), challenges, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlChallenges)).await
}

on_each_engine!(saas_auth::challenge_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl ChallengeStore for Broken {
    async fn insert(&self, tx: &mut Tx, challenge: &Challenge) -> Result<(), StoreError> {
        SqlChallenges.insert(tx, challenge).await
    }

    async fn attempt(
        &self,
        tx: &mut Tx,
        id: ChallengeId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<Challenge>, StoreError> {
        let now = if self.0.starts_with("a_challenge_is_given") { DateTime::UNIX_EPOCH } else { now };
        let most = if self.0.starts_with("of_many") { most + 1 } else { most };
        SqlChallenges.attempt(tx, id, most, now).await
    }

    async fn close(&self, tx: &mut Tx, id: ChallengeId) -> Result<bool, StoreError> {
        let closed = SqlChallenges.close(tx, id).await?;
        Ok(closed || self.0.starts_with("a_challenge_is_closed"))
    }

    async fn end(&self, tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
        if self.0.starts_with("all_challenges") { Ok(()) } else { SqlChallenges.end(tx, user).await }
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
