//! The stores of [`saas_agents`] over SQLite and PostgreSQL.
//!
//! ```
//! assert_eq!(saas_agents_sql::AGENTS.name, "agents");
//! ```

mod conversation;
mod run;

pub use conversation::SqlConversations;
pub use run::SqlRuns;
use saas_sql::{Component, Keep, Retention};

/// The migrations of agents' tables.
pub const AGENTS: Component = saas_sql::component!(
    "agents",
    [
        (1, 1, "0001_conversations"),
        (2, 1, "0002_waiting_runs"),
        (3, 3, "0003_runs_as_jobs"),
        (4, 3, "0004_conversations_of_a_user")
    ]
);

/// How long their rows live.
pub const RETENTION: &[Retention] = &[
    Retention { table: "saas_conversations", keep: Keep::WithOwner("removed by whose it is") },
    Retention { table: "saas_messages", keep: Keep::WithOwner("removed with the conversation") },
    Retention { table: "saas_memory_items", keep: Keep::WithOwner("removed with the conversation") },
    Retention { table: "saas_runs", keep: Keep::WithOwner("removed with the conversation") },
];
