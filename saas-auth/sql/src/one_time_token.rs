//! One-time tokens in `saas_one_time_tokens`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{MailPurpose, OneTimeToken, OneTimeTokenId, OneTimeTokenStore, Undos};
use saas_core::{Conn, Envelope, StoreError, Tx, UserId};
use saas_sql::{execute, fetch_all, fetch_optional};
use uuid::Uuid;

/// [`OneTimeTokenStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlOneTimeTokens;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Option<Uuid>,
    purpose: String,
    address_hash: Vec<u8>,
    address_envelope: Option<Vec<u8>>,
    key_id: String,
    hash: Vec<u8>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    used_at: Option<DateTime<Utc>>,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, user_id, purpose, address_hash, address_envelope, key_id, hash, created_at, expires_at, used_at"
    };
}

impl Row {
    /// One of a purpose or a form of a newer release is none that this one could use.
    fn token(self) -> Option<OneTimeToken> {
        Some(OneTimeToken {
            id: OneTimeTokenId::from_uuid(self.id),
            user: self.user_id.map(UserId::from_uuid),
            purpose: MailPurpose::from_stored(&self.purpose)?,
            address: self.address_hash.try_into().ok()?,
            other_address: self.address_envelope.map(Envelope::from_stored),
            key: self.key_id,
            hash: self.hash.try_into().ok()?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            used_at: self.used_at,
        })
    }
}

#[async_trait]
impl OneTimeTokenStore for SqlOneTimeTokens {
    async fn insert(&self, tx: &mut Tx, token: &OneTimeToken) -> Result<bool, StoreError> {
        let written = execute!(
            tx.conn(),
            concat!(
                "INSERT INTO saas_one_time_tokens (",
                columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (user_id, purpose) WHERE purpose <> 'email_change_undo' DO UPDATE SET id = excluded.id, \
                 address_hash = excluded.address_hash, address_envelope = excluded.address_envelope, key_id = excluded.key_id, \
                 hash = excluded.hash, created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = excluded.used_at \
                 WHERE excluded.created_at >= saas_one_time_tokens.created_at"
            ),
            token.id.as_uuid(),
            token.user.map(UserId::as_uuid),
            token.purpose.as_str(),
            token.address.as_slice(),
            token.other_address.as_ref().map(Envelope::as_bytes),
            token.key.as_str(),
            token.hash.as_slice(),
            token.created_at,
            token.expires_at,
            token.used_at,
        )?;
        Ok(written == 1)
    }

    async fn by_id(&self, conn: &mut Conn, id: OneTimeTokenId) -> Result<Option<OneTimeToken>, StoreError> {
        let row = fetch_optional!(
            conn,
            Row,
            concat!("SELECT ", columns!(), " FROM saas_one_time_tokens WHERE id = $1"),
            id.as_uuid(),
        )?;
        Ok(row.and_then(Row::token))
    }

    async fn consume(
        &self,
        tx: &mut Tx,
        id: OneTimeTokenId,
        purpose: MailPurpose,
        hash: &[u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Option<OneTimeToken>, StoreError> {
        let row = fetch_optional!(
            tx.conn(),
            Row,
            concat!(
                "UPDATE saas_one_time_tokens SET used_at = $4 WHERE id = $1 AND purpose = $2 AND hash = $3 \
                 AND used_at IS NULL AND expires_at > $4 RETURNING ",
                columns!()
            ),
            id.as_uuid(),
            purpose.as_str(),
            hash.as_slice(),
            now,
        )?;
        Ok(row.and_then(Row::token))
    }

    async fn end(&self, tx: &mut Tx, user: UserId, undos: Undos) -> Result<u64, StoreError> {
        // The nil id comes before every id, the greatest after all.
        let before = match undos {
            Undos::Stay => Uuid::max(),
            Undos::StayBefore(id) => id.as_uuid(),
            Undos::End => Uuid::nil(),
        };
        Ok(execute!(
            tx.conn(),
            "DELETE FROM saas_one_time_tokens WHERE user_id = $1 AND used_at IS NULL \
             AND (purpose <> 'email_change_undo' OR id >= $2)",
            user.as_uuid(),
            before,
        )?)
    }

    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<OneTimeToken>, StoreError> {
        let rows = fetch_all!(
            conn,
            Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM saas_one_time_tokens WHERE user_id = $1 ORDER BY id DESC LIMIT $2"
            ),
            user.as_uuid(),
            i64::from(limit),
        )?;
        Ok(rows.into_iter().filter_map(Row::token).collect())
    }
}
