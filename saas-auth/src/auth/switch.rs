//! Switching tenants inside a session: the family moves on by one conditional statement, and its session with it.
//!
//! Whoever has the refresh token, or the cookie in its place, exchanges it as at a refresh; what was given out for the tenant before is void
//! from the commit on, for the session has another version.

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, ErrorKind, Fault, InternalError, Principal, Reach, Report, Role, Secret, StoreError, TenantId, Tx,
    audit::{AuditActor, AuditEvent},
};

use super::{Auth, OpenedSession, RefreshError, Tokens, measures, refresh::Worth};
use crate::{
    Changed, Family, Lineage, RefreshToken, Rotated, Rotation, SessionCookie, User, UserStatus,
    audited::{SESSION_ENTERED, SESSION_LEFT},
    token::AccessClaims,
};

/// What a session is switched by.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum SessionCredential<'a> {
    /// Its live refresh token.
    RefreshToken(&'a Secret<String>),
    /// Its cookie.
    Cookie(&'a Secret<String>),
}

/// Why a session stays in its tenant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// The refresh token is forged, expired, revoked or was used before.
    #[error("the refresh token is not valid: sign in again")]
    InvalidRefreshToken,
    /// The cookie is not that of a live session.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The user has no such tenant, or it is closed: which of the two is not told.
    #[error("there is no such tenant")]
    TenantNotFound,
    /// The session moved on in this moment, as when two windows of one browser act at once.
    #[error("the session was just refreshed or switched: take what that answered, and ask again")]
    MovedOn,
    /// The storage failed; the session is as it was.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokens could not be made.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for SwitchError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::InvalidRefreshToken => Report::new(ErrorKind::Unauthenticated, "invalid_refresh_token"),
            Self::SessionEnded => Report::new(ErrorKind::Unauthenticated, "session_ended"),
            Self::TenantNotFound => Report::new(ErrorKind::NotFound, "tenant_not_found"),
            Self::MovedOn => Report::new(ErrorKind::Conflict, "session_moved_on"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

impl From<RefreshError> for SwitchError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Invalid => Self::InvalidRefreshToken,
            RefreshError::Store(error) => Self::Store(error),
            RefreshError::Internal(error) => Self::Internal(error),
        }
    }
}

const REACH: Reach = Reach::Platform("a session moves between tenants");

impl Auth {
    /// Takes the session to another of the user's tenants. A failure leaves it as it was, but for a refresh token that was used before:
    /// that ends its session, as at a refresh.
    pub async fn switch(
        &self,
        actor: &Actor,
        by: SessionCredential<'_>,
        to: TenantId,
    ) -> Result<Tokens, SwitchError> {
        let tokens = match by {
            SessionCredential::RefreshToken(token) => self.switch_by_token(actor, token, to).await,
            SessionCredential::Cookie(cookie) => self.switch_by_cookie(actor, cookie, to).await,
        };
        measures::switched(&tokens);
        tokens
    }

    async fn switch_by_token(
        &self,
        actor: &Actor,
        presented: &Secret<String>,
        to: TenantId,
    ) -> Result<Tokens, SwitchError> {
        let token = RefreshToken::parse(presented.expose()).map_err(|_| SwitchError::InvalidRefreshToken)?;
        if !self.refresh_keys.made(&token)? {
            return Err(SwitchError::InvalidRefreshToken);
        }
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        let role = self.role(tx.conn(), token.user, to).await?;
        if let Some(role) = role {
            let rotation = self.rotation_of(&token, now);
            if let Some(rotated) = self.ports.sessions.switch(&mut tx, &rotation, to).await? {
                return self
                    .switched(
                        actor,
                        tx,
                        &rotation,
                        token.successor(rotated.key_id.clone()),
                        &rotated,
                        role,
                        to,
                    )
                    .await;
            }
        }
        let known = self.ports.sessions.family(tx.conn(), token.session).await?;
        let (family, user) = known.ok_or(SwitchError::InvalidRefreshToken)?;
        if !token.is_of(&family) || family.client_id != AccessClaims::FIRST_PARTY {
            return Err(SwitchError::InvalidRefreshToken);
        }
        match self.worth(token.generation, &family, now) {
            Worth::Reused => Ok(self.end_reused(actor, tx, &family, now).await?),
            Worth::Nothing => Err(SwitchError::InvalidRefreshToken),
            Worth::Current | Worth::InGrace => self.not_switched(&token, &family, &user, role, to),
        }
    }

    /// What is said to whoever has a token that is live, or was until just now.
    fn not_switched(
        &self,
        token: &RefreshToken,
        family: &Family,
        user: &User,
        role: Option<Role>,
        to: TenantId,
    ) -> Result<Tokens, SwitchError> {
        if user.status != UserStatus::Active {
            return Err(SwitchError::InvalidRefreshToken);
        }
        let role = role.ok_or(SwitchError::TenantNotFound)?;
        // The answer to the very switch was lost: it is given again.
        if token.generation + 1 == family.generation && family.session.tenant == to && token.tenant != to {
            let opened = OpenedSession::new(family, role, user);
            return Ok(self.tokens_for(&opened)?);
        }
        Err(SwitchError::MovedOn)
    }

    async fn switch_by_cookie(
        &self,
        actor: &Actor,
        presented: &Secret<String>,
        to: TenantId,
    ) -> Result<Tokens, SwitchError> {
        let cookie = SessionCookie::parse(presented.expose()).map_err(|_| SwitchError::SessionEnded)?;
        if !self.refresh_keys.made_cookie(&cookie)? {
            return Err(SwitchError::SessionEnded);
        }
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        let known = self.ports.sessions.family(tx.conn(), cookie.session()).await?;
        let (family, user) = known
            .filter(|(family, user)| {
                let live = family.session.revoked_at.is_none() && now < family.session.refresh_expires_at();
                live && cookie.is_of(family) && user.status == UserStatus::Active
            })
            .ok_or(SwitchError::SessionEnded)?;
        let role = self.role(tx.conn(), user.id, to).await?.ok_or(SwitchError::TenantNotFound)?;
        let rotation = Rotation {
            session: family.session.id,
            user: user.id,
            tenant: family.session.tenant,
            client_id: AccessClaims::FIRST_PARTY,
            salt: &family.salt,
            generation: family.generation,
            now,
            idle_expires_at: now + self.config.idle_lifetime,
        };
        let rotated = self.ports.sessions.switch(&mut tx, &rotation, to).await?;
        let rotated = rotated.ok_or(SwitchError::MovedOn)?;
        let successor = Lineage { generation: family.generation + 1, ..family.lineage() };
        self.switched(actor, tx, &rotation, successor, &rotated, role, to).await
    }

    fn rotation_of<'a>(&self, token: &'a RefreshToken, now: DateTime<Utc>) -> Rotation<'a> {
        Rotation {
            session: token.session,
            user: token.user,
            tenant: token.tenant,
            client_id: AccessClaims::FIRST_PARTY,
            salt: token.salt(),
            generation: token.generation,
            now,
            idle_expires_at: now + self.config.idle_lifetime,
        }
    }

    /// Tells everybody, writes it down where the session was and where it is, and commits.
    #[expect(clippy::too_many_arguments, reason = "what both ways of switching know by then")]
    async fn switched(
        &self,
        actor: &Actor,
        mut tx: Tx,
        rotation: &Rotation<'_>,
        successor: Lineage,
        rotated: &Rotated,
        role: Role,
        to: TenantId,
    ) -> Result<Tokens, SwitchError> {
        self.note_change(&mut tx, Changed::User(rotation.user)).await?;
        for (action, tenant) in [(SESSION_LEFT, rotation.tenant), (SESSION_ENTERED, to)] {
            let event = AuditEvent::new(action).in_tenant(tenant).about(rotation.session);
            // Whoever has the refresh token is its user, whether or not they came with an access token.
            let event = match actor.principal {
                Principal::Anonymous => event.by(AuditActor::user(rotation.user)),
                _ => event,
            };
            self.ports.audit.record(&mut tx, actor, event).await?;
        }
        tx.commit().await?;
        tracing::info!(user.id = %rotation.user, session.id = %rotation.session, tenant.id = %to, "switched tenants");
        let opened = OpenedSession {
            lineage: Lineage { tenant: to, ..successor },
            version: rotated.version,
            authenticated_at: rotated.authenticated_at,
            methods: rotated.methods,
            refresh_expires_at: rotation.idle_expires_at.min(rotated.absolute_expires_at),
            session_expires_at: rotated.absolute_expires_at,
            role,
            email_verified: rotated.email_verified,
            password_compromised: rotated.password_compromised,
        };
        Ok(self.tokens_for(&opened)?)
    }
}
