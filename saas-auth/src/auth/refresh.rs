//! Refreshing: one live token per family, rotated by one conditional statement.
//!
//! A token of the current generation is exchanged for the next. The one before it gets the same successor again for a short grace, so
//! that a client that lost the answer, or asked from several threads, is not thrown out. Any other genuine token has been used before:
//! somebody holds a copy, and the family is revoked (RFC 9700 section 4.14.2, ASVS 10.4.5).

use chrono::{DateTime, TimeDelta, Utc};
use saas_core::{
    Actor, Conn, ErrorKind, Fault, InternalError, Reach, Report, Role, Secret, SendMail, StoreError,
    TenantId, TenantState, Tx, UserId, audit::AuditEvent,
};

use super::{Auth, OpenedSession, Tokens, measures};
use crate::{
    Changed, Family, RefreshToken, Revocation, Rotation, UserStatus, audited::REFRESH_TOKEN_REUSED,
    token::AccessClaims,
};

/// Why a token was not exchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// Forged, expired, revoked, used before, or of a user or member who is no more: sign in again.
    #[error("the refresh token is not valid: sign in again")]
    Invalid,
    /// The storage failed; the token is still good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokens could not be made.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for RefreshError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Invalid => Report::new(ErrorKind::Unauthenticated, "invalid_refresh_token"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

/// What a genuine token of a family is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// The live one.
    Current,
    /// Just replaced: it gets its successor again.
    InGrace,
    /// Replaced for good.
    Reused,
    /// Nothing: of a dead family, or of a generation that was never given out.
    Nothing,
}

const REACH: Reach = Reach::Platform("refresh");

impl Auth {
    /// Exchanges a refresh token. A failure leaves it as it was.
    pub async fn refresh(&self, actor: &Actor, presented: &Secret<String>) -> Result<Tokens, RefreshError> {
        let mut outcome = measures::ROTATED;
        let tokens = self.exchange(actor, presented, &mut outcome).await;
        measures::refresh(&tokens, outcome);
        tokens
    }

    async fn exchange(
        &self,
        actor: &Actor,
        presented: &Secret<String>,
        outcome: &mut &'static str,
    ) -> Result<Tokens, RefreshError> {
        let token = RefreshToken::parse(presented.expose()).map_err(|_| RefreshError::Invalid)?;
        // A forged token asks nothing of the storage.
        if !self.refresh_keys.made(&token)? {
            return Err(RefreshError::Invalid);
        }
        let now = self.now();
        if let Some(opened) = self.rotate(&token, now).await? {
            return Ok(self.tokens_for(&opened)?);
        }
        self.not_current(actor, &token, now, outcome).await
    }

    /// The conditional statement, alone in its transaction; on the same connection, what does not have to be read while the row is locked.
    async fn rotate(
        &self,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<Option<OpenedSession>, RefreshError> {
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        // Who is not welcome any more rotates nothing; that somebody holds a copy of their token is found all the same.
        let Some(role) = self.role(tx.conn(), token.user, token.tenant).await? else { return Ok(None) };
        let rotation = Rotation {
            session: token.session,
            user: token.user,
            tenant: token.tenant,
            client_id: AccessClaims::FIRST_PARTY,
            salt: token.salt(),
            generation: token.generation,
            now,
            idle_expires_at: now + self.config.idle_lifetime,
        };
        let rotated = self.ports.sessions.rotate(&mut tx, &rotation).await?;
        tx.commit().await?;
        Ok(rotated.map(|rotated| OpenedSession {
            lineage: token.successor(rotated.key_id),
            version: rotated.version,
            authenticated_at: rotated.authenticated_at,
            methods: rotated.methods,
            refresh_expires_at: rotation.idle_expires_at.min(rotated.absolute_expires_at),
            session_expires_at: rotated.absolute_expires_at,
            role,
            email_verified: rotated.email_verified,
            password_compromised: rotated.password_compromised,
        }))
    }

    /// What becomes of a genuine token that was not exchanged: why not is read after it.
    async fn not_current(
        &self,
        actor: &Actor,
        token: &RefreshToken,
        now: DateTime<Utc>,
        outcome: &mut &'static str,
    ) -> Result<Tokens, RefreshError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        let known = self.ports.sessions.family(tx.conn(), token.session).await?;
        let (family, user) = known.ok_or(RefreshError::Invalid)?;
        if !token.is_of(&family) || family.client_id != AccessClaims::FIRST_PARTY {
            return Err(RefreshError::Invalid);
        }
        match self.worth(token.generation, &family, now) {
            Worth::InGrace if user.status == UserStatus::Active => {
                let role = self.role(tx.conn(), user.id, family.session.tenant).await?;
                let role = role.ok_or(RefreshError::Invalid)?;
                *outcome = measures::GRACE;
                Ok(self.tokens_for(&OpenedSession::new(&family, role, &user))?)
            }
            Worth::Reused => {
                let refused = self.end_reused(actor, tx, &family, now).await;
                *outcome = measures::REUSE;
                refused
            }
            _ => Err(RefreshError::Invalid),
        }
    }

    pub(super) fn worth(&self, generation: i64, family: &Family, now: DateTime<Utc>) -> Worth {
        let live = family.session.revoked_at.is_none() && now < family.session.refresh_expires_at();
        if !live || generation > family.generation {
            Worth::Nothing
        } else if generation == family.generation {
            Worth::Current
        } else if generation + 1 == family.generation && self.in_grace(now - family.rotated_at) {
            Worth::InGrace
        } else {
            Worth::Reused
        }
    }

    /// A rotation somewhat in the future is another replica's clock; one farther ahead is a clock that was set back.
    fn in_grace(&self, age: TimeDelta) -> bool {
        let grace = TimeDelta::from_std(self.config.refresh_grace).unwrap_or_default();
        (-TimeDelta::seconds(30)..=grace).contains(&age)
    }

    pub(super) async fn end_reused(
        &self,
        actor: &Actor,
        mut tx: Tx,
        family: &Family,
        now: DateTime<Utc>,
    ) -> Result<Tokens, RefreshError> {
        let session = &family.session;
        let why = Revocation::RefreshReuse;
        let ended = self.ports.sessions.revoke(&mut tx, session.user, session.id, why, now).await?;
        self.note_change(&mut tx, Changed::User(session.user)).await?;
        let event = AuditEvent::new(REFRESH_TOKEN_REUSED).in_tenant(session.tenant).about(session.id);
        self.ports.audit.record(&mut tx, actor, event.refused(why.as_str())).await?;
        if let (true, Some(jobs)) = (ended, &self.ports.jobs) {
            let told = SendMail::SessionRevoked { user: session.user, session: session.id };
            jobs.insert(&mut tx, &jobs.prepare(&told)?).await?;
        }
        tx.commit().await?;
        measures::sessions_revoked(why, u64::from(ended));
        tracing::warn!(user.id = %session.user, session.id = %session.id, "a refresh token was used again: its session is revoked");
        Err(RefreshError::Invalid)
    }

    /// The role as it is now, if the membership and the tenant still let a session be.
    ///
    /// Whoever takes that away ends the session in the same transaction, or is asked again with every request of the new token.
    pub(super) async fn role(
        &self,
        conn: &mut Conn,
        user: UserId,
        tenant: TenantId,
    ) -> Result<Option<Role>, RefreshError> {
        let standing = self.ports.memberships.standing(conn, user, tenant).await?;
        Ok(standing
            .filter(|standing| standing.tenant_state == TenantState::Active)
            .map(|standing| standing.role))
    }
}
