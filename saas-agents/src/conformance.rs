//! The conformance suites of agents' ports; how they are used stands at [`saas_core::conformance`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that finds a broken contract fails its test, loudly"
)]

pub mod chat_model;
pub mod conversation_store;
pub mod model_vendor;
pub mod run_store;

use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_core::{Reach, TenantId, UserId};
use uuid::Uuid;

use crate::{AgentName, Conversation, ConversationId, ConversationKey, RunId};

const REACH: Reach = Reach::Platform("conformance");
/// How long something is waited for that has to come: far longer than it takes.
const LIMIT: Duration = Duration::from_secs(10);
/// How long something that is about to come is waited for at a time.
const TICK: Duration = Duration::from_millis(5);

/// Any moment, and so many seconds later.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 123_456_000).unwrap()
}

/// A UUIDv7 that sorts by its number.
fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn tenant_id(number: u128) -> TenantId {
    TenantId::from_uuid(uuid(number))
}

fn user_id(number: u128) -> UserId {
    UserId::from_uuid(uuid(number))
}

fn conversation_id(number: u128) -> ConversationId {
    ConversationId::from_uuid(uuid(number))
}

fn run_id(number: u128) -> RunId {
    RunId::from_uuid(uuid(number))
}

fn conversation_key(number: u128) -> ConversationKey {
    ConversationKey::parse(&format!("conversation {number}")).unwrap()
}

/// A conversation of user 1 in tenant 1, that began at `at(0)`.
fn conversation(number: u128) -> Conversation {
    Conversation {
        id: conversation_id(number),
        tenant: tenant_id(1),
        owner: user_id(1),
        key: conversation_key(number),
        title: None,
        agent: AgentName::TRIAGE,
        message_count: 0,
        preview: String::new(),
        created_at: at(0),
        updated_at: at(0),
    }
}
