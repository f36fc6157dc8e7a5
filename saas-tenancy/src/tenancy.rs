//! The service.

use std::{fmt, str::FromStr, sync::Arc};

use saas_auth::Auth;
use saas_core::{Clock, Entropy, Storage};

use crate::{MembershipStore, TenantStore};

/// What tenancy works with.
#[derive(Debug, Clone)]
pub struct TenancyPorts {
    /// Where transactions come from.
    pub storage: Arc<dyn Storage>,
    /// Where tenants are.
    pub tenants: Arc<dyn TenantStore>,
    /// Where memberships are.
    pub memberships: Arc<dyn MembershipStore>,
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
}
