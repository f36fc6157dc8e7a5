//! Former passwords in `saas_password_history`.

use async_trait::async_trait;
use saas_auth::{
    PasswordHash,
    password::{FormerPassword, PasswordHistory},
};
use saas_core::{Conn, StoreError, Tx, UserId};
use saas_sql::{execute, fetch_all};

/// [`PasswordHistory`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlPasswordHistory;

#[async_trait]
impl PasswordHistory for SqlPasswordHistory {
    async fn recent(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<PasswordHash>, StoreError> {
        let rows = fetch_all!(
            conn,
            (String,),
            "SELECT password_hash FROM saas_password_history WHERE user_id = $1 ORDER BY id DESC LIMIT $2",
            user.as_uuid(),
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(|(hash,)| PasswordHash::from_stored(hash)).collect())
    }

    async fn remember(&self, tx: &mut Tx, former: &FormerPassword, keep: u32) -> Result<(), StoreError> {
        execute!(
            tx.conn(),
            "INSERT INTO saas_password_history (id, user_id, password_hash, replaced_at) VALUES ($1, $2, $3, $4)",
            former.id,
            former.user.as_uuid(),
            former.hash.as_phc(),
            former.replaced_at,
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM saas_password_history WHERE user_id = $1 AND id NOT IN \
             (SELECT id FROM saas_password_history WHERE user_id = $1 ORDER BY id DESC LIMIT $2)",
            former.user.as_uuid(),
            i64::from(keep),
        )?;
        Ok(())
    }
}
