//! The stores of [`saas_agents`] over SQLite and PostgreSQL.
//!
//! ```
//! assert_eq!(saas_agents_sql::AGENTS.name, "agents");
//! ```

mod conversation;
mod run;

pub use conversation::SqlConversations;
pub use run::SqlRuns;
use saas_sql::Component;

/// The migrations of agents' tables.
pub const AGENTS: Component =
    saas_sql::component!("agents", [(1, 1, "0001_conversations"), (2, 1, "0002_waiting_runs")]);
