//! `ConversationStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{
    Conversation, ConversationId, ConversationKey, ConversationStore, Item, MemoryPlace, Message, NewMessage,
    conformance::conversation_store::{ConversationStoreSubject as Subject, LINES, check},
};
use saas_agents_sql::SqlConversations;
use saas_core::{Conn, StoreError, TenantId, Tx, UserId};
use saas_kit::testing::TestEngine;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn subject(engine: TestEngine) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlConversations), database)
}

on_each_engine!(saas_agents::conversation_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.0.starts_with(line)
    }
}

#[async_trait]
impl ConversationStore for Broken {
    async fn hold_or_insert(&self, tx: &mut Tx, new: &Conversation) -> Result<Conversation, StoreError> {
        let found = SqlConversations.hold_or_insert(tx, new).await?;
        Ok(if self.breaks("of_several_inserts") { new.clone() } else { found })
    }

    async fn hold(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        if self.breaks("a_held") {
            let key = ConversationKey::from_stored("conversation 1".to_owned());
            return SqlConversations.by_key(tx.conn(), tenant, &key).await;
        }
        SqlConversations.hold(tx, tenant, id).await
    }

    async fn by_key(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        key: &ConversationKey,
    ) -> Result<Option<Conversation>, StoreError> {
        let found = SqlConversations.by_key(conn, tenant, key).await?;
        if found.is_none() && self.breaks("a_conversation_of_another_tenant") {
            let one = TenantId::from_uuid("01900000-0000-7000-8000-000000000001".parse().unwrap());
            return SqlConversations.by_key(conn, one, key).await;
        }
        Ok(found)
    }

    async fn list(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        owner: UserId,
        after: Option<(DateTime<Utc>, ConversationId)>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let mut found = SqlConversations.list(conn, tenant, owner, after, limit).await?;
        if self.breaks("the_list") {
            found.reverse();
        }
        Ok(found)
    }

    async fn owned(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        owner: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let mut theirs = SqlConversations.owned(conn, tenant, owner, after, limit).await?;
        if self.breaks("what_an_owner_has") {
            theirs.retain(|conversation| conversation.message_count > 0);
        }
        Ok(theirs)
    }

    async fn messages(
        &self,
        conn: &mut Conn,
        id: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let after = if self.breaks("messages") { 0 } else { after };
        SqlConversations.messages(conn, id, after, limit).await
    }

    async fn memory(
        &self,
        conn: &mut Conn,
        id: ConversationId,
        before: Option<MemoryPlace>,
        limit: u32,
    ) -> Result<Vec<(MemoryPlace, Item)>, StoreError> {
        let mut memory = SqlConversations.memory(conn, id, before, limit).await?;
        if self.breaks("memory") {
            memory.reverse();
        }
        Ok(memory)
    }

    async fn add(
        &self,
        tx: &mut Tx,
        conversation: &Conversation,
        mut message: NewMessage<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let items: Vec<Item> = message.items.iter().map(rewritten).collect();
        if self.breaks("what_was_inserted") {
            message.items = &items;
        }
        let now = if self.breaks("a_message") { conversation.updated_at } else { now };
        SqlConversations.add(tx, conversation, message, now).await
    }

    async fn rename(&self, tx: &mut Tx, id: ConversationId, title: Option<&str>) -> Result<(), StoreError> {
        let title = if self.breaks("a_title") { title.or(Some("")) } else { title };
        SqlConversations.rename(tx, id, title).await
    }

    async fn remove(&self, tx: &mut Tx, id: ConversationId) -> Result<(), StoreError> {
        if self.breaks("what_is_removed") {
            return Ok(());
        }
        SqlConversations.remove(tx, id).await
    }
}

/// The same JSON in other bytes.
fn rewritten(item: &Item) -> Item {
    let value: serde_json::Value = serde_json::from_str(item.as_json()).unwrap();
    Item::from_json(value.to_string()).unwrap()
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        // SQLite has one writer: there, a transaction that holds a conversation keeps every other one out.
        let (database, storage) = migrated(TestEngine::Postgres).await;
        let subject = Subject::new(shared(&storage), Arc::new(Broken(line)), database);
        assert_noticed(line, check(line, subject)).await;
    }
}
