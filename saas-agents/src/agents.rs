//! The service.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, Audit, Clock, Entropy, ErrorKind, EventLog, EventLogError, Fault, InvalidCursor, Permission,
    Report, Storage, StoreError, actor::UserPrincipal, clock::stored_now, jobs::Jobs,
};

use crate::{Catalogue, ChatModel, ConversationStore, ModelName, ModelSlot, RunStore, limited::Limited};

mod bounds;
mod conversations;
mod execute;
mod export;
mod follow;
mod job;
mod live;
mod recover;
mod start;

pub use conversations::{ConversationPage, Transcript};
pub use execute::ExecuteError;
pub use follow::{RunEvent, RunEvents};
pub use job::RunJob;
use live::Live;
pub use start::StartRun;

/// What agents work with.
#[derive(Debug, Clone)]
pub struct AgentsPorts {
    /// Where transactions come from.
    pub storage: Arc<dyn Storage>,
    /// Where conversations are.
    pub conversations: Arc<dyn ConversationStore>,
    /// Where runs are.
    pub runs: Arc<dyn RunStore>,
    /// Where what was done is written down.
    pub audit: Audit,
    /// Where runs say what they do.
    pub events: Arc<dyn EventLog>,
    /// What answers.
    pub model: Arc<dyn ChatModel>,
    /// What runs are worked on as.
    pub jobs: Jobs,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Which models the agents ask.
#[derive(Debug, Clone)]
pub struct Models {
    /// For triage.
    pub triage: ModelName,
    /// For code.
    pub code: ModelName,
    /// For data.
    pub data: ModelName,
}

impl Models {
    /// One model for all.
    pub fn all(model: &ModelName) -> Self {
        Self { triage: model.clone(), code: model.clone(), data: model.clone() }
    }

    pub(crate) fn of(&self, slot: ModelSlot) -> &ModelName {
        match slot {
            ModelSlot::Triage => &self.triage,
            ModelSlot::Code => &self.code,
            ModelSlot::Data => &self.data,
        }
    }
}

/// How agents behave.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentsConfig {
    /// The agents.
    pub catalogue: Catalogue,
    /// Their models.
    pub models: Models,
    /// The longest message, in characters.
    pub message_limit: usize,
    /// How much of the conversation is sent to the model, in tokens, roughly.
    pub history_tokens: usize,
    /// How many runs may wait behind the one that runs in a conversation.
    pub queue_limit: i64,
    /// In how many bits of text an answer may come; a longer one is cut off as `model_truncated`. A run has at most one event more than
    /// that, so an event log that keeps so many of a topic has all of any run that is not over.
    pub answer_texts: u32,
    /// Whether a user has to have proved their address.
    pub require_verified_email: bool,
}

impl AgentsConfig {
    /// The default of [`AgentsConfig::answer_texts`]: more than the tokens that today's models write at most, which are 128,000.
    pub const ANSWER_TEXTS: u32 = 131_072;

    /// The bundled agents on `models`: messages of 32,000 characters, 32,000 tokens of history, 10 waiting runs, answers in 131,072 bits.
    pub fn new(models: Models) -> Self {
        Self {
            catalogue: Catalogue::bundled(),
            models,
            message_limit: 32_000,
            history_tokens: 32_000,
            queue_limit: 10,
            answer_texts: Self::ANSWER_TEXTS,
            require_verified_email: false,
        }
    }

    /// For users alone who have proved their address, if `yes`.
    #[must_use]
    pub fn with_verified_email(mut self, yes: bool) -> Self {
        self.require_verified_email = yes;
        self
    }
}

/// Agents, runs and conversations. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Agents {
    ports: AgentsPorts,
    config: Arc<AgentsConfig>,
    live: Live,
}

/// Why a command on agents failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentsError {
    /// Nobody is signed in.
    #[error("sign in first")]
    Unauthenticated,
    /// The actor's role does not allow it.
    #[error("your role does not allow this")]
    Forbidden,
    /// The user has not proved their address yet.
    #[error(
        "prove your e-mail address first: the mail says how, and POST /api/v1/auth/email/send sends another one"
    )]
    EmailUnverified,
    /// There is no such conversation for this actor.
    #[error("there is no such conversation")]
    ConversationNotFound,
    /// There is no such run for this actor.
    #[error("there is no such run")]
    RunNotFound,
    /// No agent has that name.
    #[error("no agent has that name: one of {known}")]
    UnknownAgent {
        /// Those there are.
        known: String,
    },
    /// The message is empty or too long.
    #[error("a message has 1 to {limit} characters")]
    InvalidMessage {
        /// The most.
        limit: usize,
    },
    /// The key was used for another request.
    #[error("the Idempotency-Key was used for another request: use a new one")]
    KeyReused,
    /// What was to be followed next is not kept any more; the stored answer is.
    #[error(
        "this part of the stream is not kept any more: read the run or its conversation, then follow after {after}"
    )]
    EventsTrimmed {
        /// The id of the last event that is not kept, to follow after.
        after: String,
    },
    /// Too many runs wait in the conversation.
    #[error("too many messages wait in this conversation: let it answer first")]
    QueueFull,
    /// The cursor is of another list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event log failed.
    #[error(transparent)]
    Events(#[from] EventLogError),
}

impl Fault for AgentsError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::EmailUnverified => Report::new(ErrorKind::Forbidden, "email_unverified"),
            Self::ConversationNotFound => Report::new(ErrorKind::NotFound, "conversation_not_found"),
            Self::RunNotFound => Report::new(ErrorKind::NotFound, "run_not_found"),
            Self::UnknownAgent { .. } => Report::new(ErrorKind::Invalid, "unknown_agent"),
            Self::InvalidMessage { .. } => Report::new(ErrorKind::Invalid, "invalid_message"),
            Self::KeyReused => Report::new(ErrorKind::Conflict, "idempotency_key_reused"),
            Self::EventsTrimmed { .. } => Report::new(ErrorKind::Gone, "events_trimmed"),
            Self::QueueFull => {
                Report::new(ErrorKind::RateLimited, "queue_full").with_retry_after(Duration::from_secs(5))
            }
            Self::Cursor(_) => Report::new(ErrorKind::Invalid, "invalid_cursor"),
            Self::Store(error) => error.report(),
            Self::Events(error) => error.report(),
        }
    }
}

impl Agents {
    /// The service over its ports.
    pub fn new(mut ports: AgentsPorts, config: AgentsConfig) -> Self {
        ports.model = Arc::new(Limited { model: ports.model, texts: config.answer_texts });
        Self { ports, config: Arc::new(config), live: Live::default() }
    }

    /// How it behaves.
    pub fn config(&self) -> &AgentsConfig {
        &self.config
    }

    fn now(&self) -> DateTime<Utc> {
        stored_now(&*self.ports.clock)
    }

    /// Whether the actor may do `wanted`: for who shows what this service only declares.
    pub fn check(&self, actor: &Actor, wanted: &Permission) -> Result<(), AgentsError> {
        self.allowed(actor, wanted).map(drop)
    }

    /// The user, if they may do `wanted`; and what they have to do first, if that is all that is missing.
    fn allowed<'a>(&self, actor: &'a Actor, wanted: &Permission) -> Result<&'a UserPrincipal, AgentsError> {
        let user = actor.user().ok_or(AgentsError::Unauthenticated)?;
        if !user.permissions.allow(wanted) {
            return Err(AgentsError::Forbidden);
        }
        if self.config.require_verified_email && !user.email_verified {
            return Err(AgentsError::EmailUnverified);
        }
        Ok(user)
    }
}
