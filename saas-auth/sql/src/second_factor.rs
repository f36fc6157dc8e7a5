//! Second factors in `saas_second_factors` and `saas_recovery_codes`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Factor, SecondFactorStore};
use saas_core::{Conn, Envelope, StoreError, Tx, UserId};
use saas_sql::{execute, fetch_one, fetch_optional};
use uuid::Uuid;

/// [`SecondFactorStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlSecondFactors;

/// A step before every step that there is.
const NO_STEP: i64 = -1;

#[derive(sqlx::FromRow)]
struct Row {
    user_id: Uuid,
    seed_envelope: Vec<u8>,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
}

impl From<Row> for Factor {
    fn from(row: Row) -> Self {
        Self {
            user: UserId::from_uuid(row.user_id),
            seed: Envelope::from_stored(row.seed_envelope),
            created_at: row.created_at,
            confirmed_at: row.confirmed_at,
        }
    }
}

macro_rules! columns {
    () => {
        "user_id, seed_envelope, created_at, confirmed_at"
    };
}

#[async_trait]
impl SecondFactorStore for SqlSecondFactors {
    async fn begin(
        &self,
        tx: &mut Tx,
        user: UserId,
        seed: &Envelope,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let begun = execute!(
            tx.conn(),
            "INSERT INTO saas_second_factors (user_id, seed_envelope, created_at, confirmed_at, last_step) \
             VALUES ($1, $2, $3, NULL, $4) ON CONFLICT (user_id) DO UPDATE SET seed_envelope = $2, created_at = $3, last_step = $4 \
             WHERE saas_second_factors.confirmed_at IS NULL",
            user.as_uuid(),
            seed.as_bytes(),
            now,
            NO_STEP,
        )?;
        Ok(begun == 1)
    }

    async fn factor(&self, conn: &mut Conn, user: UserId) -> Result<Option<Factor>, StoreError> {
        let query = concat!("SELECT ", columns!(), " FROM saas_second_factors WHERE user_id = $1");
        Ok(fetch_optional!(conn, Row, query, user.as_uuid())?.map(Factor::from))
    }

    async fn confirm(
        &self,
        tx: &mut Tx,
        user: UserId,
        begun: DateTime<Utc>,
        step: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let confirmed = execute!(
            tx.conn(),
            "UPDATE saas_second_factors SET confirmed_at = $4, last_step = $3 \
             WHERE user_id = $1 AND created_at = $2 AND confirmed_at IS NULL",
            user.as_uuid(),
            begun,
            step,
            now,
        )?;
        Ok(confirmed == 1)
    }

    async fn use_step(&self, tx: &mut Tx, user: UserId, step: i64) -> Result<bool, StoreError> {
        let done = execute!(
            tx.conn(),
            "UPDATE saas_second_factors SET last_step = $2 \
             WHERE user_id = $1 AND last_step < $2 AND confirmed_at IS NOT NULL",
            user.as_uuid(),
            step,
        )?;
        Ok(done == 1)
    }

    async fn replace_codes(
        &self,
        tx: &mut Tx,
        user: UserId,
        hashes: &[[u8; 32]],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        execute!(tx.conn(), "DELETE FROM saas_recovery_codes WHERE user_id = $1", user.as_uuid())?;
        for hash in hashes {
            execute!(
                tx.conn(),
                "INSERT INTO saas_recovery_codes (user_id, code_hash, created_at) VALUES ($1, $2, $3)",
                user.as_uuid(),
                hash.as_slice(),
                now,
            )?;
        }
        Ok(())
    }

    async fn use_code(&self, tx: &mut Tx, user: UserId, hash: &[u8; 32]) -> Result<bool, StoreError> {
        let done = execute!(
            tx.conn(),
            "DELETE FROM saas_recovery_codes WHERE user_id = $1 AND code_hash = $2",
            user.as_uuid(),
            hash.as_slice(),
        )?;
        Ok(done == 1)
    }

    async fn codes_left(&self, conn: &mut Conn, user: UserId) -> Result<i64, StoreError> {
        let query = "SELECT COUNT(*) FROM saas_recovery_codes WHERE user_id = $1";
        let (left,): (i64,) = fetch_one!(conn, (i64,), query, user.as_uuid())?;
        Ok(left)
    }

    async fn remove(&self, tx: &mut Tx, user: UserId) -> Result<Option<Factor>, StoreError> {
        let query = concat!("DELETE FROM saas_second_factors WHERE user_id = $1 RETURNING ", columns!());
        let removed = fetch_optional!(tx.conn(), Row, query, user.as_uuid())?;
        execute!(tx.conn(), "DELETE FROM saas_recovery_codes WHERE user_id = $1", user.as_uuid())?;
        Ok(removed.map(Factor::from))
    }
}
