//! Sealing: the new rows of each chain get their places in it.
//!
//! A row is sealed because it has no place yet, not because of its id or time: one whose transaction took long is sealed when it is there.
//! Who seals holds the chain's head; commands never do, so that the chain is no lock on the product.

use metrics::gauge;

use super::{Audit, AuditEntry, AuditEvent, CHAIN_BEGUN, Chain, Head, service::unproved};
use crate::{Actor, Reach, StoreError};

/// How many rows are sealed in one transaction.
const BATCH: u32 = 200;

const REACH: Reach = Reach::Platform("sealing the audit log");

/// What a round of sealing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealRound {
    /// How many rows were sealed.
    pub sealed: u64,
    /// Chains whose heads the product did not write: nothing is sealed in them, or what was done to them would look as if it were ours.
    pub refused: Vec<Chain>,
}

/// What became of a batch.
enum Batch {
    Sealed(usize),
    Refused,
}

impl Audit {
    /// Seals what is recorded by now, of all chains. Any number of processes may do it at the same time.
    pub async fn seal(&self) -> Result<SealRound, StoreError> {
        let mut round = SealRound::default();
        let mut last = None;
        while let Some(chain) = self.next_unsealed(last).await? {
            last = Some(chain);
            match self.seal_chain(chain).await? {
                Some(sealed) => round.sealed += sealed,
                None => round.refused.push(chain),
            }
        }
        let left = if last.is_some() { self.unsealed_rows().await? } else { 0 };
        #[expect(clippy::cast_precision_loss, reason = "no backlog has 2^53 rows")]
        gauge!("saas_audit_unsealed_rows").set(left as f64);
        Ok(round)
    }

    /// Seals what is recorded of one chain by now; `None` where its head is not ours.
    pub(super) async fn seal_chain(&self, chain: Chain) -> Result<Option<u64>, StoreError> {
        let mut sealed = 0;
        loop {
            match self.seal_batch(chain).await? {
                Batch::Refused => return Ok(None),
                Batch::Sealed(count) => {
                    sealed += count as u64;
                    if count < BATCH as usize {
                        return Ok(Some(sealed));
                    }
                }
            }
        }
    }

    async fn seal_batch(&self, chain: Chain) -> Result<Batch, StoreError> {
        let mut tx = self.storage().begin(REACH).await?;
        let before = self.log().hold(&mut tx, chain).await?;
        if before.as_ref().is_some_and(|head| !self.prover().proves_head(head)) {
            return Ok(Batch::Refused);
        }
        let begins = before.is_none();
        // A chain whose head is gone is not begun again over what is left of it.
        if begins && !self.log().sealed(tx.conn(), chain, None, 1).await?.is_empty() {
            return Ok(Batch::Refused);
        }
        // Read after the chain is held: whoever held it before has sealed what it read.
        let entries = self.log().unsealed(tx.conn(), chain, None, BATCH).await?;
        if entries.is_empty() {
            return Ok(Batch::Sealed(0));
        }
        let mut head = before.unwrap_or_else(|| Head::empty(chain));
        let seal =
            |entry: &AuditEntry| Ok((entry.id, self.prover().seal(entry, &mut head).map_err(unproved)?));
        let seals = entries.iter().map(seal).collect::<Result<Vec<_>, StoreError>>()?;
        if self.log().seal(&mut tx, chain, &seals).await? != seals.len() as u64 {
            return Err(StoreError::Backend(
                "a row of the audit log was sealed by somebody who does not hold its chain".into(),
            ));
        }
        self.prover().prove_head(&mut head).map_err(unproved)?;
        self.log().move_head(&mut tx, &head).await?;
        if let (true, Some(subject)) = (begins, chain.subject()) {
            let begun = AuditEvent::new(CHAIN_BEGUN).about(subject);
            self.record(&mut tx, &Actor::system("audit"), begun).await?;
        }
        tx.commit().await?;
        Ok(Batch::Sealed(seals.len()))
    }

    async fn next_unsealed(&self, after: Option<Chain>) -> Result<Option<Chain>, StoreError> {
        let mut conn = self.storage().read(REACH).await?;
        self.log().next_unsealed(&mut conn, after).await
    }

    async fn unsealed_rows(&self) -> Result<i64, StoreError> {
        let mut conn = self.storage().read(REACH).await?;
        self.log().count_unsealed(&mut conn).await
    }
}
