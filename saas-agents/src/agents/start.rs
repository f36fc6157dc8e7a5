//! Asking an agent.

use saas_core::{Actor, Permission, Reach, StoreError, actor::UserPrincipal};
use sha2::{Digest, Sha256};

use super::{Agents, AgentsError};
use crate::{
    AgentName, Conversation, ConversationId, ConversationKey, IdempotencyKey, Run, RunId, RunStatus, Usage,
};

/// A message for an agent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartRun {
    /// What is said.
    pub message: String,
    /// Where; a new conversation without it.
    pub conversation: Option<ConversationKey>,
    /// To whom; triage without it.
    pub agent: Option<AgentName>,
    /// The caller's own name for the request, so that it can be sent twice.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl StartRun {
    /// A message in a new conversation.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), conversation: None, agent: None, idempotency_key: None }
    }

    /// In this conversation.
    #[must_use]
    pub fn in_conversation(mut self, key: Option<ConversationKey>) -> Self {
        self.conversation = key;
        self
    }

    /// To this agent.
    #[must_use]
    pub fn to_agent(mut self, agent: Option<AgentName>) -> Self {
        self.agent = agent;
        self
    }

    /// Under this name.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: Option<IdempotencyKey>) -> Self {
        self.idempotency_key = key;
        self
    }

    /// Tells requests apart.
    fn hash(&self) -> Vec<u8> {
        let part = |text: &str| format!("{}:{text}", text.len());
        let conversation = self.conversation.as_ref().map(|key| part(key.as_str())).unwrap_or_default();
        let agent = self.agent.as_ref().map(|agent| part(agent.as_str())).unwrap_or_default();
        Sha256::digest(format!("{conversation}|{agent}|{}", part(&self.message))).to_vec()
    }
}

impl Agents {
    /// Stores the request as a run, and its job with it when its turn has come. The same request under the same key gets the same run.
    pub async fn start(&self, actor: &Actor, command: StartRun) -> Result<Run, AgentsError> {
        let user = self.allowed(actor, &Permission::CONVERSATIONS_WRITE)?;
        let agent = self.agent(command.agent.clone())?;
        let limit = self.config.message_limit;
        let length = command.message.chars().count();
        if length == 0 || length > limit || command.message.contains('\0') {
            return Err(AgentsError::InvalidMessage { limit });
        }
        let hash = command.hash();
        if let Some(run) = self.known(user, command.idempotency_key.as_ref(), &hash).await? {
            return Ok(run);
        }
        let key = command.idempotency_key.clone();
        let run = match self.insert(user, command, agent, hash.clone()).await {
            // Two requests under one key at once: the other one was first.
            Err(AgentsError::Store(StoreError::Backend(source))) => {
                match self.known(user, key.as_ref(), &hash).await? {
                    Some(run) => return Ok(run),
                    None => return Err(StoreError::Backend(source).into()),
                }
            }
            done => done?,
        };
        tracing::info!(run.id = %run.id, conversation.id = %run.conversation, agent = %run.agent, "run started");
        Ok(run)
    }

    fn agent(&self, name: Option<AgentName>) -> Result<AgentName, AgentsError> {
        let name = name.unwrap_or(AgentName::TRIAGE);
        if self.config.catalogue.get(&name).is_some() {
            return Ok(name);
        }
        let known: Vec<&str> = self.config.catalogue.iter().map(|spec| spec.name.as_str()).collect();
        Err(AgentsError::UnknownAgent { known: known.join(", ") })
    }

    async fn known(
        &self,
        user: &UserPrincipal,
        key: Option<&IdempotencyKey>,
        hash: &[u8],
    ) -> Result<Option<Run>, AgentsError> {
        let Some(key) = key else { return Ok(None) };
        let mut conn = self.ports.storage.read(Reach::Tenant(user.tenant)).await?;
        match self.ports.runs.by_key(&mut conn, user.tenant, user.user, key).await? {
            Some(run) if run.request_hash != hash => Err(AgentsError::KeyReused),
            found => Ok(found),
        }
    }

    async fn insert(
        &self,
        user: &UserPrincipal,
        command: StartRun,
        agent: AgentName,
        request_hash: Vec<u8>,
    ) -> Result<Run, AgentsError> {
        let (clock, entropy) = (&*self.ports.clock, &*self.ports.entropy);
        let (now, id) = (self.now(), ConversationId::generate(clock, entropy));
        let new = Conversation {
            id,
            tenant: user.tenant,
            owner: user.user,
            key: command.conversation.unwrap_or_else(|| ConversationKey::from_stored(id.to_string())),
            title: None,
            agent: agent.clone(),
            message_count: 0,
            preview: String::new(),
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.ports.storage.begin(Reach::Tenant(user.tenant)).await?;
        let conversation = self.ports.conversations.hold_or_insert(&mut tx, &new).await?;
        if conversation.owner != user.user {
            return Err(AgentsError::ConversationNotFound);
        }
        let (waiting, last) = self.ports.runs.queue(&mut tx, conversation.id).await?;
        if waiting >= self.config.queue_limit {
            return Err(AgentsError::QueueFull);
        }
        let run = Run {
            id: RunId::generate(clock, entropy),
            tenant: user.tenant,
            user: user.user,
            conversation: conversation.id,
            conversation_key: conversation.key,
            position: last + 1,
            agent,
            model: None,
            status: RunStatus::Queued,
            input: command.message,
            idempotency_key: command.idempotency_key,
            request_hash,
            attempt: 0,
            cancel_requested: false,
            answer: String::new(),
            error: None,
            final_seq: None,
            usage: Usage::default(),
            created_at: now,
            finished_at: None,
        };
        self.ports.runs.insert(&mut tx, &run).await?;
        if waiting == 0 {
            self.enqueue_next(&mut tx, run.tenant, run.conversation).await?;
        }
        tx.commit().await?;
        Ok(run)
    }
}
