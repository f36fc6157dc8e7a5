//! Changes in `saas_changes`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Change, ChangeFeed, ChangeId, Changed};
use saas_core::{Conn, StoreError, TenantId, Tx, UserId};
use saas_sql::{execute, fetch_all};
use uuid::Uuid;

/// [`ChangeFeed`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlChanges;

const USER: &str = "user";
const TENANT: &str = "tenant";
const EVERYTHING: &str = "everything";

/// A kind of a newer release may be about anything.
fn changed(kind: &str, subject: Uuid) -> Changed {
    match kind {
        USER => Changed::User(UserId::from_uuid(subject)),
        TENANT => Changed::Tenant(TenantId::from_uuid(subject)),
        _ => Changed::Everything,
    }
}

#[async_trait]
impl ChangeFeed for SqlChanges {
    async fn note(&self, tx: &mut Tx, change: &Change) -> Result<(), StoreError> {
        let (kind, subject) = match change.what {
            Changed::User(user) => (USER, user.as_uuid()),
            Changed::Tenant(tenant) => (TENANT, tenant.as_uuid()),
            Changed::Everything => (EVERYTHING, Uuid::nil()),
        };
        execute!(
            tx.conn(),
            "INSERT INTO saas_changes (id, kind, subject_id, noted_at) VALUES ($1, $2, $3, $4)",
            change.id.as_uuid(),
            kind,
            subject,
            change.at,
        )?;
        Ok(())
    }

    async fn since(
        &self,
        conn: &mut Conn,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError> {
        let rows = fetch_all!(
            conn,
            (Uuid, String, Uuid, DateTime<Utc>),
            "SELECT id, kind, subject_id, noted_at FROM saas_changes WHERE noted_at >= $1 ORDER BY noted_at, id LIMIT $2",
            since,
            i64::from(limit),
        )?;
        let change = |(id, kind, subject, at): (Uuid, String, Uuid, DateTime<Utc>)| Change {
            id: ChangeId::from_uuid(id),
            what: changed(&kind, subject),
            at,
        };
        Ok(rows.into_iter().map(change).collect())
    }

    async fn forget(&self, tx: &mut Tx, before: DateTime<Utc>) -> Result<u64, StoreError> {
        Ok(execute!(tx.conn(), "DELETE FROM saas_changes WHERE noted_at < $1", before)?)
    }
}
