//! The stores of [`saas_auth`] over SQLite and PostgreSQL.
//!
//! Rows and SQL of auth live here and nowhere else; what the stores promise stands at their ports.
//!
//! ```
//! assert_eq!(saas_auth_sql::AUTH.name, "auth");
//! let (users, sessions) = (saas_auth_sql::SqlUsers, saas_auth_sql::SqlSessions);
//! # let _ = (users, sessions);
//! ```

mod change_feed;
mod session;
mod user;

pub use change_feed::SqlChanges;
use saas_sql::Component;
pub use session::SqlSessions;
pub use user::SqlUsers;

/// The migrations of auth's tables.
pub const AUTH: Component = saas_sql::component!(
    "auth",
    [(1, 1, "0001_users_and_sessions"), (2, 1, "0002_changes"), (3, 1, "0003_rotation_in_place")]
);
