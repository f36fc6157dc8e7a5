//! Listing and ending sessions.

use saas_core::{
    Actor, Cursor, ErrorKind, Fault, InternalError, InvalidCursor, Page, PageSize, Reach, Report, Secret,
    SessionId, StoreError, UserId, actor::UserPrincipal, audit::AuditEvent, page::date_in_key,
};

use super::{Auth, StepUpRequired, measures};
use crate::{
    Changed, PageStart, RefreshToken, Revocation, Session, SessionFilter, SessionPage,
    audited::{SESSION_ENDED, SESSIONS_ENDED},
};

/// Why a session was not ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// Only a signed-in user has sessions.
    #[error("sign in first")]
    Unauthenticated,
    /// What ends other sessions takes a fresh proof of who one is.
    #[error(transparent)]
    StepUp(#[from] StepUpRequired),
    /// No live session of this user has that id.
    #[error("the session is not there or has ended already")]
    NotFound,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for RevokeError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::StepUp(error) => error.report(),
            Self::NotFound => Report::new(ErrorKind::NotFound, "session_not_found"),
            Self::Store(error) => error.report(),
        }
    }
}

/// Why a sign-out failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogoutError {
    /// Only a signed-in user can sign out.
    #[error("sign in first")]
    Unauthenticated,
    /// The refresh token is not one of this user's.
    #[error("the refresh token is not one of yours")]
    NotYours,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token could not be compared.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for LogoutError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::NotYours => Report::new(ErrorKind::Forbidden, "refresh_token_not_yours"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

/// Why sessions were not listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionsError {
    /// Only a signed-in user has sessions.
    #[error("sign in first")]
    Unauthenticated,
    /// The cursor is of another list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for SessionsError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::Cursor(_) => Report::new(ErrorKind::Invalid, "invalid_cursor"),
            Self::Store(error) => error.report(),
        }
    }
}

const REACH: Reach = Reach::Platform("a user's sessions");

impl Auth {
    /// Ends the session of a refresh token of the actor's own; an old or expired token will do. `false` when it had ended already.
    pub async fn logout(&self, actor: &Actor, presented: &Secret<String>) -> Result<bool, LogoutError> {
        let user = actor.user().ok_or(LogoutError::Unauthenticated)?.user;
        let token = RefreshToken::parse(presented.expose()).map_err(|_| LogoutError::NotYours)?;
        if token.user != user || !self.refresh_keys.made(&token)? {
            return Err(LogoutError::NotYours);
        }
        let family = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.sessions.family(&mut conn, token.session).await?
        };
        // A session that was purged is as ended as one can be.
        let Some((family, _)) = family else { return Ok(false) };
        if !token.is_of(&family) || token.generation > family.generation {
            return Err(LogoutError::NotYours);
        }
        Ok(self.end(actor, user, token.session, Revocation::Logout).await?)
    }

    /// Ends every session of the actor, who proved lately who they are, and tells how many there were.
    pub async fn logout_all(&self, actor: &Actor) -> Result<u64, RevokeError> {
        let user = actor.user().ok_or(RevokeError::Unauthenticated)?.user;
        self.require_step_up(actor, self.config.step_up_max_age).await?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        let ended = self.ports.sessions.revoke_all(&mut tx, user, Revocation::LogoutAll, self.now()).await?;
        self.note_change(&mut tx, Changed::User(user)).await?;
        // Sessions of every tenant: it is the platform's to know.
        let event = AuditEvent::new(SESSIONS_ENDED).about(user).because(Revocation::LogoutAll.as_str());
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::sessions_revoked(Revocation::LogoutAll, ended);
        tracing::info!(user.id = %user, sessions = ended, "signed out everywhere");
        Ok(ended)
    }

    /// Ends every session of the actor but the one that asks, after they proved lately who they are, and tells how many there were.
    pub async fn logout_others(&self, actor: &Actor) -> Result<u64, RevokeError> {
        let me = actor.user().ok_or(RevokeError::Unauthenticated)?;
        self.require_step_up(actor, self.config.step_up_max_age).await?;
        let (user, why) = (me.user, Revocation::LogoutOthers);
        let mut tx = self.ports.storage.begin(REACH).await?;
        let ended = self.ports.sessions.revoke_others(&mut tx, user, me.session, why, self.now()).await?;
        self.note_change(&mut tx, Changed::User(user)).await?;
        let event = AuditEvent::new(SESSIONS_ENDED).about(user).because(why.as_str());
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::sessions_revoked(why, ended);
        tracing::info!(user.id = %user, session.id = %me.session, sessions = ended, "signed out everywhere else");
        Ok(ended)
    }

    /// Ends the session that asks; `false` when it had ended already.
    pub async fn logout_here(&self, actor: &Actor) -> Result<bool, RevokeError> {
        let me = actor.user().ok_or(RevokeError::Unauthenticated)?;
        Ok(self.end(actor, me.user, me.session, Revocation::Logout).await?)
    }

    /// Ends one of the actor's sessions; another one than theirs after they proved lately who they are.
    pub async fn revoke_session(&self, actor: &Actor, session: SessionId) -> Result<(), RevokeError> {
        let me = actor.user().ok_or(RevokeError::Unauthenticated)?;
        if session != me.session {
            self.require_step_up(actor, self.config.step_up_max_age).await?;
        }
        let ended = self.end(actor, me.user, session, Revocation::Listed).await?;
        if ended { Ok(()) } else { Err(RevokeError::NotFound) }
    }

    async fn end(
        &self,
        actor: &Actor,
        user: UserId,
        session: SessionId,
        why: Revocation,
    ) -> Result<bool, StoreError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        let ended = self.ports.sessions.revoke(&mut tx, user, session, why, self.now()).await?;
        if ended {
            self.note_change(&mut tx, Changed::User(user)).await?;
            let known = self.ports.sessions.family(tx.conn(), session).await?;
            let tenant = known.map(|(family, _)| family.session.tenant);
            let event = AuditEvent::new(SESSION_ENDED).in_tenant(tenant).about(session).because(why.as_str());
            self.ports.audit.record(&mut tx, actor, event).await?;
        }
        tx.commit().await?;
        measures::sessions_revoked(why, u64::from(ended));
        tracing::info!(user.id = %user, session.id = %session, session.ended = ended, reason = why.as_str(), "session end asked for");
        Ok(ended)
    }

    /// The address that a session was opened from, with its end hidden. One that does not open, as under a key that is lost, is not shown.
    pub fn address_of(&self, session: &Session) -> Option<String> {
        let id = session.id.as_uuid();
        let opened =
            self.ports.fields.unseal(Session::address_field(id.as_bytes()), session.address.as_ref()?);
        match opened {
            Ok(address) => String::from_utf8(address.expose().clone()).ok(),
            Err(error) => {
                tracing::warn!(session.id = %session.id, %error, "a session's address does not open");
                None
            }
        }
    }

    /// A page of the actor's sessions, last seen first.
    pub async fn sessions(
        &self,
        actor: &Actor,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        offset: u32,
        size: PageSize,
    ) -> Result<SessionPage, SessionsError> {
        let user = actor.user().ok_or(SessionsError::Unauthenticated)?;
        let list = list_name(user, filter);
        let start = match after {
            Some(cursor) => from_key(&cursor.key(&list)?)?,
            None => PageStart::Offset(offset),
        };
        let now = self.now();
        let mut conn = self.ports.storage.read(REACH).await?;
        let sessions =
            self.ports.sessions.list(&mut conn, user.user, filter, &start, size.and_one_more(), now).await?;
        let total = self.ports.sessions.count(&mut conn, user.user, filter, now).await?;
        let page = Page::cut(sessions, size, |last| Cursor::new(&list, &to_key(last)));
        Ok(SessionPage { page, total })
    }
}

fn list_name(user: &UserPrincipal, filter: &SessionFilter) -> String {
    let tenant = filter.tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
    format!("sessions|{}|{tenant}|{}", user.user, filter.include_ended)
}

fn to_key(session: &Session) -> String {
    format!("{}|{}", session.last_seen_at.timestamp_micros(), session.id)
}

fn from_key(key: &str) -> Result<PageStart, InvalidCursor> {
    let (micros, id) = key.split_once('|').ok_or(InvalidCursor)?;
    let seen = date_in_key(micros)?;
    Ok(PageStart::After(seen, id.parse().map_err(|_| InvalidCursor)?))
}
