//! Runs: one agent answering one message.

use std::{fmt, fmt::Debug};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, InvalidText, StoreError, TenantId, Topic, Tx, UserId};

use crate::{AgentName, ConversationId, ConversationKey, Usage};

saas_core::id! {
    /// A run.
    pub RunId
}

impl RunId {
    /// The family of the topics that runs' events are in.
    pub const FAMILY: &'static str = "run";

    /// Where its events are.
    pub fn topic(self) -> Topic {
        Topic::new(Self::FAMILY, self)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunStatus {
    /// It waits for the run before it in its conversation.
    Queued,
    /// The agent is answering.
    Running,
    /// It answered.
    Completed,
    /// It could not.
    Failed,
    /// Its owner stopped it.
    Cancelled,
    /// The process that ran it ended.
    Interrupted,
}

impl RunStatus {
    const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// The word for it in storage and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status for a stored word; `None` for one of a newer release.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing more will come.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// The caller's own name for a request that it may send twice, 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses a key.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        if text.is_empty() {
            return Err(InvalidText::TooShort(1));
        }
        if text.len() > 255 {
            return Err(InvalidText::TooLong(255));
        }
        if text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err(InvalidText::Control);
        }
        Ok(Self(text.to_owned()))
    }

    /// Out of our own storage.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A run.
#[derive(Clone)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Who asked.
    pub user: UserId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// That conversation's name on the API.
    pub conversation_key: ConversationKey,
    /// Its place among the conversation's runs.
    pub position: i64,
    /// Who answers.
    pub agent: AgentName,
    /// The model that was asked.
    pub model: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// The message to answer.
    pub input: String,
    /// The caller's own name for it.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What was asked, as a hash, to tell a repeated request from another one under the same key.
    pub request_hash: Vec<u8>,
    /// How often it was begun.
    pub attempt: i64,
    /// Whether its owner wants it to stop.
    pub cancel_requested: bool,
    /// The answer, as far as it came.
    pub answer: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The number of its terminal event, once it has one.
    pub final_seq: Option<i64>,
    /// What it took.
    pub usage: Usage,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What people say does not belong in logs.
impl Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).field("status", &self.status).finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Clone)]
pub struct Outcome {
    /// How.
    pub status: RunStatus,
    /// The answer, as far as it came.
    pub answer: String,
    /// Why it failed, as a stable code.
    pub error: Option<&'static str>,
    /// What it took.
    pub usage: Usage,
    /// The number of its terminal event.
    pub final_seq: i64,
}

impl Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("status", &self.status)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Keeps runs.
///
/// Who works on a run holds its job, and ends the job in the transaction that ends the run: a store need not know who that is.
///
/// # Contract
/// - What was inserted is read back as it was, by id and by the key of its user; what was not is `None`, and so is a run of another tenant.
/// - Of several `insert`s under one key of a user, one succeeds; the others answer [`StoreError::Backend`].
/// - `queue` tells how many runs of the conversation wait, and the highest position that was ever given in it, 0 for none.
/// - Of any number of `claim`s of one run, one gets it: running, begun once more, with its model.
/// - A run is claimed and `next` only when it waits, no run of its conversation is running and none before it is waiting.
/// - `under_way` gives the runs that are running or whose turn it is, with their tenants, each once, by id.
/// - `finish` ends a run that is running, and nothing else, once; the outcome is read back.
/// - `cancel` ends a waiting run at once, as one that said nothing: its terminal event is its first. A running one is only marked, and
///   `to_go_on` leaves it out like one that is over or not there.
/// - A final run never changes.
/// - `of` gives the conversation's runs after a position, whatever their status, in order.
/// - The runs of a conversation that is removed go with it.
#[async_trait]
pub trait RunStore: Debug + Send + Sync + 'static {
    /// Adds a run at the end of its conversation's queue; the conversation is held.
    async fn insert(&self, tx: &mut Tx, run: &Run) -> Result<(), StoreError>;
    /// How many runs of the conversation wait, and the highest position so far.
    async fn queue(&self, tx: &mut Tx, conversation: ConversationId) -> Result<(i64, i64), StoreError>;
    /// The run.
    async fn by_id(&self, conn: &mut Conn, tenant: TenantId, id: RunId) -> Result<Option<Run>, StoreError>;
    /// The run, in whichever tenant: for workers.
    async fn find(&self, conn: &mut Conn, id: RunId) -> Result<Option<Run>, StoreError>;
    /// The run that a user asked for under a key.
    async fn by_key(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        user: UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<Run>, StoreError>;
    /// Begins a run whose turn it is.
    async fn claim(&self, tx: &mut Tx, id: RunId, model: &str) -> Result<Option<Run>, StoreError>;
    /// Those of these runs that are there, not over, and not to stop.
    async fn to_go_on(&self, conn: &mut Conn, runs: &[RunId]) -> Result<Vec<RunId>, StoreError>;
    /// Ends a run; `false` when it does not run.
    async fn finish(
        &self,
        tx: &mut Tx,
        id: RunId,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Notes that the owner wants a run to stop. A waiting one ends at once, and answers `true`.
    async fn cancel(&self, tx: &mut Tx, id: RunId, now: DateTime<Utc>) -> Result<bool, StoreError>;
    /// Runs that are running or whose turn it is, after one.
    async fn under_way(
        &self,
        conn: &mut Conn,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<(RunId, TenantId)>, StoreError>;
    /// The waiting run whose turn it is in one conversation.
    async fn next(&self, conn: &mut Conn, conversation: ConversationId) -> Result<Option<RunId>, StoreError>;
    /// The conversation's runs after a position, in order.
    async fn of(
        &self,
        conn: &mut Conn,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RunId)>, StoreError>;
}
