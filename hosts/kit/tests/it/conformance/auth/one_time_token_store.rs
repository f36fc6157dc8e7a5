//! `OneTimeTokenStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    MailPurpose, OneTimeToken, OneTimeTokenId, OneTimeTokenStore, Undos,
    conformance::one_time_token_store::{LINES, OneTimeTokenStoreSubject as Subject, check},
};
use saas_auth_sql::{SqlOneTimeTokens, SqlUsers};
use saas_core::{Conn, StoreError, Tx, UserId};
use saas_kit::testing::TestEngine;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, tokens: Arc<dyn OneTimeTokenStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlUsers), tokens, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlOneTimeTokens)).await
}

on_each_engine!(saas_auth::one_time_token_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl OneTimeTokenStore for Broken {
    async fn insert(&self, tx: &mut Tx, token: &OneTimeToken) -> Result<bool, StoreError> {
        let mut token = token.clone();
        if self.0 == "what_was_inserted_is_read_back" {
            token.other_address = None;
        }
        SqlOneTimeTokens.insert(tx, &token).await.map(|taken| taken || self.0.starts_with("a_newer_token"))
    }

    async fn by_id(&self, conn: &mut Conn, id: OneTimeTokenId) -> Result<Option<OneTimeToken>, StoreError> {
        SqlOneTimeTokens.by_id(conn, id).await
    }

    async fn consume(
        &self,
        tx: &mut Tx,
        id: OneTimeTokenId,
        purpose: MailPurpose,
        hash: &[u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Option<OneTimeToken>, StoreError> {
        if self.0.starts_with("of_several_uses") {
            // Read, and then used: two who read at once both get it.
            let token = SqlOneTimeTokens.by_id(tx.conn(), id).await?;
            return Ok(token.map(|token| OneTimeToken { used_at: Some(now), ..token }));
        }
        // As if none ever ended.
        let now = if self.0.starts_with("a_token_of_another") { DateTime::UNIX_EPOCH } else { now };
        SqlOneTimeTokens.consume(tx, id, purpose, hash, now).await
    }

    async fn end(&self, tx: &mut Tx, user: UserId, undos: Undos) -> Result<u64, StoreError> {
        let undos = if self.0.starts_with("the_end") { Undos::End } else { undos };
        SqlOneTimeTokens.end(tx, user, undos).await
    }

    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<OneTimeToken>, StoreError> {
        let mut tokens = SqlOneTimeTokens.of_user(conn, user, limit).await?;
        if self.0.starts_with("a_users_tokens") {
            tokens.reverse();
        }
        Ok(tokens)
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let subject = over(TestEngine::Sqlite, Arc::new(Broken(line))).await;
        assert_noticed(line, check(line, subject)).await;
    }
}
