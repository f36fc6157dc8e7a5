//! Removing a tenant's chain.

use super::{Audit, AuditEvent, CHAIN_PURGED, Chain, operator::is_operator, service::unproved};
use crate::{Actor, ErrorKind, Fault, Reach, Report, StoreError, TenantId};

/// How many rows are removed in one transaction.
const BATCH: u32 = 500;

const REACH: Reach = Reach::Platform("purging a tenant's audit log");

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
    /// The chain's head is not what the product wrote.
    #[error("the chain's head was changed: see saas audit verify; what it says is not to be destroyed")]
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
}
