//! Reading, naming and removing conversations.

use chrono::DateTime;
use saas_core::{
    Actor, Cursor, InvalidCursor, Page, PageSize, Permission, Principal, Reach, TenantId, UserId,
    actor::UserPrincipal,
    audit::{AuditEvent, AuditSubject},
    page::date_in_key,
};

use super::{Agents, AgentsError, live::Stop};
use crate::{
    Conversation, ConversationKey, ConversationTitle, Message, RunId,
    audited::{CONVERSATION_REMOVED, CONVERSATION_RENAMED},
};

/// A page of conversations.
pub type ConversationPage = Page<Conversation>;

/// A conversation with messages.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// The conversation.
    pub conversation: Conversation,
    /// Its messages, oldest first.
    pub messages: Vec<Message>,
    /// Whether there are more after these.
    pub more: bool,
}

/// How many messages are read at once.
const MESSAGES_ROUND: u32 = 10;
/// How many runs' events are removed in one round.
const ROUND: u32 = 200;
/// How many conversations of somebody's are removed or written out in one round.
pub(super) const CONVERSATIONS_ROUND: u32 = 50;

impl Agents {
    /// The most messages that [`Agents::transcript`] gives at once.
    pub const MESSAGES_MAX: u32 = 500;
    /// The most bytes of text that [`Agents::transcript`] gives at once, but for a single message that is longer.
    pub const TRANSCRIPT_BYTES: usize = 256 * 1024;

    /// The actor's own conversations, last changed first.
    pub async fn conversations(
        &self,
        actor: &Actor,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<ConversationPage, AgentsError> {
        let user = self.allowed(actor, &Permission::CONVERSATIONS_READ)?;
        let list = format!("conversations|{}|{}", user.tenant, user.user);
        let after = after.map(|cursor| from_key(&cursor.key(&list)?)).transpose()?;
        let mut conn = self.ports.storage.read(Reach::Tenant(user.tenant)).await?;
        let items = self
            .ports
            .conversations
            .list(&mut conn, user.tenant, user.user, after, size.and_one_more())
            .await?;
        Ok(Page::cut(items, size, |last| Cursor::new(&list, &to_key(last))))
    }

    /// A conversation of the actor's own with its messages after a position.
    pub async fn transcript(
        &self,
        actor: &Actor,
        key: &ConversationKey,
        after: i64,
        limit: u32,
    ) -> Result<Transcript, AgentsError> {
        let user = self.allowed(actor, &Permission::CONVERSATIONS_READ)?;
        let conversation = self.own(user, key).await?;
        let limit = limit.clamp(1, Self::MESSAGES_MAX);
        let mut conn = self.ports.storage.read(Reach::Tenant(user.tenant)).await?;
        let (mut messages, mut bytes, mut after) = (Vec::new(), 0, after);
        let more = 'reading: loop {
            let round =
                self.ports.conversations.messages(&mut conn, conversation.id, after, MESSAGES_ROUND).await?;
            let Some(last) = round.last() else { break false };
            after = last.position;
            for message in round {
                bytes += message.text.len();
                let full = messages.len() >= limit as usize
                    || (bytes > Self::TRANSCRIPT_BYTES && !messages.is_empty());
                if full {
                    break 'reading true;
                }
                messages.push(message);
            }
        };
        Ok(Transcript { conversation, messages, more })
    }

    /// Names a conversation of the actor's own; `None` takes the name away.
    pub async fn rename(
        &self,
        actor: &Actor,
        key: &ConversationKey,
        title: Option<&ConversationTitle>,
    ) -> Result<Conversation, AgentsError> {
        let user = self.allowed(actor, &Permission::CONVERSATIONS_WRITE)?;
        let conversation = self.own(user, key).await?;
        let mut tx = self.ports.storage.begin(Reach::Tenant(user.tenant)).await?;
        if self.ports.conversations.hold(&mut tx, user.tenant, conversation.id).await?.is_none() {
            return Err(AgentsError::ConversationNotFound);
        }
        self.ports
            .conversations
            .rename(&mut tx, conversation.id, title.map(ConversationTitle::as_str))
            .await?;
        let subject = AuditSubject::new("conversation", conversation.id);
        let event = AuditEvent::new(CONVERSATION_RENAMED).in_tenant(user.tenant).about(subject);
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        self.own(user, key).await
    }

    /// Removes a conversation of the actor's own: messages, memory, runs and their events. What runs in it is stopped.
    pub async fn remove(&self, actor: &Actor, key: &ConversationKey) -> Result<(), AgentsError> {
        let user = self.allowed(actor, &Permission::CONVERSATIONS_WRITE)?;
        let conversation = self.own(user, key).await?;
        if self.remove_whole(actor, &conversation).await? {
            Ok(())
        } else {
            Err(AgentsError::ConversationNotFound)
        }
    }

    /// `false` when somebody else has removed it meanwhile.
    async fn remove_whole(&self, actor: &Actor, conversation: &Conversation) -> Result<bool, AgentsError> {
        let tenant = conversation.tenant;
        let runs = self.runs_of(conversation).await?;
        // Twice: what is there goes before the conversation, so that a crash in between leaves nothing that nobody can name; and what a
        // run said meanwhile goes after it.
        self.forget(&runs).await?;
        let mut tx = self.ports.storage.begin(Reach::Tenant(tenant)).await?;
        if self.ports.conversations.hold(&mut tx, tenant, conversation.id).await?.is_none() {
            return Ok(false);
        }
        self.ports.conversations.remove(&mut tx, conversation.id).await?;
        let subject = AuditSubject::new("conversation", conversation.id);
        let event = AuditEvent::new(CONVERSATION_REMOVED).in_tenant(tenant).about(subject);
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        self.forget(&runs).await?;
        Ok(true)
    }

    /// Removes everything that a user has in a tenant, as [`Agents::remove`] does each. For the product itself, when the user is gone; a call
    /// that ends early is made again.
    pub async fn forget_user(
        &self,
        actor: &Actor,
        tenant: TenantId,
        user: UserId,
    ) -> Result<(), AgentsError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(AgentsError::Forbidden);
        }
        loop {
            let owned = {
                let mut conn = self.ports.storage.read(Reach::Tenant(tenant)).await?;
                self.ports.conversations.owned(&mut conn, tenant, user, None, CONVERSATIONS_ROUND).await?
            };
            if owned.is_empty() {
                return Ok(());
            }
            for conversation in owned {
                self.remove_whole(actor, &conversation).await?;
            }
        }
    }

    async fn runs_of(&self, conversation: &Conversation) -> Result<Vec<RunId>, AgentsError> {
        let mut conn = self.ports.storage.read(Reach::Tenant(conversation.tenant)).await?;
        let (mut runs, mut last) = (Vec::new(), 0);
        loop {
            let round = self.ports.runs.of(&mut conn, conversation.id, last, ROUND).await?;
            let Some((position, _)) = round.last() else { return Ok(runs) };
            last = *position;
            runs.extend(round.into_iter().map(|(_, run)| run));
        }
    }

    /// Stops runs of this process and removes what any of them said; other processes stop theirs within a heartbeat.
    async fn forget(&self, runs: &[RunId]) -> Result<(), AgentsError> {
        for run in runs {
            self.live.stop(*run, Stop::Cancel);
            self.ports.events.remove(&run.topic()).await?;
            self.ports.events.wake(&run.topic());
        }
        Ok(())
    }

    async fn own(&self, user: &UserPrincipal, key: &ConversationKey) -> Result<Conversation, AgentsError> {
        let mut conn = self.ports.storage.read(Reach::Tenant(user.tenant)).await?;
        let found = self.ports.conversations.by_key(&mut conn, user.tenant, key).await?;
        found.filter(|conversation| conversation.owner == user.user).ok_or(AgentsError::ConversationNotFound)
    }
}

fn to_key(conversation: &Conversation) -> String {
    format!("{}|{}", conversation.updated_at.timestamp_micros(), conversation.id)
}

fn from_key(key: &str) -> Result<(DateTime<chrono::Utc>, crate::ConversationId), InvalidCursor> {
    let (micros, id) = key.split_once('|').ok_or(InvalidCursor)?;
    Ok((date_in_key(micros)?, id.parse().map_err(|_| InvalidCursor)?))
}
