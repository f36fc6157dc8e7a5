//! The service.

use std::{fmt, str::FromStr, sync::Arc};

use saas_auth::Auth;
use saas_core::{
    Actor, Audit, Clock, Entropy, ErrorKind, Fault, Principal, Reach, Report, Storage, StoreError, TenantId,
    jobs::Jobs,
};

use crate::{MembershipStore, Tenant, TenantStore};

/// What tenancy works with.
#[derive(Debug, Clone)]
pub struct TenancyPorts {
    /// Where transactions come from.
    pub storage: Arc<dyn Storage>,
    /// Where tenants are.
    pub tenants: Arc<dyn TenantStore>,
    /// Where memberships are.
    pub memberships: Arc<dyn MembershipStore>,
    /// Where the mails that are to be sent are left; without it nobody is mailed.
    pub jobs: Option<Jobs>,
    /// Where what was done is written down.
    pub audit: Audit,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignupPolicy {
    /// Everybody.
    Public,
    /// Who was invited.
    InviteOnly,
    /// Who asked and was let in.
    Approval,
}

/// A word that names no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of public, invite_only, approval")]
pub struct UnknownSignupPolicy;

impl SignupPolicy {
    /// The word for it in settings and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::InviteOnly => "invite_only",
            Self::Approval => "approval",
        }
    }
}

impl fmt::Display for SignupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SignupPolicy {
    type Err = UnknownSignupPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownSignupPolicy> {
        [Self::Public, Self::InviteOnly, Self::Approval]
            .into_iter()
            .find(|policy| policy.as_str() == word)
            .ok_or(UnknownSignupPolicy)
    }
}

/// Why a tenant was not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// There is no such tenant.
    #[error("there is no such tenant")]
    NotFound,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for TenantError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "tenant_not_found"),
            Self::Store(error) => error.report(),
        }
    }
}

/// How tenancy behaves.
#[derive(Debug, Clone)]
pub struct TenancyConfig {
    /// Who may register.
    pub signup: SignupPolicy,
}

/// Tenants, their members, and registration. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Tenancy {
    pub(crate) ports: TenancyPorts,
    pub(crate) config: TenancyConfig,
    pub(crate) auth: Auth,
}

impl Tenancy {
    /// The service over its ports and auth.
    pub fn new(ports: TenancyPorts, config: TenancyConfig, auth: Auth) -> Self {
        Self { ports, config, auth }
    }

    /// Any tenant, by id. For operators.
    pub async fn tenant(&self, actor: &Actor, id: TenantId) -> Result<Tenant, TenantError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(TenantError::Forbidden);
        }
        let mut conn = self.ports.storage.read(Reach::Platform("an operator's look at a tenant")).await?;
        self.ports.tenants.by_id(&mut conn, id).await?.ok_or(TenantError::NotFound)
    }
}
