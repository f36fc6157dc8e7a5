//! `PasswordHistory`.

use std::sync::Arc;

use async_trait::async_trait;
use saas_auth::{
    PasswordHash,
    conformance::password_history::{LINES, PasswordHistorySubject as Subject, check},
    password::{FormerPassword, PasswordHistory},
};
use saas_auth_sql::{SqlPasswordHistory, SqlUsers};
use saas_core::{Conn, Reach, Storage, StoreError, Tx, UserId};
use saas_kit::testing::TestEngine;
use saas_sql::{execute, fetch_all};

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, history: Arc<dyn PasswordHistory>) -> Subject {
    let (database, storage) = migrated(engine).await;
    let there = storage.clone();
    let remove = move |user: UserId| -> futures_util::future::BoxFuture<'static, ()> {
        let there = there.clone();
        Box::pin(async move {
            let mut tx = there.begin(Reach::Platform("test")).await.unwrap();
            execute!(tx.conn(), "DELETE FROM saas_users WHERE id = $1", user.as_uuid()).unwrap();
            tx.commit().await.unwrap();
        })
    };
    Subject::new(shared(&storage), Arc::new(SqlUsers), history, Box::new(remove), database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlPasswordHistory)).await
}

on_each_engine!(saas_auth::password_history_conformance);

/// The SQL history, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl PasswordHistory for Broken {
    async fn recent(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<PasswordHash>, StoreError> {
        let mut recent = SqlPasswordHistory.recent(conn, user, limit).await?;
        if self.0.starts_with("the_latest") {
            recent.reverse();
        }
        // As if the hashes were kept apart from their users.
        if self.0.starts_with("what_is_remembered") && recent.is_empty() {
            let all = fetch_all!(conn, (String,), "SELECT password_hash FROM saas_password_history LIMIT 1")?;
            recent.extend(all.into_iter().map(|(hash,)| PasswordHash::from_stored(hash)));
        }
        Ok(recent)
    }

    async fn remember(&self, tx: &mut Tx, former: &FormerPassword, keep: u32) -> Result<(), StoreError> {
        let keep = if self.0.starts_with("no_more") { u32::MAX } else { keep };
        SqlPasswordHistory.remember(tx, former, keep).await
    }
}

#[tokio::test]
async fn a_history_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
