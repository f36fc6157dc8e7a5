//! Verifying: what was changed, removed or put in is found and named.
//!
//! It reads page by page while others record and seal; nothing that they do meanwhile is taken for a fault.

use std::fmt;

use super::{
    Audit, AuditEntry, AuditError, AuditFilter, AuditId, AuditRow, CHAIN_BEGUN, Chain, Head, Seal,
    chain::{self, GENESIS},
    operator::{REACH, is_operator},
};
use crate::{Actor, Conn, StoreError};

/// How many rows are read at once.
const PAGE: u32 = 200;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// What the row says is not what the product recorded: it was changed, moved here from another chain, or put in.
    Changed,
    /// The row says what was recorded, but the product did not seal it in this place: it was moved, or its seal was changed.
    Moved,
    /// Another row has this place already.
    Doubled,
    /// The row does not follow the one before it: that one was changed and sealed anew, or is another one.
    Unlinked,
    /// Rows from this position to that one are gone; the row that is named follows them.
    Missing {
        /// The first that is gone.
        from: i64,
        /// The last one.
        to: i64,
    },
    /// The row stands behind the end of its chain.
    BehindEnd,
    /// The row was to be removed by a purge, which was broken off or whose row was put back: purge again.
    Left,
    /// Where the chain ends is not what the product wrote.
    Head,
    /// Rows are sealed, and where the chain ends is gone.
    NoHead,
    /// The last row is not the one that the chain ends with.
    OtherEnd,
    /// The platform's chain says that this one was begun, and nothing of it is there.
    Gone,
    /// The platform's chain says that this one was begun twice: what it was before is gone.
    BegunAgain,
    /// The platform's chain does not say that this one was begun.
    Unannounced,
}

impl Flaw {
    /// The word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Moved => "moved",
            Self::Doubled => "doubled",
            Self::Unlinked => "unlinked",
            Self::Missing { .. } => "missing",
            Self::BehindEnd => "behind_end",
            Self::Left => "left",
            Self::Head => "head_changed",
            Self::NoHead => "head_missing",
            Self::OtherEnd => "other_end",
            Self::Gone => "chain_gone",
            Self::BegunAgain => "chain_begun_again",
            Self::Unannounced => "chain_unannounced",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => {
                f.write_str("it does not say what was recorded: it was changed, moved here, or put in")
            }
            Self::Moved => f.write_str("it was not sealed in this place, or its seal was changed"),
            Self::Doubled => f.write_str("another row has this place already"),
            Self::Unlinked => f.write_str("it does not follow the row before it"),
            Self::Missing { from, to } if from == to => write!(f, "the row at position {from} is gone"),
            Self::Missing { from, to } => write!(f, "the rows at positions {from} to {to} are gone"),
            Self::BehindEnd => f.write_str("it stands behind the end of the chain"),
            Self::Left => f.write_str("it was purged and is there: purge again"),
            Self::Head => f.write_str("where the chain ends was changed"),
            Self::NoHead => f.write_str("where the chain ends is gone"),
            Self::OtherEnd => f.write_str("the chain ends with another row"),
            Self::Gone => f.write_str("the whole chain is gone"),
            Self::BegunAgain => f.write_str("the chain was begun again: what it was before is gone"),
            Self::Unannounced => f.write_str("the platform's chain does not say that this one was begun"),
        }
    }
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which chain.
    pub chain: Chain,
    /// The row, where one is there to be named.
    pub row: Option<AuditId>,
    /// Its place, if it has one.
    pub position: Option<i64>,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What was gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many chains.
    pub chains: u64,
    /// How many sealed rows.
    pub sealed: u64,
    /// How many rows that are not sealed yet: each is proved to be the product's, but one that is removed is not missed.
    pub unsealed: u64,
    /// How many rows were purged before: their chains were verified from the hashes that those ended with.
    pub purged: u64,
    /// How much is wrong.
    pub findings: u64,
}

impl Audit {
    /// Goes through one chain, or all of them, and tells `found` each thing that is wrong. For operators.
    pub async fn verify(
        &self,
        actor: &Actor,
        only: Option<Chain>,
        found: &mut (dyn FnMut(&Finding) + Send),
    ) -> Result<Verified, AuditError> {
        if !is_operator(actor) {
            return Err(AuditError::Forbidden);
        }
        let mut conn = self.storage().read(REACH).await?;
        let mut verifier = Verifier { audit: self, conn: &mut conn, verified: Verified::default(), found };
        match only {
            Some(chain) => verifier.chain(chain).await?,
            None => verifier.all().await?,
        }
        Ok(verifier.verified)
    }
}

struct Verifier<'a> {
    audit: &'a Audit,
    conn: &'a mut Conn,
    verified: Verified,
    found: &'a mut (dyn FnMut(&Finding) + Send),
}

/// How far into a chain it is.
struct Reached {
    chain: Chain,
    /// The last place that was accounted for.
    position: i64,
    /// The hash of the row there.
    hash: Vec<u8>,
    /// The last row that was read.
    last: Option<(i64, AuditId)>,
}

impl Verifier<'_> {
    async fn all(&mut self) -> Result<(), StoreError> {
        let mut last = None;
        // The platform's comes first; that it is there when it has to be is asked in any case.
        self.chain(Chain::Platform).await?;
        while let Some(chain) = self.audit.log().next_chain(self.conn, last).await? {
            last = Some(chain);
            if chain == Chain::Platform {
                continue;
            }
            self.chain(chain).await?;
            self.is_announced(chain).await?;
        }
        Ok(())
    }

    async fn chain(&mut self, chain: Chain) -> Result<(), StoreError> {
        self.verified.chains += 1;
        let head = self.head(chain).await?;
        if head.as_ref().is_some_and(|head| !self.audit.prover().proves_head(head)) {
            self.find(chain, None, None, Flaw::Head);
        }
        let start =
            head.as_ref().map_or((0, GENESIS.to_vec()), |head| (head.purged_count, head.purged_hash.clone()));
        let mut reached = Reached { chain, position: start.0, hash: start.1, last: None };
        let mut purged = head.map_or(0, |head| head.purged_count);
        self.verified.purged += purged.unsigned_abs();
        let mut waited = false;
        let end = loop {
            let rows = self.audit.log().sealed(self.conn, chain, reached.last, PAGE).await?;
            // Read after the rows: they were sealed together with a head that counts them.
            let head = self.head(chain).await?;
            if let Some(last) = rows.last() {
                waited = false;
                for row in &rows {
                    self.row(&mut reached, row, head.as_ref(), purged).await?;
                }
                reached.last = last.seal.as_ref().map(|seal| (seal.position, last.entry.id));
                purged = head.map_or(0, |head| head.purged_count);
                continue;
            }
            let behind = head.as_ref().is_some_and(|head| head.count > reached.position);
            // Rows may have been sealed between the two looks: with this head they are there now.
            if behind && !waited {
                waited = true;
                continue;
            }
            break head;
        };
        self.end(&reached, end.as_ref());
        self.unsealed(chain).await
    }

    async fn row(
        &mut self,
        reached: &mut Reached,
        row: &AuditRow,
        head: Option<&Head>,
        purged: i64,
    ) -> Result<(), StoreError> {
        let AuditRow { entry, seal: Some(seal) } = row else { return Ok(()) };
        self.verified.sealed += 1;
        let place = Some(seal.position);
        let found = |this: &mut Self, flaw| this.find(entry.chain, Some(entry.id), place, flaw);
        if seal.position <= purged {
            found(self, Flaw::Left);
            return Ok(());
        }
        if let Some(flaw) = self.judge(entry, seal) {
            found(self, flaw);
        }
        if head.is_some_and(|head| seal.position > head.count) {
            found(self, Flaw::BehindEnd);
        }
        if seal.position <= reached.position {
            found(self, Flaw::Doubled);
            return Ok(());
        }
        // What was purged since the beginning of this is not missed.
        if let Some(head) = head.filter(|head| head.purged_count > reached.position) {
            if head.purged_count >= seal.position {
                reached.position = seal.position;
                reached.hash.clone_from(&seal.hash);
                return Ok(());
            }
            reached.position = head.purged_count;
            reached.hash.clone_from(&head.purged_hash);
        }
        if seal.position > reached.position + 1 {
            found(self, Flaw::Missing { from: reached.position + 1, to: seal.position - 1 });
        } else if seal.previous_hash != reached.hash {
            found(self, Flaw::Unlinked);
        }
        reached.position = seal.position;
        reached.hash.clone_from(&seal.hash);
        if entry.action == CHAIN_BEGUN.as_str() && entry.chain == Chain::Platform {
            self.begun(entry).await?;
        }
        Ok(())
    }

    fn judge(&self, entry: &AuditEntry, seal: &Seal) -> Option<Flaw> {
        judge(self.audit.prover(), entry, seal)
    }

    fn end(&mut self, reached: &Reached, head: Option<&Head>) {
        let chain = reached.chain;
        let last = reached.last.map(|(_, row)| row);
        let Some(head) = head else {
            if last.is_some() {
                self.find(chain, None, None, Flaw::NoHead);
            }
            return;
        };
        let position = reached.position.max(head.purged_count);
        if head.count > position {
            self.find(chain, None, None, Flaw::Missing { from: position + 1, to: head.count });
        } else if head.count == reached.position && head.hash != reached.hash {
            self.find(chain, last, Some(head.count), Flaw::OtherEnd);
        }
    }

    async fn unsealed(&mut self, chain: Chain) -> Result<(), StoreError> {
        let mut last = None;
        loop {
            let entries = self.audit.log().unsealed(self.conn, chain, last, PAGE).await?;
            let Some(newest) = entries.last() else { return Ok(()) };
            last = Some(newest.id);
            self.verified.unsealed += entries.len() as u64;
            let audit = self.audit;
            for entry in entries.iter().filter(|entry| !audit.prover().proves_entry(entry)) {
                self.find(chain, Some(entry.id), None, Flaw::Changed);
            }
        }
    }

    /// A row that says that a chain was begun: something of it must be there.
    async fn begun(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let Some(chain) = entry.subject.as_deref().and_then(Chain::of_subject) else { return Ok(()) };
        // Rows that are there without a head are told of with their chain.
        if self.head(chain).await?.is_none()
            && self.audit.log().sealed(self.conn, chain, None, 1).await?.is_empty()
        {
            self.find(chain, Some(entry.id), None, Flaw::Gone);
        }
        Ok(())
    }

    /// A chain that is sealed was announced in the platform's, once.
    async fn is_announced(&mut self, chain: Chain) -> Result<(), StoreError> {
        let (Some(subject), Some(_)) = (chain.subject(), self.head(chain).await?) else { return Ok(()) };
        let filter = AuditFilter {
            chain: Some(Chain::Platform),
            action: Some(CHAIN_BEGUN),
            subject: Some(subject),
            ..AuditFilter::default()
        };
        let begun = self.audit.log().list(self.conn, &filter, None, 2).await?;
        match begun.as_slice() {
            [_] => {}
            [] => self.find(chain, None, None, Flaw::Unannounced),
            [again, ..] => self.find(chain, Some(again.entry.id), None, Flaw::BegunAgain),
        }
        Ok(())
    }

    async fn head(&mut self, chain: Chain) -> Result<Option<Head>, StoreError> {
        self.audit.log().head(self.conn, chain).await
    }

    fn find(&mut self, chain: Chain, row: Option<AuditId>, position: Option<i64>, flaw: Flaw) {
        self.verified.findings += 1;
        (self.found)(&Finding { chain, row, position, flaw });
    }
}

/// What is wrong with a sealed row by itself.
pub(super) fn judge(prover: &chain::Prover, entry: &AuditEntry, seal: &Seal) -> Option<Flaw> {
    if entry.version != chain::VERSION || !prover.proves_entry(entry) {
        return Some(Flaw::Changed);
    }
    let hash = chain::hash(entry, seal.position, &seal.previous_hash);
    let sealed = hash.as_slice() == seal.hash && prover.proves_seal(entry.chain, seal);
    (!sealed).then_some(Flaw::Moved)
}
