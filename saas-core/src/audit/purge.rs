//! Removing a tenant's chain, and what has lived long enough in the chain that is kept for a time only.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Audit, AuditEvent, AuditId, AuditRow, CHAIN_PURGED, Chain, operator::is_operator, service::unproved,
    verify::judge,
};
use crate::{Actor, ErrorKind, Fault, Reach, Report, StoreError, TenantId};

/// How many rows are removed in one transaction.
const BATCH: u32 = 500;

const REACH: Reach = Reach::Platform("purging the audit log");

/// What is left of a chain that was purged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// How many rows the chain had, earlier purges included.
    pub count: i64,
    /// The hash of the last one.
    pub hash: Vec<u8>,
}

/// Why a chain was not purged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// The tenant has no chain.
    #[error("there is no audit log of that tenant")]
    NotFound,
    /// The chain's head, or a row that would be removed, is not what the product wrote.
    #[error("the chain was changed: see saas audit verify; what it says is not to be destroyed")]
    Broken,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for PurgeError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "audit_chain_not_found"),
            Self::Broken => Report::new(ErrorKind::Conflict, "audit_chain_broken"),
            Self::Store(error) => error.report(),
        }
    }
}

impl Audit {
    /// Removes a tenant's chain whole and leaves its length and final hash, and a row about it in the platform's chain. For operators.
    ///
    /// What is recorded of the tenant later goes on from that hash. A purge that is broken off has said already what it removes; another one
    /// ends it.
    pub async fn purge(&self, actor: &Actor, tenant: TenantId) -> Result<Purged, PurgeError> {
        if !is_operator(actor) {
            return Err(PurgeError::Forbidden);
        }
        let chain = Chain::Tenant(tenant);
        self.seal_chain(chain).await?.ok_or(PurgeError::Broken)?;
        let mut tx = self.storage().begin(REACH).await?;
        let mut head = self.log().hold(&mut tx, chain).await?.ok_or(PurgeError::NotFound)?;
        if !self.prover().proves_head(&head) {
            return Err(PurgeError::Broken);
        }
        head.purged_count = head.count;
        head.purged_hash.clone_from(&head.hash);
        head.purged_at_us = Some(self.now().timestamp_micros());
        self.prover().prove_head(&mut head).map_err(unproved)?;
        self.log().move_head(&mut tx, &head).await?;
        self.record(&mut tx, actor, AuditEvent::new(CHAIN_PURGED).about(tenant)).await?;
        tx.commit().await?;
        loop {
            let mut tx = self.storage().begin(REACH).await?;
            let removed = self.log().remove(&mut tx, chain, head.count, BATCH).await?;
            tx.commit().await?;
            if removed < u64::from(BATCH) {
                return Ok(Purged { count: head.count, hash: head.hash });
            }
        }
    }

    /// Removes what was recorded of nobody ([`AuditEvent::passing`]) before a moment, and tells how many rows that were. For hosts.
    ///
    /// The head keeps how many rows are gone and the hash of the last one: from there on the chain is verified. Each transaction moves the
    /// head and removes the rows, so that a purge that is broken off leaves nothing half done. What was tampered with stays, and what is
    /// after it.
    pub async fn purge_passing(&self, actor: &Actor, before: DateTime<Utc>) -> Result<u64, PurgeError> {
        if !is_operator(actor) {
            return Err(PurgeError::Forbidden);
        }
        let mut removed = 0;
        loop {
            let some = self.purge_some_passing(before).await?;
            removed += some;
            if some < u64::from(BATCH) {
                return Ok(removed);
            }
        }
    }

    async fn purge_some_passing(&self, before: DateTime<Utc>) -> Result<u64, PurgeError> {
        const CHAIN: Chain = Chain::Passing;
        let mut tx = self.storage().begin(REACH).await?;
        // Where nothing was ever sealed there is nothing to purge: dropping the transaction undoes the hold.
        let Some(mut head) = self.log().hold(&mut tx, CHAIN).await? else { return Ok(0) };
        if !self.prover().proves_head(&head) {
            return Err(PurgeError::Broken);
        }
        let last = (head.purged_count, AuditId::from_uuid(Uuid::max()));
        let rows = self.log().sealed(tx.conn(), CHAIN, Some(last), BATCH).await?;
        let mut old = 0;
        for AuditRow { entry, seal } in rows {
            let Some(seal) = seal.filter(|_| entry.at_us < before.timestamp_micros()) else { break };
            let follows = seal.position == head.purged_count + 1 && seal.previous_hash == head.purged_hash;
            if !follows || judge(self.prover(), &entry, &seal).is_some() {
                return Err(PurgeError::Broken);
            }
            head.purged_count = seal.position;
            head.purged_hash = seal.hash;
            old += 1;
        }
        if old == 0 {
            return Ok(0);
        }
        head.purged_at_us = Some(self.now().timestamp_micros());
        self.prover().prove_head(&mut head).map_err(unproved)?;
        self.log().move_head(&mut tx, &head).await?;
        let removed = self.log().remove(&mut tx, CHAIN, head.purged_count, BATCH).await?;
        if removed != old {
            return Err(PurgeError::Broken);
        }
        tx.commit().await?;
        Ok(removed)
    }
}
