//! Refreshing: one live token per family, rotated by one conditional statement.
//!
//! A token of the current generation is exchanged for the next. The one before it gets the same successor again for a short grace, so
//! that a client that lost the answer, or asked from several threads, is not thrown out. Any other genuine token has been used before:
//! somebody holds a copy, and the family is revoked (RFC 9700 section 4.14.2, ASVS 10.4.5).

use chrono::{DateTime, TimeDelta, Utc};
use saas_core::{
    Actor, Conn, ErrorKind, Fault, InternalError, Reach, Report, Role, Secret, StoreError, TenantState, Tx,
};

use super::{Auth, OpenedSession, Tokens, measures};
use crate::{Changed, Family, RefreshToken, Revocation, User, UserStatus, token::AccessClaims};

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
enum Worth {
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
    pub async fn refresh(&self, _actor: &Actor, presented: &Secret<String>) -> Result<Tokens, RefreshError> {
        let mut outcome = measures::ROTATED;
        let tokens = self.exchange(presented, &mut outcome).await;
        measures::refresh(&tokens, outcome);
        tokens
    }

    async fn exchange(
        &self,
        presented: &Secret<String>,
        outcome: &mut &'static str,
    ) -> Result<Tokens, RefreshError> {
        let token = RefreshToken::parse(presented.expose()).map_err(|_| RefreshError::Invalid)?;
        // What does not have to be read while the row is locked is read before.
        let role = {
            let mut conn = self.ports.storage.read(REACH).await?;
            let known = self.ports.sessions.family(&mut conn, token.session).await?;
            let (family, user) = known.ok_or(RefreshError::Invalid)?;
            // A forged token changes nothing and holds no lock.
            if !self.refresh_keys.made(&token, &family)? || family.client_id != AccessClaims::FIRST_PARTY {
                return Err(RefreshError::Invalid);
            }
            let role = self.role(&mut conn, &family, &user).await?;
            role.map(|role| (role, user.email_verified_at.is_some()))
        };
        let now = self.now();
        // Who is not welcome any more rotates nothing; that somebody holds a copy of their token is found all the same.
        let rotated = if role.is_some() { self.rotate(&token, now).await? } else { None };
        let family = if let Some(family) = rotated {
            family
        } else {
            let mut tx = self.ports.storage.begin(REACH).await?;
            match self.not_current(&mut tx, &token, now).await? {
                (Worth::InGrace, family) => {
                    *outcome = measures::GRACE;
                    family
                }
                (Worth::Reused, family) => {
                    let refused = self.end_reused(tx, &family, now).await;
                    *outcome = measures::REUSE;
                    return refused;
                }
                _ => return Err(RefreshError::Invalid),
            }
        };
        let (role, email_verified) = role.ok_or(RefreshError::Invalid)?;
        Ok(self.tokens_for(&OpenedSession { family, role, email_verified })?)
    }

    /// The conditional statement, alone in its transaction.
    async fn rotate(&self, token: &RefreshToken, now: DateTime<Utc>) -> Result<Option<Family>, RefreshError> {
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        let idle_expires_at = now + self.config.idle_lifetime;
        let rotated =
            self.ports.sessions.rotate(&mut tx, token.session, token.generation, now, idle_expires_at);
        let rotated = rotated.await?;
        tx.commit().await?;
        Ok(rotated)
    }

    /// Why the conditional statement did not match, read after it.
    async fn not_current(
        &self,
        tx: &mut Tx,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<(Worth, Family), RefreshError> {
        let known = self.ports.sessions.family(tx.conn(), token.session).await?;
        let (family, _) = known.ok_or(RefreshError::Invalid)?;
        Ok((self.worth(token.generation, &family, now), family))
    }

    fn worth(&self, generation: i64, family: &Family, now: DateTime<Utc>) -> Worth {
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

    async fn end_reused(
        &self,
        mut tx: Tx,
        family: &Family,
        now: DateTime<Utc>,
    ) -> Result<Tokens, RefreshError> {
        let session = &family.session;
        let why = Revocation::RefreshReuse;
        let ended = self.ports.sessions.revoke(&mut tx, session.user, session.id, why, now).await?;
        self.note_change(&mut tx, Changed::User(session.user)).await?;
        tx.commit().await?;
        measures::sessions_revoked(why, u64::from(ended));
        tracing::warn!(user.id = %session.user, session.id = %session.id, "a refresh token was used again: its session is revoked");
        Err(RefreshError::Invalid)
    }

    /// The role as it is now, if the user and the tenant still let this session be.
    ///
    /// Whoever takes that away ends the session in the same transaction, or is asked again with every request of the new token.
    async fn role(
        &self,
        conn: &mut Conn,
        family: &Family,
        user: &User,
    ) -> Result<Option<Role>, RefreshError> {
        if user.status != UserStatus::Active {
            return Ok(None);
        }
        let session = &family.session;
        let standing = self.ports.memberships.standing(conn, session.user, session.tenant).await?;
        Ok(standing
            .filter(|standing| standing.tenant_state == TenantState::Active)
            .map(|standing| standing.role))
    }
}
