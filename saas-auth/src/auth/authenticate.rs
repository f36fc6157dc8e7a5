//! Deciding who a request is from.

use std::sync::{Arc, atomic::AtomicBool};

use bytes::Bytes;
use saas_core::{
    Actor, Client, ErrorKind, Fault, InternalError, Principal, Reach, Report, RequestId, Standing,
    StoreError, TenantState, actor::UserPrincipal,
};

use serde_json::value::{RawValue, to_raw_value};

use super::{
    Auth,
    decisions::{Asked, Decision, Presented, Verified},
    view::View,
};
use crate::{
    Snapshot, User, UserStatus,
    token::{AccessClaims, AccessTokens, TokenError, check_times},
};

/// A request's actor, and what its token said.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who it is from.
    pub actor: Actor,
    decision: Arc<Decision>,
    by_cookie: bool,
}

impl Authenticated {
    pub(super) const fn by_cookie(actor: Actor, decision: Arc<Decision>) -> Self {
        Self { actor, decision, by_cookie: true }
    }

    /// Whether it came with a session's cookie, in place of an access token.
    pub const fn is_by_cookie(&self) -> bool {
        self.by_cookie
    }

    /// The verified claims.
    pub fn claims(&self) -> &AccessClaims {
        &self.decision.token.claims
    }

    /// The claims as JSON.
    pub fn claims_json(&self) -> &RawValue {
        &self.decision.token.claims_json
    }

    /// The user's profile, as fresh as the decision.
    pub fn user(&self) -> &User {
        &self.decision.user
    }

    /// What a host shows of all this and of nothing else, such as an answer's body: made when it is asked for first, and kept for as
    /// long as the decision is. One is kept, by its name; another one is made each time.
    pub fn view<E>(&self, name: &'static str, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        self.decision.view.get_or_make(name, make)
    }
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
    /// Something that cannot happen.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for AuthenticateError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Token(error) => error.report(),
            Self::SessionEnded => Report::new(ErrorKind::Unauthenticated, "session_ended"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

/// How old what a request is decided by may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As old as [`AuthConfig::decision_max_age`](crate::AuthConfig::decision_max_age) allows.
    Recent,
    /// The storage is asked: for what must not be done by a session that another process has just ended.
    Strict,
}

impl Auth {
    /// Verifies an access token and decides by the state of its session, its user and its tenant, not by what the token claims.
    ///
    /// A change that was made in this process counts from its commit on; one made in another one after a second, where
    /// [`Auth::hear_changes`] is called, and after [`AuthConfig::decision_max_age`](crate::AuthConfig::decision_max_age) in any case.
    pub async fn authenticate(
        &self,
        token: &str,
        request_id: Option<RequestId>,
        client: Client,
    ) -> Result<Authenticated, AuthenticateError> {
        self.authenticate_as_of(Freshness::Recent, token, request_id, client).await
    }

    /// As [`Auth::authenticate`], by what is true as freshly as asked for.
    pub async fn authenticate_as_of(
        &self,
        freshness: Freshness,
        token: &str,
        request_id: Option<RequestId>,
        client: Client,
    ) -> Result<Authenticated, AuthenticateError> {
        let decision = self.decision(freshness, token).await;
        let decision = decision.inspect_err(|error| self.measures.not_authenticated(error))?;
        Ok(Authenticated {
            actor: Actor { principal: Principal::User(Arc::clone(&decision.principal)), request_id, client },
            decision,
            by_cookie: false,
        })
    }

    /// What is remembered of the token where that counts, else what the storage says.
    async fn decision(&self, freshness: Freshness, token: &str) -> Result<Arc<Decision>, AuthenticateError> {
        if token.len() > AccessTokens::MAX_BYTES {
            return Err(TokenError::Malformed.into());
        }
        let token = Presented::new(token);
        let (now, monotonic) = (self.ports.clock.now(), self.ports.clock.monotonic());
        let known =
            self.decisions.get(&token).filter(|known| self.tokens.still_verifies(&known.token.kid, now));
        if let Some(known) = known {
            check_times(&known.token.claims, now.timestamp())?;
            let counts = freshness == Freshness::Recent
                && self.decisions.counts(&token, &known, now, monotonic)
                && now < known.expires_at;
            if counts {
                self.measures.remembered.increment(1);
                return Ok(known);
            }
            // Boxed: what is remembered shall not pay for the room that this takes.
            return Box::pin(self.decision_again(token, known)).await;
        }
        Box::pin(self.decision_anew(token)).await
    }

    async fn decision_anew(&self, token: Presented<'_>) -> Result<Arc<Decision>, AuthenticateError> {
        let (claims, kid) = self.verify(token.text()).await?;
        let claims_json = to_raw_value(&claims).map_err(InternalError::new)?;
        let verified = Verified { signed: token.signed().as_bytes().into(), claims, claims_json, kid };
        self.decide(token, verified).await
    }

    async fn decision_again(
        &self,
        token: Presented<'_>,
        known: Arc<Decision>,
    ) -> Result<Arc<Decision>, AuthenticateError> {
        let decided = self.decide(token, known.token.clone()).await;
        decided.inspect_err(|error| {
            if matches!(error, AuthenticateError::SessionEnded) {
                self.decisions.remove(&token);
            }
        })
    }

    /// Asks the storage, and remembers what it said.
    async fn decide(
        &self,
        token: Presented<'_>,
        verified: Verified,
    ) -> Result<Arc<Decision>, AuthenticateError> {
        let claims = &verified.claims;
        let asked = self.decisions.asking(claims.user(), &*self.ports.clock);
        let mut conn = self.ports.storage.read(Reach::Tenant(claims.tenant_id)).await?;
        let snapshot = self.ports.sessions.snapshot(&mut conn, claims.sid).await?;
        let snapshot = snapshot
            .filter(|snapshot| self.is_good(claims, snapshot))
            .ok_or(AuthenticateError::SessionEnded)?;
        let standing = self.ports.memberships.standing(&mut conn, claims.user(), claims.tenant_id).await?;
        let decision =
            self.decided(verified, asked, snapshot, standing).ok_or(AuthenticateError::SessionEnded)?;
        self.decisions.keep(&token, Arc::clone(&decision));
        self.measures.asked.increment(1);
        Ok(decision)
    }

    /// Whether a session is what its token says, and live.
    pub(super) fn is_good(&self, claims: &AccessClaims, snapshot: &Snapshot) -> bool {
        let same = snapshot.user.id == claims.user()
            && snapshot.tenant == claims.tenant_id
            && snapshot.version == claims.ver;
        same && !snapshot.revoked
            && self.now() < snapshot.expires_at
            && snapshot.user.status == UserStatus::Active
    }

    /// What follows for a token of a good session, unless its user may no longer act in its tenant.
    pub(super) fn decided(
        &self,
        token: Verified,
        asked: Asked,
        snapshot: Snapshot,
        standing: Option<Standing>,
    ) -> Option<Arc<Decision>> {
        let standing = standing.filter(|standing| standing.tenant_state == TenantState::Active)?;
        let principal = UserPrincipal {
            user: snapshot.user.id,
            tenant: snapshot.tenant,
            session: token.claims.sid,
            role: standing.role,
            email_verified: snapshot.user.email_verified_at.is_some(),
            permissions: self
                .decisions
                .shared(self.permitted(standing.role, snapshot.methods).narrowed_to(&token.claims.scope)),
            authenticated_at: snapshot.authenticated_at,
            second_factor: snapshot.methods.has_second_factor(),
        };
        Some(Arc::new(Decision {
            token,
            principal: Arc::new(principal),
            user: snapshot.user,
            expires_at: snapshot.expires_at,
            asked,
            noted: AtomicBool::new(false),
            view: View::default(),
        }))
    }
}
