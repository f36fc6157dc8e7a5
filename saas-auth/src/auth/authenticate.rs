//! Deciding who a request is from.

use saas_core::{
    Actor, Client, ErrorKind, Fault, Principal, Reach, Report, RequestId, StoreError, TenantState,
    actor::UserPrincipal,
};

use super::Auth;
use crate::{
    UserStatus,
    token::{AccessClaims, TokenError},
};

/// A request's actor, and what its token said.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who it is from.
    pub actor: Actor,
    /// The verified claims.
    pub claims: AccessClaims,
}

/// Why a request is nobody's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticateError {
    /// The token itself is bad.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is good, its session is not: revoked, expired or changed, or the user, the membership or the tenant is.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for AuthenticateError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Token(error) => error.report(),
            Self::SessionEnded => Report::new(ErrorKind::Unauthenticated, "session_ended"),
            Self::Store(error) => error.report(),
        }
    }
}

impl Auth {
    /// Verifies an access token and decides by the state of its session, its user and its tenant now, not by what the token claims.
    pub async fn authenticate(
        &self,
        token: &str,
        request_id: Option<RequestId>,
        client: Client,
    ) -> Result<Authenticated, AuthenticateError> {
        let claims = self.verify(token).await?;
        let mut conn = self.ports.storage.read(Reach::Tenant(claims.tenant_id)).await?;
        let snapshot = self
            .ports
            .sessions
            .snapshot(&mut conn, claims.sid)
            .await?
            .ok_or(AuthenticateError::SessionEnded)?;
        let same = snapshot.user == claims.user()
            && snapshot.tenant == claims.tenant_id
            && snapshot.version == claims.ver;
        let live = !snapshot.revoked
            && self.now() < snapshot.expires_at
            && snapshot.user_status == UserStatus::Active;
        if !same || !live {
            return Err(AuthenticateError::SessionEnded);
        }
        let standing = self.ports.memberships.standing(&mut conn, snapshot.user, snapshot.tenant).await?;
        let standing = standing
            .filter(|standing| standing.tenant_state == TenantState::Active)
            .ok_or(AuthenticateError::SessionEnded)?;
        let principal = UserPrincipal {
            user: snapshot.user,
            tenant: snapshot.tenant,
            session: claims.sid,
            role: standing.role,
            permissions: standing.role.permissions().narrowed_to(&claims.scope),
        };
        Ok(Authenticated {
            actor: Actor { principal: Principal::User(Box::new(principal)), request_id, client },
            claims,
        })
    }
}
