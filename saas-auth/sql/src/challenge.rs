//! Challenges in `saas_sign_in_challenges`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Challenge, ChallengeId, ChallengeStore};
use saas_core::{StoreError, Tx, UserId};
use saas_sql::{execute, fetch_optional};
use uuid::Uuid;

/// [`ChallengeStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlChallenges;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<Row> for Challenge {
    fn from(row: Row) -> Self {
        Self {
            id: ChallengeId::from_uuid(row.id),
            user: UserId::from_uuid(row.user_id),
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

#[async_trait]
impl ChallengeStore for SqlChallenges {
    async fn insert(&self, tx: &mut Tx, challenge: &Challenge) -> Result<(), StoreError> {
        execute!(
            tx.conn(),
            "INSERT INTO saas_sign_in_challenges (id, user_id, attempts, created_at, expires_at) \
             VALUES ($1, $2, 0, $3, $4)",
            challenge.id.as_uuid(),
            challenge.user.as_uuid(),
            challenge.created_at,
            challenge.expires_at,
        )?;
        Ok(())
    }

    async fn attempt(
        &self,
        tx: &mut Tx,
        id: ChallengeId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<Challenge>, StoreError> {
        let row = fetch_optional!(
            tx.conn(),
            Row,
            "UPDATE saas_sign_in_challenges SET attempts = attempts + 1 WHERE id = $1 AND attempts < $2 AND expires_at > $3 \
             RETURNING id, user_id, created_at, expires_at",
            id.as_uuid(),
            most,
            now,
        )?;
        Ok(row.map(Challenge::from))
    }

    async fn close(&self, tx: &mut Tx, id: ChallengeId) -> Result<bool, StoreError> {
        Ok(execute!(tx.conn(), "DELETE FROM saas_sign_in_challenges WHERE id = $1", id.as_uuid())? == 1)
    }

    async fn end(&self, tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
        execute!(tx.conn(), "DELETE FROM saas_sign_in_challenges WHERE user_id = $1", user.as_uuid())?;
        Ok(())
    }
}
