//! Conversations and their messages.

use std::{fmt, fmt::Debug};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, InvalidText, StoreError, TenantId, Tx, UserId};

use crate::{AgentName, Item, RunId};

/// A conversation's name on the API: what its owner chose, or an id of ours. Unique in its tenant, 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConversationKey(String);

impl ConversationKey {
    /// Parses a key: no control characters, not trimmed, kept as it is.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let length = text.chars().count();
        if length == 0 {
            return Err(InvalidText::TooShort(1));
        }
        if length > 255 {
            return Err(InvalidText::TooLong(255));
        }
        if text.chars().any(char::is_control) {
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

impl fmt::Display for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

saas_core::text! {
    /// What a conversation's owner calls it: 1 to 128 characters.
    pub ConversationTitle, 1, 128
}

saas_core::id! {
    /// A conversation's row. The API speaks [`ConversationKey`].
    pub ConversationId
}

/// A conversation, without its messages.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its row.
    pub id: ConversationId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Whose it is.
    pub owner: UserId,
    /// Its name on the API.
    pub key: ConversationKey,
    /// What its owner calls it.
    pub title: Option<String>,
    /// The agent of its first run.
    pub agent: AgentName,
    /// How many messages it has.
    pub message_count: i64,
    /// The beginning of its last message.
    pub preview: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When its last message came.
    pub updated_at: DateTime<Utc>,
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The conversation's owner.
    User,
    /// An agent.
    Assistant,
}

impl Speaker {
    /// The word for it in storage and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A message.
#[derive(Clone)]
pub struct Message {
    /// Its place in the conversation, from 1.
    pub position: i64,
    /// Who said it.
    pub speaker: Speaker,
    /// What they said.
    pub text: String,
    /// Whether it ended before it was complete.
    pub partial: bool,
    /// The run that it belongs to.
    pub run: RunId,
    /// When it came.
    pub created_at: DateTime<Utc>,
}

/// What people say does not belong in logs.
impl Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("position", &self.position)
            .field("speaker", &self.speaker)
            .finish_non_exhaustive()
    }
}

/// The place of an item in a conversation's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryPlace {
    /// The message that it belongs to.
    pub message: i64,
    /// Its place among that message's items, from 0.
    pub index: i64,
}

/// A message to add.
#[derive(Debug, Clone)]
pub struct NewMessage<'a> {
    /// Who said it.
    pub speaker: Speaker,
    /// What they said.
    pub text: &'a str,
    /// Whether it ended before it was complete.
    pub partial: bool,
    /// The run that it belongs to.
    pub run: RunId,
    /// What the model remembers of it.
    pub items: &'a [Item],
}

/// Keeps conversations.
///
/// # Contract
/// - What was inserted and added is read back as it was, items byte for byte; what was not is not there.
/// - Of several `hold_or_insert`s with one key of a tenant, one inserts; the others get that one, and wait for its transaction.
/// - `hold…` keeps other transactions from changing or holding the conversation until this one ends.
/// - A conversation of another tenant is not there.
/// - `list` gives each of the owner's conversations that has messages once, last changed first and then by id, greatest first, beginning
///   after the one given.
/// - `add` counts the message, numbers it without a gap, and makes its beginning the preview and its moment the last change.
/// - `messages` gives those after a position, oldest first; `memory` the items before a place, newest first; no more than asked for.
/// - `rename` changes the title and nothing else: a conversation does not move in its list.
/// - `owned` gives conversations of that owner in that tenant, those without messages, too, once each, by id and after the one given, at
///   most `limit` of them.
/// - `remove` takes messages and memory with it, and nothing of another conversation.
#[async_trait]
pub trait ConversationStore: Debug + Send + Sync + 'static {
    /// The conversation with the new one's key, inserted if there is none; held.
    async fn hold_or_insert(&self, tx: &mut Tx, new: &Conversation) -> Result<Conversation, StoreError>;
    /// The conversation, held.
    async fn hold(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError>;
    /// The conversation with a key.
    async fn by_key(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        key: &ConversationKey,
    ) -> Result<Option<Conversation>, StoreError>;
    /// `owner`'s conversations that have messages, last changed first, after the one with the key given.
    async fn list(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        owner: UserId,
        after: Option<(DateTime<Utc>, ConversationId)>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError>;
    /// `owner`'s conversations after one, by id: for who removes or writes out all of them.
    async fn owned(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        owner: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError>;
    /// Its messages after a position, oldest first.
    async fn messages(
        &self,
        conn: &mut Conn,
        id: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError>;
    /// What the model remembers from before a place, newest first.
    async fn memory(
        &self,
        conn: &mut Conn,
        id: ConversationId,
        before: Option<MemoryPlace>,
        limit: u32,
    ) -> Result<Vec<(MemoryPlace, Item)>, StoreError>;
    /// Adds a message and what the model remembers of it, to a conversation that this transaction holds.
    async fn add(
        &self,
        tx: &mut Tx,
        conversation: &Conversation,
        message: NewMessage<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError>;
    /// Names it.
    async fn rename(&self, tx: &mut Tx, id: ConversationId, title: Option<&str>) -> Result<(), StoreError>;
    /// Removes it with all that belongs to it.
    async fn remove(&self, tx: &mut Tx, id: ConversationId) -> Result<(), StoreError>;
}
