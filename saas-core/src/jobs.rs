//! Work that a command leaves behind: enqueued in the command's own transaction, done by a worker afterwards, never lost and never doubled.
//!
//! A job is a row. A worker claims it for a lease, does it, and removes it; a worker that is lost loses its leases, and somebody else goes on.
//! So a handler may run twice, and must have effect once: what it writes to the same storage it writes in the transaction that completes the
//! job, and what it does elsewhere it does under the job's id as idempotency key.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Conn, InternalError, StoreError, TenantId, Tx};

mod hold;
mod operator;
mod queue;

pub use hold::Hold;
pub use operator::JobsError;
pub use queue::{EnqueueError, Jobs};

crate::id! {
    /// A job; also the idempotency key of what it does elsewhere.
    pub JobId
}

/// A kind of job: its payload, its name and how often it is tried.
///
/// A payload holds ids, never a secret and never what may have changed until it is read.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name, as `mail.send`; it stays for ever, for rows have it.
    const KIND: &'static str;
    /// The version of the payload's form.
    const VERSION: i64 = 1;
    /// How often it is begun before it is dead, lost leases included.
    const MAX_ATTEMPTS: i64 = 10;
    /// Whether one that is given up stays, dead, until an operator retries or cancels it. Not so where its end is stored elsewhere and
    /// nothing can be done about it.
    const STAYS_DEAD: bool = true;

    /// Reads a payload, perhaps of an earlier release.
    fn read(version: i64, payload: &str) -> Result<Self, UnreadableJob> {
        if version != Self::VERSION {
            return Err(UnreadableJob::Version(version));
        }
        serde_json::from_str(payload).map_err(UnreadableJob::Payload)
    }
}

/// Why a job's payload cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableJob {
    /// Another release wrote it.
    #[error("its payload is of version {0}, which this release does not read")]
    Version(i64),
    /// It is damaged.
    #[error("its payload is not of the kind's form")]
    Payload(#[source] serde_json::Error),
}

/// A job that is to be enqueued.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: &'static str,
    /// Its payload's version.
    pub version: i64,
    /// Its payload, as JSON.
    pub payload: String,
    /// The tenant that it is for.
    pub tenant: Option<TenantId>,
    /// No two jobs of a kind have the same at a time.
    pub unique_key: Option<String>,
    /// When it may begin.
    pub due_at: DateTime<Utc>,
    /// How often it is begun at most.
    pub max_attempts: i64,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
}

impl NewJob {
    /// A job of `now`. It fails when the payload cannot be written as JSON.
    pub fn new<J: Job>(id: JobId, job: &J, now: DateTime<Utc>) -> Result<Self, InternalError> {
        Ok(Self {
            id,
            kind: J::KIND,
            version: J::VERSION,
            payload: serde_json::to_string(job).map_err(InternalError::new)?,
            tenant: None,
            unique_key: None,
            due_at: now,
            max_attempts: J::MAX_ATTEMPTS,
            created_at: now,
        })
    }

    /// For one tenant.
    #[must_use]
    pub fn in_tenant(self, tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// Not before then.
    #[must_use]
    pub fn due_at(self, due_at: DateTime<Utc>) -> Self {
        Self { due_at, ..self }
    }

    /// Not while another one of its kind has the same key.
    #[must_use]
    pub fn unique(self, key: impl Into<String>) -> Self {
        Self { unique_key: Some(key.into()), ..self }
    }
}

/// What is going on with a job. One that is done is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// It waits until it is due.
    Waiting,
    /// Somebody has it, until the lease ends.
    Running,
    /// It was tried as often as it may be, and waits for an operator.
    Dead,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Running, Self::Dead];

    /// The word that rows have.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Dead => "dead",
        }
    }

    /// The state of a row's word.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Its payload's version.
    pub version: i64,
    /// Its payload, as JSON.
    pub payload: String,
    /// The tenant that it is for.
    pub tenant: Option<TenantId>,
    /// Its key.
    pub unique_key: Option<String>,
    /// What is going on with it.
    pub state: JobState,
    /// How often it was begun.
    pub attempt: i64,
    /// How often it may be.
    pub max_attempts: i64,
    /// When it may begin; while it runs, when the lease ends.
    pub due_at: DateTime<Utc>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// Who has it.
    pub owner: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl StoredJob {
    /// Whether it was begun more often than it may be: its last worker was lost, and it is not to be tried again.
    pub const fn is_exhausted(&self) -> bool {
        self.attempt > self.max_attempts
    }

    /// This attempt, for who has it.
    pub fn lease<'a>(&self, owner: &'a str) -> Lease<'a> {
        Lease { job: self.id, attempt: self.attempt, owner }
    }
}

/// One attempt at a job: what its worker may do to the row, as long as nobody else has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease<'a> {
    /// The job.
    pub job: JobId,
    /// Which attempt it is.
    pub attempt: i64,
    /// Who has it.
    pub owner: &'a str,
}

/// Which jobs a list has.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Those in that state.
    pub state: Option<JobState>,
    /// Those of that kind.
    pub kind: Option<String>,
}

/// Keeps jobs.
///
/// # Contract
/// - A job that was inserted is read back as it was; one whose transaction is dropped was never there.
/// - Of several jobs of a kind with one unique key one is inserted, until it is gone; keys of other kinds do not count.
/// - `claim` gives jobs of its kind that are due, the longest due first, at most `limit`; whoever claims at the same time gets others.
/// - A job whose lease has ended is due again; once it is claimed anew, who had it before can do nothing to it, even as the same owner.
/// - `renew` moves the end of those leases of an owner that are named, and of no other, and tells which those are.
/// - `complete` removes, `retry` makes due later and `bury` ends a job with its reason; each of them in its transaction.
/// - A dead job is not claimed; `revive` makes it due, with all its attempts before it; `cancel` removes a job that does not run.
/// - `due` names the kinds, of those asked for, that `claim` would give something of.
/// - `list` gives each job that the filter lets through once, by id, and `counts` agrees with it; of more than it may, it counts so many of a
///   state and no more.
/// - Of several that find a schedule due one fires it; it is due again at the time that this one said.
#[async_trait]
pub trait JobStore: Debug + Send + Sync + 'static {
    /// Adds a job, and tells whether it did: another one may have its unique key.
    async fn insert(&self, tx: &mut Tx, job: &NewJob) -> Result<bool, StoreError>;
    /// Which of these kinds have jobs to claim.
    async fn due(
        &self,
        conn: &mut Conn,
        kinds: &[&str],
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError>;
    /// Takes jobs that are due.
    async fn claim(
        &self,
        tx: &mut Tx,
        kind: &str,
        limit: u32,
        owner: &str,
        now: DateTime<Utc>,
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<StoredJob>, StoreError>;
    /// Moves the end of the owner's leases of these jobs, and names those that it has.
    async fn renew(
        &self,
        tx: &mut Tx,
        owner: &str,
        jobs: &[JobId],
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<JobId>, StoreError>;
    /// Removes a job that is done. `false`: it is not this attempt's any more, and the transaction is to be dropped.
    async fn complete(&self, tx: &mut Tx, lease: &Lease<'_>) -> Result<bool, StoreError>;
    /// Lets a job that failed wait until it is due again. `false` as with `complete`.
    async fn retry(
        &self,
        tx: &mut Tx,
        lease: &Lease<'_>,
        due_at: DateTime<Utc>,
        error: &str,
    ) -> Result<bool, StoreError>;
    /// Gives a job up. `false` as with `complete`.
    async fn bury(&self, tx: &mut Tx, lease: &Lease<'_>, error: &str) -> Result<bool, StoreError>;
    /// One job.
    async fn by_id(&self, conn: &mut Conn, id: JobId) -> Result<Option<StoredJob>, StoreError>;
    /// Jobs after one, by id.
    async fn list(
        &self,
        conn: &mut Conn,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<StoredJob>, StoreError>;
    /// How many jobs there are of each kind and state; of each state at most so many are counted.
    async fn counts(&self, conn: &mut Conn, at_most: u32)
    -> Result<Vec<(String, JobState, i64)>, StoreError>;
    /// Makes a dead job due. `false`: it is not dead.
    async fn revive(&self, tx: &mut Tx, id: JobId, now: DateTime<Utc>) -> Result<bool, StoreError>;
    /// Removes a job that does not run. `false`: it runs, or is not there.
    async fn cancel(&self, tx: &mut Tx, id: JobId) -> Result<bool, StoreError>;
    /// Makes a schedule known; one that is known stays as it is.
    async fn schedule(&self, tx: &mut Tx, name: &str, first_at: DateTime<Utc>) -> Result<(), StoreError>;
    /// Moves a schedule that is due on. `false`: it is not due, or somebody else has fired it.
    async fn fire(
        &self,
        tx: &mut Tx,
        name: &str,
        now: DateTime<Utc>,
        next_at: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
}
