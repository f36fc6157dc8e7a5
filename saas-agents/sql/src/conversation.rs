//! Conversations in `saas_conversations`, their messages in `saas_messages`, what models remember in `saas_memory_items`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{
    AgentName, Conversation, ConversationId, ConversationKey, ConversationStore, Item, MemoryPlace, Message,
    NewMessage, RunId, Speaker,
};
use saas_core::{Conn, StoreError, TenantId, Tx, UserId};
use saas_sql::{execute, fetch_all, fetch_one, fetch_optional};
use uuid::Uuid;

/// [`ConversationStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlConversations;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    user_id: Uuid,
    key: String,
    title: Option<String>,
    agent: String,
    message_count: i64,
    preview: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, tenant_id, user_id, key, title, agent, message_count, preview, created_at, updated_at"
    };
}

/// How much of the last message a list shows, in characters.
const PREVIEW: usize = 120;

pub(crate) fn damaged(what: &'static str) -> StoreError {
    StoreError::Backend(format!("the stored {what} cannot be read by this release").into())
}

pub(crate) fn agent(word: &str) -> Result<AgentName, StoreError> {
    AgentName::parse(word).map_err(|_| damaged("agent"))
}

impl TryFrom<Row> for Conversation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ConversationId::from_uuid(row.id),
            tenant: TenantId::from_uuid(row.tenant_id),
            owner: UserId::from_uuid(row.user_id),
            key: ConversationKey::from_stored(row.key),
            title: row.title,
            agent: agent(&row.agent)?,
            message_count: row.message_count,
            preview: row.preview,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    position: i64,
    speaker: String,
    body: String,
    partial: bool,
    run_id: Uuid,
    created_at: DateTime<Utc>,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            position: row.position,
            speaker: if row.speaker == Speaker::User.as_str() { Speaker::User } else { Speaker::Assistant },
            text: row.body,
            partial: row.partial,
            run: RunId::from_uuid(row.run_id),
            created_at: row.created_at,
        }
    }
}

#[async_trait]
impl ConversationStore for SqlConversations {
    async fn hold_or_insert(&self, tx: &mut Tx, new: &Conversation) -> Result<Conversation, StoreError> {
        // Setting the key to itself changes nothing and locks the row that is there.
        let row = fetch_one!(
            tx.conn(),
            Row,
            concat!(
                "INSERT INTO saas_conversations (",
                columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (tenant_id, key) DO UPDATE SET key = excluded.key RETURNING ",
                columns!()
            ),
            new.id.as_uuid(),
            new.tenant.as_uuid(),
            new.owner.as_uuid(),
            new.key.as_str(),
            new.title.as_deref(),
            new.agent.as_str(),
            new.message_count,
            new.preview.as_str(),
            new.created_at,
            new.updated_at,
        )?;
        row.try_into()
    }

    async fn hold(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        let row = fetch_optional!(
            tx.conn(),
            Row,
            concat!(
                "UPDATE saas_conversations SET key = key WHERE tenant_id = $1 AND id = $2 RETURNING ",
                columns!()
            ),
            tenant.as_uuid(),
            id.as_uuid(),
        )?;
        row.map(Conversation::try_from).transpose()
    }

    async fn by_key(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        key: &ConversationKey,
    ) -> Result<Option<Conversation>, StoreError> {
        let row = fetch_optional!(
            conn,
            Row,
            concat!("SELECT ", columns!(), " FROM saas_conversations WHERE tenant_id = $1 AND key = $2"),
            tenant.as_uuid(),
            key.as_str(),
        )?;
        row.map(Conversation::try_from).transpose()
    }

    async fn list(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        owner: UserId,
        after: Option<(DateTime<Utc>, ConversationId)>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let rows = match after {
            None => fetch_all!(
                conn,
                Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM saas_conversations WHERE tenant_id = $1 AND user_id = $2 AND message_count > 0 \
                     ORDER BY updated_at DESC, id DESC LIMIT $3"
                ),
                tenant.as_uuid(),
                owner.as_uuid(),
                i64::from(limit),
            )?,
            Some((updated_at, id)) => fetch_all!(
                conn,
                Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM saas_conversations WHERE tenant_id = $1 AND user_id = $2 AND message_count > 0 \
                     AND (updated_at, id) < ($3, $4) ORDER BY updated_at DESC, id DESC LIMIT $5"
                ),
                tenant.as_uuid(),
                owner.as_uuid(),
                updated_at,
                id.as_uuid(),
                i64::from(limit),
            )?,
        };
        rows.into_iter().map(Conversation::try_from).collect()
    }

    async fn messages(
        &self,
        conn: &mut Conn,
        id: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let rows = fetch_all!(
            conn,
            MessageRow,
            "SELECT position, speaker, body, partial, run_id, created_at FROM saas_messages \
             WHERE conversation_id = $1 AND position > $2 ORDER BY position LIMIT $3",
            id.as_uuid(),
            after,
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(Message::from).collect())
    }

    async fn memory(
        &self,
        conn: &mut Conn,
        id: ConversationId,
        before: Option<MemoryPlace>,
        limit: u32,
    ) -> Result<Vec<(MemoryPlace, Item)>, StoreError> {
        let before = before.unwrap_or(MemoryPlace { message: i64::MAX, index: 0 });
        let rows = fetch_all!(
            conn,
            (i64, i64, String),
            "SELECT message_position, item_index, item FROM saas_memory_items \
             WHERE conversation_id = $1 AND (message_position, item_index) < ($2, $3) \
             ORDER BY message_position DESC, item_index DESC LIMIT $4",
            id.as_uuid(),
            before.message,
            before.index,
            i64::from(limit),
        )?;
        let item = |(message, index, json)| {
            let item = Item::from_json(json).map_err(|_| damaged("item"))?;
            Ok((MemoryPlace { message, index }, item))
        };
        rows.into_iter().map(item).collect()
    }

    async fn add(
        &self,
        tx: &mut Tx,
        conversation: &Conversation,
        message: NewMessage<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let preview: String = message.text.chars().take(PREVIEW).collect();
        let (position,): (i64,) = fetch_one!(
            tx.conn(),
            (i64,),
            "UPDATE saas_conversations SET message_count = message_count + 1, preview = $1, updated_at = $2 WHERE id = $3 \
             RETURNING message_count",
            preview.as_str(),
            now,
            conversation.id.as_uuid(),
        )?;
        execute!(
            tx.conn(),
            "INSERT INTO saas_messages (conversation_id, position, speaker, body, partial, run_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            conversation.id.as_uuid(),
            position,
            message.speaker.as_str(),
            message.text,
            message.partial,
            message.run.as_uuid(),
            now,
        )?;
        for (index, item) in (0_i64..).zip(message.items) {
            execute!(
                tx.conn(),
                "INSERT INTO saas_memory_items (conversation_id, message_position, item_index, item) VALUES ($1, $2, $3, $4)",
                conversation.id.as_uuid(),
                position,
                index,
                item.as_json(),
            )?;
        }
        Ok(())
    }

    async fn owned(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        owner: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let after = after.map_or(Uuid::nil(), ConversationId::as_uuid);
        let rows = fetch_all!(
            conn,
            Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM saas_conversations WHERE tenant_id = $1 AND user_id = $2 AND id > $3 ORDER BY id LIMIT $4"
            ),
            tenant.as_uuid(),
            owner.as_uuid(),
            after,
            i64::from(limit),
        )?;
        rows.into_iter().map(Conversation::try_from).collect()
    }

    async fn rename(&self, tx: &mut Tx, id: ConversationId, title: Option<&str>) -> Result<(), StoreError> {
        execute!(tx.conn(), "UPDATE saas_conversations SET title = $1 WHERE id = $2", title, id.as_uuid())?;
        Ok(())
    }

    async fn remove(&self, tx: &mut Tx, id: ConversationId) -> Result<(), StoreError> {
        execute!(tx.conn(), "DELETE FROM saas_conversations WHERE id = $1", id.as_uuid())?;
        Ok(())
    }
}
