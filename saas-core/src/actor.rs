//! Who asks.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{Permission, Permissions, RequestId, Role, SessionId, TenantId, UserId, text::clip};

/// Who calls a service: every command's first argument.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who it is.
    pub principal: Principal,
    /// The request it came with, if it came with one.
    pub request_id: Option<RequestId>,
    /// The program it came through.
    pub client: Client,
}

/// Who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody who proved anything.
    Anonymous,
    /// A user, by an access token whose session was looked up.
    User(Arc<UserPrincipal>),
    /// The product itself: start-up, jobs and operators at the console.
    System(&'static str),
}

/// A signed-in user in one tenant.
#[derive(Debug, Clone)]
pub struct UserPrincipal {
    /// The user.
    pub user: UserId,
    /// The tenant they act in.
    pub tenant: TenantId,
    /// Their session.
    pub session: SessionId,
    /// Their role in it now.
    pub role: Role,
    /// Whether they have proved that their address is theirs.
    pub email_verified: bool,
    /// What they may do now: the role's permissions, narrowed to the token's.
    pub permissions: Permissions,
    /// When they last proved who they are in this session.
    pub authenticated_at: DateTime<Utc>,
    /// Whether a second factor was among what they proved it with.
    pub second_factor: bool,
}

/// The program that a request came through.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The address, as far as the hosts trust it.
    pub ip: Option<IpAddr>,
    user_agent: Option<String>,
}

impl Client {
    /// The longest user agent kept, in characters.
    pub const USER_AGENT_MAX: usize = 512;

    /// A client; a longer user agent is cut, control characters in it are replaced.
    pub fn new(ip: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let user_agent =
            user_agent.map(|text| clip(text, Self::USER_AGENT_MAX)).filter(|text| !text.is_empty());
        Self { ip, user_agent }
    }

    /// What the client says it is.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }
}

impl Actor {
    /// Nobody yet.
    pub fn anonymous(request_id: Option<RequestId>, client: Client) -> Self {
        Self { principal: Principal::Anonymous, request_id, client }
    }

    /// The product itself; `what` names the part for the audit log.
    pub fn system(what: &'static str) -> Self {
        Self { principal: Principal::System(what), request_id: None, client: Client::default() }
    }

    /// The signed-in user, if it is one.
    pub fn user(&self) -> Option<&UserPrincipal> {
        match &self.principal {
            Principal::User(user) => Some(user),
            _ => None,
        }
    }

    /// Whether this actor may do `wanted` in its tenant; nobody but a user holds a tenant's permissions.
    pub fn may(&self, wanted: &Permission) -> bool {
        self.user().is_some_and(|user| user.permissions.allow(wanted))
    }
}
