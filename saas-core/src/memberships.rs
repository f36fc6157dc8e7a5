//! The port through which auth asks tenancy who belongs where.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Conn, Role, Slug, StoreError, TenantId, TenantName, UserId};

/// A tenant's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenantState {
    /// In use.
    Active,
    /// Closed for now: members can neither sign in nor act.
    Suspended,
}

/// What a user is in one tenant now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Their role.
    pub role: Role,
    /// The tenant's state.
    pub tenant_state: TenantState,
}

/// A tenant that a user may sign in to.
#[derive(Debug, Clone)]
pub struct TenantChoice {
    /// The tenant.
    pub tenant: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its name.
    pub name: TenantName,
    /// The user's role in it.
    pub role: Role,
}

/// Answers who belongs where.
///
/// `standing` is asked at every request that nothing is remembered for, and so is one primary-key read; `standings` is one for many.
///
/// # Contract
/// - `standing` tells the role and the tenant's state as they are now.
/// - A user who is no member of that tenant, or a user or tenant that is not there, is `None`.
/// - `standings` tells the same of each pair that has a standing, once, in any order, and of no other.
/// - `of_user` lists the tenants that the user is a member of and that are active, and no others, as they are.
/// - It lists them oldest membership first, at most `limit` of them.
#[async_trait]
pub trait Memberships: Debug + Send + Sync + 'static {
    /// What `user` is in `tenant`.
    async fn standing(
        &self,
        conn: &mut Conn,
        user: UserId,
        tenant: TenantId,
    ) -> Result<Option<Standing>, StoreError>;
    /// What each user is in the tenant beside them, in one read.
    async fn standings(
        &self,
        conn: &mut Conn,
        members: &[(UserId, TenantId)],
    ) -> Result<Vec<((UserId, TenantId), Standing)>, StoreError>;
    /// Where `user` may sign in.
    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<TenantChoice>, StoreError>;
}
