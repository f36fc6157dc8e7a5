//! What a token is made for.

use chrono::{DateTime, Utc};
use saas_core::{Permissions, Role, SessionId, TenantId, UserId};

use crate::AuthMethods;

/// What a token is made for: a user who signed in, in one of their tenants.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessGrant {
    /// The user.
    pub user: UserId,
    /// The tenant that they act in.
    pub tenant: TenantId,
    /// Their session.
    pub session: SessionId,
    /// The session version now.
    pub version: i64,
    /// Their role in the tenant.
    pub role: Role,
    /// What the token allows.
    pub scope: Permissions,
    /// When they last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How they did, in the words of RFC 8176.
    pub amr: Vec<String>,
    /// How much that is worth.
    pub acr: String,
    /// Whether their address is verified.
    pub email_verified: bool,
}

impl AccessGrant {
    /// A grant of all that the role may do, for a user who came with a password and whose address is not verified.
    pub fn new(
        user: UserId,
        tenant: TenantId,
        session: SessionId,
        version: i64,
        role: Role,
        auth_time: DateTime<Utc>,
    ) -> Self {
        Self {
            user,
            tenant,
            session,
            version,
            role,
            scope: role.permissions(),
            auth_time,
            amr: vec!["pwd".to_owned()],
            acr: "aal1".to_owned(),
            email_verified: false,
        }
    }

    /// Allows this instead.
    #[must_use]
    pub fn with_scope(self, scope: Permissions) -> Self {
        Self { scope, ..self }
    }

    /// Proved by these methods.
    #[must_use]
    pub fn with_authentication(self, methods: AuthMethods) -> Self {
        let amr = methods.amr().into_iter().map(str::to_owned).collect();
        Self { amr, acr: methods.acr().to_owned(), ..self }
    }

    /// With the address verified or not.
    #[must_use]
    pub fn with_email_verified(self, email_verified: bool) -> Self {
        Self { email_verified, ..self }
    }
}
