//! What agents hold of a user, for the export of their account.

use saas_core::{Actor, Conn, Document, ExportError, Principal, Reach, TenantId, UserId};
use serde::Serialize;
use serde_json::json;

use super::{Agents, conversations::CONVERSATIONS_ROUND};
use crate::{Conversation, Item, Run};

/// How many messages, items or runs are read at once: each may be long.
const ROUND: u32 = 10;

/// An item as it is kept, byte for byte.
#[derive(Serialize)]
struct Remembered<'a> {
    message: i64,
    index: i64,
    item: &'a Item,
}

impl Agents {
    /// Writes a user's conversations in a tenant as items of the list that is open: each with its messages, its runs, and what the model
    /// remembers of it. For the product itself.
    pub async fn write_conversations(
        &self,
        actor: &Actor,
        tenant: TenantId,
        user: UserId,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(ExportError::Forbidden);
        }
        let mut last = None;
        loop {
            let owned = {
                let mut conn = self.ports.storage.read(Reach::Tenant(tenant)).await?;
                self.ports.conversations.owned(&mut conn, tenant, user, last, CONVERSATIONS_ROUND).await?
            };
            let Some(end) = owned.last() else { return Ok(()) };
            last = Some(end.id);
            for conversation in owned {
                self.write_conversation(&conversation, document).await?;
            }
        }
    }

    async fn write_conversation(
        &self,
        conversation: &Conversation,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        document.begin_item();
        document.member("id", &conversation.id.as_uuid())?;
        document.member("tenant_id", &conversation.tenant.as_uuid())?;
        document.member("conversation_id", conversation.key.as_str())?;
        document.member("title", &conversation.title)?;
        document.member("agent", conversation.agent.as_str())?;
        document.member("created_at", &conversation.created_at)?;
        document.member("updated_at", &conversation.updated_at)?;
        document.begin_list("messages")?;
        self.write_messages(conversation, document).await?;
        document.end_list();
        document.begin_list("runs")?;
        self.write_runs(conversation, document).await?;
        document.end_list();
        document.begin_list("memory")?;
        self.write_memory(conversation, document).await?;
        document.end_list();
        document.end_item().await
    }

    async fn read_in(&self, conversation: &Conversation) -> Result<Conn, ExportError> {
        Ok(self.ports.storage.read(Reach::Tenant(conversation.tenant)).await?)
    }

    async fn write_messages(
        &self,
        conversation: &Conversation,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        let mut last = 0;
        loop {
            // No connection is held while whoever reads takes their time.
            let messages = {
                let mut conn = self.read_in(conversation).await?;
                self.ports.conversations.messages(&mut conn, conversation.id, last, ROUND).await?
            };
            let Some(end) = messages.last() else { return Ok(()) };
            last = end.position;
            for message in &messages {
                let item = json!({
                    "position": message.position,
                    "speaker": message.speaker.as_str(),
                    "text": message.text,
                    "partial": message.partial,
                    "run_id": message.run.as_uuid(),
                    "created_at": message.created_at,
                });
                document.item(&item).await?;
            }
        }
    }

    async fn write_runs(
        &self,
        conversation: &Conversation,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        let mut last = 0;
        loop {
            let (mut runs, mut found) = (Vec::new(), false);
            let mut conn = self.read_in(conversation).await?;
            for (position, id) in self.ports.runs.of(&mut conn, conversation.id, last, ROUND).await? {
                (last, found) = (position, true);
                runs.extend(self.ports.runs.by_id(&mut conn, conversation.tenant, id).await?);
            }
            drop(conn);
            if !found {
                return Ok(());
            }
            for run in &runs {
                document.item(&run_item(run)).await?;
            }
        }
    }

    async fn write_memory(
        &self,
        conversation: &Conversation,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        let mut before = None;
        loop {
            let items = {
                let mut conn = self.read_in(conversation).await?;
                self.ports.conversations.memory(&mut conn, conversation.id, before, ROUND).await?
            };
            let Some((end, _)) = items.last() else { return Ok(()) };
            before = Some(*end);
            for (place, item) in &items {
                document.item(&Remembered { message: place.message, index: place.index, item }).await?;
            }
        }
    }
}

fn run_item(run: &Run) -> serde_json::Value {
    json!({
        "id": run.id.as_uuid(),
        "position": run.position,
        "agent": run.agent.as_str(),
        "model": run.model,
        "status": run.status.as_str(),
        "input": run.input,
        "answer": run.answer,
        "error": run.error,
        "idempotency_key": run.idempotency_key.as_ref().map(crate::IdempotencyKey::as_str),
        "usage": {
            "input_tokens": run.usage.input,
            "cached_input_tokens": run.usage.cached_input,
            "output_tokens": run.usage.output,
            "reasoning_tokens": run.usage.reasoning,
        },
        "cancel_requested": run.cancel_requested,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    })
}
