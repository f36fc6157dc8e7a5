//! The stores of [`saas_tenancy`] over SQLite and PostgreSQL.
//!
//! ```
//! assert_eq!(saas_tenancy_sql::TENANCY.name, "tenancy");
//! ```

mod tenant;

use saas_sql::Component;
pub use tenant::{SqlMemberships, SqlTenants};

/// The migrations of tenancy's tables; they refer to auth's, which come first.
pub const TENANCY: Component = saas_sql::component!("tenancy", [(1, 1, "0001_tenants")]);
