//! Sessions that browsers hold by a cookie.
//!
//! A cookie is decided by as an access token is, by the same session, user and membership and as freshly; what an access token of that moment
//! would say is kept beside the decision. There is no refreshing: that the session is in use is noted once a minute at most.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use saas_core::{
    Actor, Client, InternalError, Principal, Reach, RequestId, Secret, SessionId, StoreError, TenantState,
};
use serde_json::value::to_raw_value;
use smallvec::SmallVec;
use std::sync::Arc;

use super::{
    Auth, AuthenticateError, Authenticated, Freshness, OpenedSession, Tokens,
    decisions::{Decision, Presented, Verified},
};
use crate::{SessionCookie, Snapshot, Touch, UserStatus, token::check_times};

/// How often it is noted that a session is in use.
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// How many sessions are remembered as noted.
const CAPACITY: usize = 16_384;

/// When this process last noted of a session that it is in use.
#[derive(Debug)]
pub(super) struct Touched(Cache<SessionId, DateTime<Utc>>);

impl Default for Touched {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

const REACH: Reach = Reach::Platform("sessions in use");

impl Auth {
    /// The cookie of a session that was just opened or switched, for a browser that is to hold it in place of the tokens.
    pub fn session_cookie(&self, tokens: &Tokens) -> Result<Secret<String>, InternalError> {
        self.refresh_keys.cookie(&tokens.lineage, tokens.version)
    }

    /// Decides who a request with a session's cookie is from, as [`Auth::authenticate_as_of`] does by an access token.
    pub async fn authenticate_cookie(
        &self,
        freshness: Freshness,
        cookie: &str,
        request_id: Option<RequestId>,
        client: Client,
    ) -> Result<Authenticated, AuthenticateError> {
        let decision = self.decision_by_cookie(freshness, cookie).await;
        let decision = decision.inspect_err(|error| self.measures.not_authenticated(error))?;
        self.note_use(&decision).await;
        let principal = Principal::User(Arc::clone(&decision.principal));
        Ok(Authenticated::by_cookie(Actor { principal, request_id, client }, decision))
    }

    /// Goes on with the session of a cookie, which stays as it is: notes that it is in use, and says how long it lasts and what its user may do.
    pub async fn refresh_by_cookie(&self, presented: &Secret<String>) -> Result<Tokens, AuthenticateError> {
        let cookie = SessionCookie::parse(presented.expose()).map_err(|_| AuthenticateError::SessionEnded)?;
        if !self.refresh_keys.made_cookie(&cookie)? {
            return Err(AuthenticateError::SessionEnded);
        }
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        let touch = Touch {
            session: cookie.session(),
            version: cookie.version(),
            now,
            idle_expires_at: now + self.config.idle_lifetime,
            last_seen_before: now,
        };
        // One that ended is not touched; what was touched is read as it is now.
        self.ports.sessions.touch(&mut tx, &touch).await?;
        let known = self.ports.sessions.family(tx.conn(), cookie.session()).await?;
        let (family, user) = known
            .filter(|(family, user)| {
                let live = family.session.revoked_at.is_none() && now < family.session.refresh_expires_at();
                live && cookie.is_of(family) && user.status == UserStatus::Active
            })
            .ok_or(AuthenticateError::SessionEnded)?;
        let standing = self.ports.memberships.standing(tx.conn(), user.id, cookie.tenant()).await?;
        let standing = standing
            .filter(|standing| standing.tenant_state == TenantState::Active)
            .ok_or(AuthenticateError::SessionEnded)?;
        tx.commit().await?;
        Ok(self.signed(&OpenedSession::new(&family, standing.role, &user))?)
    }

    async fn decision_by_cookie(
        &self,
        freshness: Freshness,
        cookie: &str,
    ) -> Result<Arc<Decision>, AuthenticateError> {
        let presented = Presented::cookie(cookie);
        let (now, monotonic) = (self.ports.clock.now(), self.ports.clock.monotonic());
        if let Some(known) = self.decisions.get(&presented) {
            let counts = freshness == Freshness::Recent
                && self.decisions.counts(&presented, &known, now, monotonic)
                && now < known.expires_at
                // What an access token would say has its time, too.
                && check_times(&known.token.claims, now.timestamp()).is_ok();
            if counts {
                self.measures.remembered.increment(1);
                return Ok(known);
            }
        }
        let decided = self.decide_by_cookie(&presented, cookie).await;
        decided.inspect_err(|error| {
            if matches!(error, AuthenticateError::SessionEnded) {
                self.decisions.remove(&presented);
            }
        })
    }

    async fn decide_by_cookie(
        &self,
        presented: &Presented<'_>,
        cookie: &str,
    ) -> Result<Arc<Decision>, AuthenticateError> {
        let cookie = SessionCookie::parse(cookie).map_err(|_| AuthenticateError::SessionEnded)?;
        // A forged one asks nothing of the storage.
        if !self.refresh_keys.made_cookie(&cookie)? {
            return Err(AuthenticateError::SessionEnded);
        }
        let asked = self.decisions.asking(cookie.user(), &*self.ports.clock);
        let mut conn = self.ports.storage.read(Reach::Tenant(cookie.tenant())).await?;
        let known = self.ports.sessions.family(&mut conn, cookie.session()).await?;
        let (family, user) =
            known.filter(|(family, _)| cookie.is_of(family)).ok_or(AuthenticateError::SessionEnded)?;
        let standing = self.ports.memberships.standing(&mut conn, user.id, cookie.tenant()).await?;
        drop(conn);
        let standing = standing
            .filter(|standing| standing.tenant_state == TenantState::Active)
            .ok_or(AuthenticateError::SessionEnded)?;
        let opened = OpenedSession::new(&family, standing.role, &user);
        let claims = self.tokens.claims(self.grant(&opened));
        let claims_json = to_raw_value(&claims).map_err(InternalError::new)?;
        let verified = Verified { signed: SmallVec::new(), claims, claims_json, kid: "".into() };
        let snapshot = Snapshot {
            user,
            tenant: family.session.tenant,
            version: family.session.version,
            authenticated_at: family.session.authenticated_at,
            methods: family.session.methods,
            revoked: family.session.revoked_at.is_some(),
            expires_at: family.session.refresh_expires_at(),
        };
        let decision = Some(snapshot)
            .filter(|snapshot| self.is_good(&verified.claims, snapshot))
            .and_then(|snapshot| self.decided(verified, asked, snapshot, Some(standing)))
            .ok_or(AuthenticateError::SessionEnded)?;
        self.decisions.keep(presented, Arc::clone(&decision));
        self.measures.asked.increment(1);
        Ok(decision)
    }

    /// Notes that a session is in use, once a minute at most in this process and in all of them. That it could not be noted is no reason
    /// not to answer.
    async fn note_use(&self, decision: &Decision) {
        let (session, now) = (decision.principal.session, self.now());
        let pause = TOUCH_EVERY.min(self.config.idle_lifetime / 4);
        let pause = TimeDelta::from_std(pause).unwrap_or_default();
        if self.touched.0.get(&session).is_some_and(|on| (TimeDelta::zero()..pause).contains(&(now - on))) {
            return;
        }
        self.touched.0.insert(session, now);
        let touch = Touch {
            session,
            version: decision.token.claims.ver,
            now,
            idle_expires_at: now + self.config.idle_lifetime,
            last_seen_before: now - pause,
        };
        if let Err(error) = self.touch(&touch).await {
            tracing::warn!(session.id = %session, error = &error as &dyn std::error::Error, "that a session is in use was not noted");
        }
    }

    async fn touch(&self, touch: &Touch) -> Result<(), StoreError> {
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        self.ports.sessions.touch(&mut tx, touch).await?;
        tx.commit().await
    }
}
