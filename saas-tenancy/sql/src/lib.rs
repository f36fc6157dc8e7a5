//! The stores of [`saas_tenancy`] over SQLite and PostgreSQL.
//!
//! ```
//! assert_eq!(saas_tenancy_sql::TENANCY.name, "tenancy");
//! ```

mod tenant;

use saas_sql::{Component, Keep, Retention};
pub use tenant::{SqlMemberships, SqlTenants};

/// The migrations of tenancy's tables; they refer to auth's, which come first.
pub const TENANCY: Component = saas_sql::component!("tenancy", [(1, 1, "0001_tenants")]);

/// How long their rows live.
pub const RETENTION: &[Retention] = &[
    Retention { table: "saas_tenants", keep: Keep::WithOwner("a tenant's row is the tenant") },
    Retention { table: "saas_memberships", keep: Keep::WithOwner("removed with the user or the tenant") },
];
