//! `SecondFactorStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Factor, SecondFactorStore,
    conformance::second_factor_store::{LINES, SecondFactorStoreSubject as Subject, check},
};
use saas_auth_sql::{SqlSecondFactors, SqlUsers};
use saas_core::{Conn, Envelope, StoreError, Tx, UserId};
use saas_kit::testing::TestEngine;
use saas_sql::execute;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, factors: Arc<dyn SecondFactorStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlUsers), factors, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlSecondFactors)).await
}

on_each_engine!(saas_auth::second_factor_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl SecondFactorStore for Broken {
    async fn begin(
        &self,
        tx: &mut Tx,
        user: UserId,
        seed: &Envelope,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.0.starts_with("a_factor_takes_the_place") {
            SqlSecondFactors.remove(tx, user).await?;
        }
        SqlSecondFactors.begin(tx, user, seed, now).await
    }

    async fn factor(&self, conn: &mut Conn, user: UserId) -> Result<Option<Factor>, StoreError> {
        SqlSecondFactors.factor(conn, user).await
    }

    async fn confirm(
        &self,
        tx: &mut Tx,
        user: UserId,
        begun: DateTime<Utc>,
        step: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        // The step is forgotten.
        let step = if self.0.starts_with("a_factor_is_confirmed") { -1 } else { step };
        SqlSecondFactors.confirm(tx, user, begun, step, now).await
    }

    async fn use_step(&self, tx: &mut Tx, user: UserId, step: i64) -> Result<bool, StoreError> {
        let done = SqlSecondFactors.use_step(tx, user, step).await?;
        Ok(done || self.0.starts_with("a_step_is_used"))
    }

    async fn replace_codes(
        &self,
        tx: &mut Tx,
        user: UserId,
        hashes: &[[u8; 32]],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        SqlSecondFactors.replace_codes(tx, user, hashes, now).await
    }

    async fn use_code(&self, tx: &mut Tx, user: UserId, hash: &[u8; 32]) -> Result<bool, StoreError> {
        if self.0.starts_with("a_code_is_used") {
            let whosever = "DELETE FROM saas_recovery_codes WHERE code_hash = $1";
            return Ok(execute!(tx.conn(), whosever, hash.as_slice())? == 1);
        }
        SqlSecondFactors.use_code(tx, user, hash).await
    }

    async fn codes_left(&self, conn: &mut Conn, user: UserId) -> Result<i64, StoreError> {
        SqlSecondFactors.codes_left(conn, user).await
    }

    async fn remove(&self, tx: &mut Tx, user: UserId) -> Result<Option<Factor>, StoreError> {
        let removed = SqlSecondFactors.remove(tx, user).await?;
        if self.0.starts_with("a_factor_is_removed") {
            SqlSecondFactors.replace_codes(tx, user, &[[9; 32]], DateTime::UNIX_EPOCH).await?;
        }
        Ok(removed)
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
