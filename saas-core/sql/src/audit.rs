//! [`AuditLog`] in `saas_audit` and `saas_audit_heads`.

use async_trait::async_trait;
use chrono::TimeDelta;
use saas_core::{
    AuditLog, Conn, RequestId, StoreError, Tx,
    audit::{AuditEntry, AuditFilter, AuditId, AuditRow, Chain, Head, Seal},
    id::first_uuid_at,
};
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::{RowsAffected, execute, fetch_all, fetch_one, fetch_optional, sql};

/// [`AuditLog`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlAudit;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    version: i64,
    at_us: i64,
    actor: String,
    action: String,
    subject: Option<String>,
    outcome: String,
    reason: Option<String>,
    request_id: Option<Uuid>,
    key_id: String,
    mac: Vec<u8>,
    position: Option<i64>,
    previous_hash: Option<Vec<u8>>,
    hash: Option<Vec<u8>>,
    seal_key_id: Option<String>,
    seal_mac: Option<Vec<u8>>,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, tenant_id, version, at_us, actor, action, subject, outcome, reason, request_id, key_id, mac, position, previous_hash, hash, \
         seal_key_id, seal_mac"
    };
}

#[derive(sqlx::FromRow)]
struct HeadRow {
    tenant_id: Uuid,
    count: i64,
    hash: Vec<u8>,
    purged_count: i64,
    purged_hash: Vec<u8>,
    purged_at_us: Option<i64>,
    key_id: String,
    mac: Vec<u8>,
}

/// The columns of [`HeadRow`].
macro_rules! head_columns {
    () => {
        "tenant_id, count, hash, purged_count, purged_hash, purged_at_us, key_id, mac"
    };
}

impl From<Row> for AuditRow {
    /// A row that has a place but lost the rest of its seal is sealed all the same: with a seal that proves nothing.
    fn from(row: Row) -> Self {
        let seal = row.position.map(|position| Seal {
            position,
            previous_hash: row.previous_hash.unwrap_or_default(),
            hash: row.hash.unwrap_or_default(),
            key_id: row.seal_key_id.unwrap_or_default(),
            mac: row.seal_mac.unwrap_or_default(),
        });
        let entry = AuditEntry {
            id: AuditId::from_uuid(row.id),
            chain: Chain::from_uuid(row.tenant_id),
            version: row.version,
            at_us: row.at_us,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            outcome: row.outcome,
            reason: row.reason,
            request_id: row.request_id.map(RequestId::from_uuid),
            key_id: row.key_id,
            mac: row.mac,
        };
        Self { entry, seal }
    }
}

impl From<HeadRow> for Head {
    fn from(row: HeadRow) -> Self {
        Self {
            chain: Chain::from_uuid(row.tenant_id),
            count: row.count,
            hash: row.hash,
            purged_count: row.purged_count,
            purged_hash: row.purged_hash,
            purged_at_us: row.purged_at_us,
            key_id: row.key_id,
            mac: row.mac,
        }
    }
}

/// A head that was made to be held, and that nobody has written yet.
fn is_blank(head: &HeadRow) -> bool {
    head.count == 0 && head.hash.is_empty() && head.mac.is_empty()
}

/// The first chain in a table after one.
macro_rules! next {
    ($conn:expr, $after:expr, $from:literal) => {{
        let (first, others) = (
            concat!("SELECT tenant_id FROM ", $from, " tenant_id >= $1 ORDER BY tenant_id LIMIT 1"),
            concat!("SELECT tenant_id FROM ", $from, " tenant_id > $1 ORDER BY tenant_id LIMIT 1"),
        );
        let query = if $after.is_some() { others } else { first };
        // The platform's is the first there can be.
        let after = $after.unwrap_or(Chain::Platform).as_uuid();
        fetch_optional!($conn, (Uuid,), query, after)?.map(|(chain,)| Chain::from_uuid(chain))
    }};
}

#[async_trait]
impl AuditLog for SqlAudit {
    async fn record(&self, tx: &mut Tx, entry: &AuditEntry) -> Result<(), StoreError> {
        execute!(
            tx.conn(),
            "INSERT INTO saas_audit (id, tenant_id, version, at_us, actor, action, subject, outcome, reason, request_id, key_id, mac) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            entry.id.as_uuid(),
            entry.chain.as_uuid(),
            entry.version,
            entry.at_us,
            entry.actor.as_str(),
            entry.action.as_str(),
            entry.subject.as_deref(),
            entry.outcome.as_str(),
            entry.reason.as_deref(),
            entry.request_id.map(RequestId::as_uuid),
            entry.key_id.as_str(),
            entry.mac.as_slice(),
        )?;
        Ok(())
    }

    async fn next_unsealed(
        &self,
        conn: &mut Conn,
        after: Option<Chain>,
    ) -> Result<Option<Chain>, StoreError> {
        Ok(next!(conn, after, "saas_audit WHERE position IS NULL AND"))
    }

    async fn unsealed(
        &self,
        conn: &mut Conn,
        chain: Chain,
        after: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = fetch_all!(
            conn,
            Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM saas_audit WHERE tenant_id = $1 AND position IS NULL AND id > $2 ORDER BY id LIMIT $3"
            ),
            chain.as_uuid(),
            after.map_or_else(Uuid::nil, AuditId::as_uuid),
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(|row| AuditRow::from(row).entry).collect())
    }

    async fn count_unsealed(&self, conn: &mut Conn) -> Result<i64, StoreError> {
        let query = "SELECT COUNT(*) FROM saas_audit WHERE position IS NULL";
        let (count,) = fetch_one!(conn, (i64,), query)?;
        Ok(count)
    }

    async fn hold(&self, tx: &mut Tx, chain: Chain) -> Result<Option<Head>, StoreError> {
        // Setting the count to itself changes nothing and locks the row that is there, or the one that is made.
        let row = fetch_one!(
            tx.conn(),
            HeadRow,
            concat!(
                "INSERT INTO saas_audit_heads (",
                head_columns!(),
                ") VALUES ($1, 0, $2, 0, $2, NULL, '', $2) \
                 ON CONFLICT (tenant_id) DO UPDATE SET count = saas_audit_heads.count RETURNING ",
                head_columns!()
            ),
            chain.as_uuid(),
            &[][..] as &[u8],
        )?;
        Ok(if is_blank(&row) { None } else { Some(row.into()) })
    }

    async fn head(&self, conn: &mut Conn, chain: Chain) -> Result<Option<Head>, StoreError> {
        let query = concat!("SELECT ", head_columns!(), " FROM saas_audit_heads WHERE tenant_id = $1");
        Ok(fetch_optional!(conn, HeadRow, query, chain.as_uuid())?.map(Head::from))
    }

    async fn seal(&self, tx: &mut Tx, chain: Chain, seals: &[(AuditId, Seal)]) -> Result<u64, StoreError> {
        if seals.is_empty() {
            return Ok(0);
        }
        let sealed = sql!(tx.conn(), |c| async {
            let mut query = QueryBuilder::new(
                "WITH seals (id, position, previous_hash, hash, seal_key_id, seal_mac) AS (",
            );
            query.push_values(seals, |mut row, (id, seal)| {
                row.push_bind(id.as_uuid())
                    .push_bind(seal.position)
                    .push_bind(seal.previous_hash.as_slice())
                    .push_bind(seal.hash.as_slice())
                    .push_bind(seal.key_id.as_str())
                    .push_bind(seal.mac.as_slice());
            });
            query.push(
                ") UPDATE saas_audit SET position = seals.position, previous_hash = seals.previous_hash, hash = seals.hash, \
                 seal_key_id = seals.seal_key_id, seal_mac = seals.seal_mac FROM seals \
                 WHERE saas_audit.id = seals.id AND saas_audit.position IS NULL AND saas_audit.tenant_id = ",
            );
            query.push_bind(chain.as_uuid());
            query.build().execute(c).await.map(|done| done.rows())
        })?;
        Ok(sealed)
    }

    async fn move_head(&self, tx: &mut Tx, head: &Head) -> Result<(), StoreError> {
        execute!(
            tx.conn(),
            "UPDATE saas_audit_heads SET count = $2, hash = $3, purged_count = $4, purged_hash = $5, purged_at_us = $6, key_id = $7, mac = $8 \
             WHERE tenant_id = $1",
            head.chain.as_uuid(),
            head.count,
            head.hash.as_slice(),
            head.purged_count,
            head.purged_hash.as_slice(),
            head.purged_at_us,
            head.key_id.as_str(),
            head.mac.as_slice(),
        )?;
        Ok(())
    }

    async fn sealed(
        &self,
        conn: &mut Conn,
        chain: Chain,
        after: Option<(i64, AuditId)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        // Whatever positions somebody made up.
        let (position, id) = after.map_or((i64::MIN, Uuid::nil()), |(position, id)| (position, id.as_uuid()));
        let rows = fetch_all!(
            conn,
            Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM saas_audit WHERE tenant_id = $1 AND position >= $2 AND (position > $2 OR id > $3) \
                 ORDER BY position, id LIMIT $4"
            ),
            chain.as_uuid(),
            position,
            id,
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(AuditRow::from).collect())
    }

    async fn list(
        &self,
        conn: &mut Conn,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let rows: Vec<Row> = sql!(conn, |c| async {
            // What is not asked for is left out, so that an index can serve the rest.
            let mut query =
                QueryBuilder::new(concat!("SELECT ", columns!(), " FROM saas_audit WHERE id >= "));
            query.push_bind(filter.from.map_or_else(Uuid::nil, first_uuid_at));
            if let Some(before) = before {
                query.push(" AND id < ").push_bind(before.as_uuid());
            }
            if let Some(chain) = filter.chain {
                query.push(" AND tenant_id = ").push_bind(chain.as_uuid());
            }
            if let Some(actor) = &filter.actor {
                query.push(" AND actor = ").push_bind(actor.as_str());
            }
            if let Some(subject) = &filter.subject {
                query.push(" AND subject = ").push_bind(subject.as_str());
            }
            if let Some(action) = &filter.action {
                query.push(" AND action = ").push_bind(action.as_str());
            }
            // Within the millisecond that an id tells.
            if let Some(from) = filter.from {
                query.push(" AND at_us >= ").push_bind(from.timestamp_micros());
            }
            if let Some(until) = filter.until {
                let after = first_uuid_at(until + TimeDelta::milliseconds(1));
                query.push(" AND id < ").push_bind(after);
                query.push(" AND at_us < ").push_bind(until.timestamp_micros());
            }
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(c).await
        })?;
        Ok(rows.into_iter().map(AuditRow::from).collect())
    }

    async fn next_chain(&self, conn: &mut Conn, after: Option<Chain>) -> Result<Option<Chain>, StoreError> {
        let of_rows = next!(conn, after, "saas_audit WHERE");
        let of_heads = next!(conn, after, "saas_audit_heads WHERE");
        Ok(of_rows.into_iter().chain(of_heads).min())
    }

    async fn remove(&self, tx: &mut Tx, chain: Chain, up_to: i64, limit: u32) -> Result<u64, StoreError> {
        Ok(execute!(
            tx.conn(),
            "DELETE FROM saas_audit WHERE id IN \
             (SELECT id FROM saas_audit WHERE tenant_id = $1 AND position <= $2 ORDER BY position, id LIMIT $3)",
            chain.as_uuid(),
            up_to,
            i64::from(limit),
        )?)
    }
}
