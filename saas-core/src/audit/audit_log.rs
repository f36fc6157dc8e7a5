//! The port: where rows and the heads of chains are. What they mean is this crate's; an adapter only keeps them.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{AuditAction, AuditActor, AuditId, AuditSubject};
use crate::{Conn, RequestId, StoreError, TenantId, Tx};

/// Whose rows are chained to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// What belongs to no tenant.
    Platform,
    /// What belongs to nobody and is kept for a time only, as sign-ins to accounts that are not there.
    Passing,
    /// A tenant's.
    Tenant(TenantId),
}

impl Chain {
    /// What a row holds: the tenant's id, or the first or last UUID there is, which are no tenant's.
    pub const fn as_uuid(self) -> Uuid {
        match self {
            Self::Platform => Uuid::nil(),
            Self::Passing => Uuid::max(),
            Self::Tenant(tenant) => tenant.as_uuid(),
        }
    }

    /// The chain that a row says it is of.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        if uuid.is_nil() {
            Self::Platform
        } else if uuid.is_max() {
            Self::Passing
        } else {
            Self::Tenant(TenantId::from_uuid(uuid))
        }
    }

    /// The tenant, if it is one's.
    pub const fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Platform | Self::Passing => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }

    /// What the platform's chain calls it, where it says that it was begun; its own beginning it does not say.
    pub(super) fn subject(self) -> Option<AuditSubject> {
        match self {
            Self::Platform => None,
            Self::Passing => Some(AuditSubject::new("chain", self)),
            Self::Tenant(tenant) => Some(tenant.into()),
        }
    }

    /// The chain that the platform's calls so.
    pub(super) fn of_subject(subject: &str) -> Option<Self> {
        match subject.split_once(':')? {
            ("tenant", tenant) => tenant.parse().ok().map(Self::Tenant),
            ("chain", "passing") => Some(Self::Passing),
            _ => None,
        }
    }
}

impl From<Option<TenantId>> for Chain {
    fn from(tenant: Option<TenantId>) -> Self {
        tenant.map_or(Self::Platform, Self::Tenant)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Passing => f.write_str("passing"),
            Self::Tenant(tenant) => fmt::Display::fmt(tenant, f),
        }
    }
}

/// What a command recorded. Its words are texts: whoever verifies a row must be able to read it whatever somebody made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id; ids are in the order of time.
    pub id: AuditId,
    /// Its chain.
    pub chain: Chain,
    /// The form that it is chained in.
    pub version: i64,
    /// When it was recorded, in microseconds since 1970.
    pub at_us: i64,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To whom or what.
    pub subject: Option<String>,
    /// What came of it.
    pub outcome: String,
    /// Why.
    pub reason: Option<String>,
    /// The request that it came with.
    pub request_id: Option<RequestId>,
    /// The key that proves that the product recorded it.
    pub key_id: String,
    /// The proof.
    pub mac: Vec<u8>,
}

impl AuditEntry {
    /// When it was recorded, if that is a time.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.at_us)
    }
}

/// A row's place in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// From 1, without a gap.
    pub position: i64,
    /// The hash of the row before it.
    pub previous_hash: Vec<u8>,
    /// Its own.
    pub hash: Vec<u8>,
    /// The key that proves that the product put it there.
    pub key_id: String,
    /// The proof.
    pub mac: Vec<u8>,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// What was recorded.
    pub entry: AuditEntry,
    /// Its place, once it is sealed.
    pub seal: Option<Seal>,
}

/// Where a chain ends, and what was removed of its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub chain: Chain,
    /// How many rows were ever sealed.
    pub count: i64,
    /// The hash of the last one.
    pub hash: Vec<u8>,
    /// How many of them were purged; 0 when none was.
    pub purged_count: i64,
    /// The hash of the last one of those.
    pub purged_hash: Vec<u8>,
    /// When they were, in microseconds since 1970.
    pub purged_at_us: Option<i64>,
    /// The key that proves that the product wrote this.
    pub key_id: String,
    /// The proof.
    pub mac: Vec<u8>,
}

/// Which rows a list has.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Those of that chain.
    pub chain: Option<Chain>,
    /// Those of that actor.
    pub actor: Option<AuditActor>,
    /// Those about that subject.
    pub subject: Option<AuditSubject>,
    /// Those of that action.
    pub action: Option<AuditAction>,
    /// Those of then and later.
    pub from: Option<DateTime<Utc>>,
    /// Those before then.
    pub until: Option<DateTime<Utc>>,
}

/// Keeps the audit log.
///
/// # Contract
/// - What was recorded is read back as it was, not sealed; a row whose transaction is dropped was never there.
/// - Rows of one chain are recorded beside each other: none waits for the end of another's transaction, nor for who holds the chain.
/// - `unsealed` gives a chain's rows that are not sealed, by id, whenever they were committed; `next_unsealed` names the chains that have any.
/// - `hold` gives a chain to one at a time, with the head as the one before it left it; `None` where there is none yet.
/// - `seal` gives rows of the chain that are not sealed their places, and no other; it tells how many.
/// - `move_head` stores a chain's head in its transaction, and `head` reads it.
/// - `sealed` gives a chain's sealed rows once each, by position and then by id.
/// - `list` gives each row that the filter lets through once, the newest first.
/// - `next_chain` names every chain that has a row or a head, each once.
/// - `remove` removes a chain's sealed rows up to a position, at most `limit`, and no other.
#[async_trait]
pub trait AuditLog: Debug + Send + Sync + 'static {
    /// Adds a row.
    async fn record(&self, tx: &mut Tx, entry: &AuditEntry) -> Result<(), StoreError>;
    /// The first chain after one that has rows to seal.
    async fn next_unsealed(&self, conn: &mut Conn, after: Option<Chain>)
    -> Result<Option<Chain>, StoreError>;
    /// Rows of a chain to seal, after one.
    async fn unsealed(
        &self,
        conn: &mut Conn,
        chain: Chain,
        after: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError>;
    /// How many rows are not sealed, of all chains.
    async fn count_unsealed(&self, conn: &mut Conn) -> Result<i64, StoreError>;
    /// Holds a chain until the transaction ends.
    async fn hold(&self, tx: &mut Tx, chain: Chain) -> Result<Option<Head>, StoreError>;
    /// A chain's head.
    async fn head(&self, conn: &mut Conn, chain: Chain) -> Result<Option<Head>, StoreError>;
    /// Gives rows their places.
    async fn seal(&self, tx: &mut Tx, chain: Chain, seals: &[(AuditId, Seal)]) -> Result<u64, StoreError>;
    /// Stores the head of a chain that is held.
    async fn move_head(&self, tx: &mut Tx, head: &Head) -> Result<(), StoreError>;
    /// Sealed rows of a chain after a position and id.
    async fn sealed(
        &self,
        conn: &mut Conn,
        chain: Chain,
        after: Option<(i64, AuditId)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError>;
    /// Rows before one, the newest first.
    async fn list(
        &self,
        conn: &mut Conn,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError>;
    /// The first chain after one.
    async fn next_chain(&self, conn: &mut Conn, after: Option<Chain>) -> Result<Option<Chain>, StoreError>;
    /// Removes sealed rows of a chain from its beginning, and tells how many.
    async fn remove(&self, tx: &mut Tx, chain: Chain, up_to: i64, limit: u32) -> Result<u64, StoreError>;
}
