//! `AuditLog`.

use std::sync::Arc;

use async_trait::async_trait;
use saas_core::{
    AuditLog, Conn, StoreError, Tx,
    audit::{AuditEntry, AuditFilter, AuditId, AuditRow, Chain, Head, Seal},
    conformance::audit_log::{AuditLogSubject as Subject, LINES, check},
};
use saas_kit::testing::TestEngine;
use saas_sql::{SqlAudit, execute};

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, log: Arc<dyn AuditLog>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), log, engine == TestEngine::Sqlite, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlAudit)).await
}

on_each_engine!(saas_core::audit_log_conformance);

/// The SQL log, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.0.starts_with(line)
    }
}

#[async_trait]
impl AuditLog for Broken {
    async fn record(&self, tx: &mut Tx, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut entry = entry.clone();
        if self.breaks("what_was_recorded") {
            entry.request_id = None;
        }
        // As if the chain were built where it is recorded.
        if self.breaks("rows_are_recorded_beside") {
            SqlAudit.hold(tx, entry.chain).await?;
        }
        SqlAudit.record(tx, &entry).await
    }

    async fn next_unsealed(
        &self,
        conn: &mut Conn,
        after: Option<Chain>,
    ) -> Result<Option<Chain>, StoreError> {
        SqlAudit.next_unsealed(conn, after).await
    }

    async fn unsealed(
        &self,
        conn: &mut Conn,
        chain: Chain,
        after: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        // Whoever comes late with an earlier id is forgotten.
        if self.breaks("unsealed_gives") && after.is_none() {
            let sealed = SqlAudit.sealed(conn, chain, None, 100).await?;
            let watermark = sealed.iter().map(|row| row.entry.id).max();
            return SqlAudit.unsealed(conn, chain, watermark, limit).await;
        }
        SqlAudit.unsealed(conn, chain, after, limit).await
    }

    async fn count_unsealed(&self, conn: &mut Conn) -> Result<i64, StoreError> {
        SqlAudit.count_unsealed(conn).await
    }

    async fn hold(&self, tx: &mut Tx, chain: Chain) -> Result<Option<Head>, StoreError> {
        let held = SqlAudit.hold(tx, chain).await?;
        // What the one before left is not seen.
        Ok(held.filter(|_| !self.breaks("hold_gives")))
    }

    async fn head(&self, conn: &mut Conn, chain: Chain) -> Result<Option<Head>, StoreError> {
        SqlAudit.head(conn, chain).await
    }

    async fn seal(&self, tx: &mut Tx, chain: Chain, seals: &[(AuditId, Seal)]) -> Result<u64, StoreError> {
        // A seal can be taken off.
        if self.breaks("seal_gives") {
            for (id, _) in seals {
                let unseal = "UPDATE saas_audit SET position = NULL WHERE id = $1";
                execute!(tx.conn(), unseal, id.as_uuid())?;
            }
        }
        SqlAudit.seal(tx, chain, seals).await
    }

    async fn move_head(&self, tx: &mut Tx, head: &Head) -> Result<(), StoreError> {
        let mut head = head.clone();
        if self.breaks("move_head") {
            head.purged_at_us = None;
        }
        SqlAudit.move_head(tx, &head).await
    }

    async fn sealed(
        &self,
        conn: &mut Conn,
        chain: Chain,
        after: Option<(i64, AuditId)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        // A second row in one place is passed over.
        let after = match after {
            Some((position, _)) if self.breaks("sealed_gives") => {
                Some((position + 1, AuditId::from_uuid(Chain::Platform.as_uuid())))
            }
            after => after,
        };
        SqlAudit.sealed(conn, chain, after, limit).await
    }

    async fn list(
        &self,
        conn: &mut Conn,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut filter = filter.clone();
        if self.breaks("list_gives") {
            filter.until = None;
        }
        SqlAudit.list(conn, &filter, before, limit).await
    }

    async fn next_chain(&self, conn: &mut Conn, after: Option<Chain>) -> Result<Option<Chain>, StoreError> {
        // One that has a head alone is not named.
        if self.breaks("next_chain") {
            return SqlAudit.next_unsealed(conn, after).await;
        }
        SqlAudit.next_chain(conn, after).await
    }

    async fn remove(&self, tx: &mut Tx, chain: Chain, up_to: i64, limit: u32) -> Result<u64, StoreError> {
        let up_to = if self.breaks("remove_takes") { up_to + 1 } else { up_to };
        SqlAudit.remove(tx, chain, up_to, limit).await
    }
}

#[tokio::test]
async fn a_log_that_breaks_a_line_is_noticed() {
    for line in LINES {
        // SQLite has one writer: there is no beside.
        let beside = line.starts_with("rows_are_recorded_beside");
        let engine = if beside { TestEngine::Postgres } else { TestEngine::Sqlite };
        assert_noticed(line, check(line, over(engine, Arc::new(Broken(line))).await)).await;
    }
}
