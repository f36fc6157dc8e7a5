//! Tenants and memberships, and where they are stored.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, Memberships, Role, Slug, StoreError, TenantId, TenantName, TenantState, Tx, UserId};

/// One customer's closed space.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name in URLs, unique over all tenants.
    pub slug: Slug,
    /// Its name for people.
    pub name: TenantName,
    /// Whether it is in use.
    pub state: TenantState,
    /// When it came.
    pub created_at: DateTime<Utc>,
}

/// Keeps tenants.
///
/// # Contract
/// - What was inserted is read back as it was; what was not is `None`.
/// - Of several `insert`s with one slug, exactly one answers `true`; the others answer `false` and leave the transaction usable.
/// - `set_state` changes that tenant and no other, and tells whether there is such a tenant.
#[async_trait]
pub trait TenantStore: Debug + Send + Sync + 'static {
    /// Adds a tenant; `false` when the slug is taken.
    async fn insert(&self, tx: &mut Tx, tenant: &Tenant) -> Result<bool, StoreError>;
    /// The tenant with that id.
    async fn by_id(&self, conn: &mut Conn, id: TenantId) -> Result<Option<Tenant>, StoreError>;
    /// Sets the state; `false` when there is no such tenant. Who calls it also calls
    /// [`Auth::note_change`](saas_auth::Auth::note_change).
    async fn set_state(
        &self,
        tx: &mut Tx,
        id: TenantId,
        state: TenantState,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
}

/// What a tenant loses when a member leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// The tenant.
    pub tenant: TenantId,
    /// What the member is there.
    pub role: Role,
    /// How many members it has, this one among them.
    pub members: i64,
    /// How many of them own it.
    pub owners: i64,
}

/// A membership with its tenant.
#[derive(Debug, Clone)]
pub struct Held {
    /// The tenant.
    pub tenant: Tenant,
    /// What the user is there.
    pub role: Role,
    /// Since when they belong to it.
    pub since: DateTime<Utc>,
    /// When their role was last set.
    pub role_since: DateTime<Utc>,
}

/// Keeps memberships, beside what [`Memberships`] answers of them.
///
/// # Contract
/// - A user is at most one member of a tenant: of several `insert`s one answers `true`.
/// - A second `insert` answers `false` and changes nothing, the role least of all.
/// - `leaving` tells of each tenant of that user once, of one that is suspended, too, and keeps everybody else from leaving it until the
///   transaction ends.
/// - `held` gives each membership of that user once, of a suspended tenant, too, by the tenant's id and after the one given, at most `limit`
///   of them.
#[async_trait]
pub trait MembershipStore: Memberships {
    /// Adds a member; `false` when they are one already.
    async fn insert(
        &self,
        tx: &mut Tx,
        user: UserId,
        tenant: TenantId,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// What the user's tenants lose when they leave, the oldest membership first.
    async fn leaving(&self, tx: &mut Tx, user: UserId) -> Result<Vec<Leaving>, StoreError>;
    /// All that the user is a member of, by the tenant's id: for who writes it out.
    async fn held(
        &self,
        conn: &mut Conn,
        user: UserId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<Held>, StoreError>;
}
