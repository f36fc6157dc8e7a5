//! What services ask for their quotas.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use hmac::{Hmac, KeyInit, Mac};
use metrics::counter;
use sha2::Sha256;

use super::{Grant, Quota, QuotaKey, RateLimitError, RateLimiter};
use crate::{Entropy, Keyring, KeyringError, SecretStore, TenantId, fault::chain};

/// The keyring's name among the secrets.
const KEYS: &str = "rate_limit.keys";

/// Whom a quota is counted for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose it is; none where it goes across tenants.
    pub tenant: Option<TenantId>,
    /// What kind of thing `value` is, as `address`: a word of the program's, which metrics show.
    pub scope: &'static str,
    /// The thing itself. It leaves here as a keyed hash alone.
    pub value: &'a [u8],
}

impl<'a> Subject<'a> {
    /// One of no tenant.
    pub const fn new(scope: &'static str, value: &'a [u8]) -> Self {
        Self { tenant: None, scope, value }
    }

    /// One of a tenant.
    #[must_use]
    pub const fn in_tenant(self, tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), ..self }
    }
}

/// What is done while nothing can be counted: whoever asks has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAway {
    /// Nobody gets anything: the caller fails.
    Refuse,
    /// Everybody gets everything.
    Allow,
}

/// Quotas, for services. Cloning shares them.
#[derive(Clone)]
pub struct RateLimits {
    limiter: Arc<dyn RateLimiter>,
    keys: Keyring,
}

impl Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl RateLimits {
    /// Over a limiter, with the key that its keys are hashed under loaded, or made where there is none yet.
    pub async fn open(
        limiter: Arc<dyn RateLimiter>,
        secrets: &dyn SecretStore,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyringError> {
        Ok(Self::new(limiter, Keyring::load_or_create(secrets, KEYS, entropy).await?))
    }

    /// Over a limiter, with keys that the caller keeps.
    pub const fn new(limiter: Arc<dyn RateLimiter>, keys: Keyring) -> Self {
        Self { limiter, keys }
    }

    /// Takes `cost` units, or none; a refusal is counted and logged.
    pub async fn take(
        &self,
        quota: &Quota,
        subject: Subject<'_>,
        cost: u32,
        away: WhenAway,
    ) -> Result<Grant, RateLimitError> {
        let grant = self.tally(quota, subject, cost, away).await?;
        if let Grant::Refused { .. } = grant {
            counter!("rate_limit_hits_total", "quota" => quota.name, "scope" => subject.scope).increment(1);
            tracing::info!(quota = quota.name, scope = subject.scope, "a quota is used up");
        }
        Ok(grant)
    }

    /// As [`RateLimits::take`], where being refused is nothing to tell of: something is counted, and nobody turned away.
    pub async fn tally(
        &self,
        quota: &Quota,
        subject: Subject<'_>,
        cost: u32,
        away: WhenAway,
    ) -> Result<Grant, RateLimitError> {
        match (self.limiter.take(&self.key(quota, subject), quota, cost).await, away) {
            (Err(error), WhenAway::Allow) => {
                tracing::warn!(quota = quota.name, error = chain(&error), "a quota is not counted");
                Ok(Grant::Allowed { remaining: quota.burst })
            }
            (grant, _) => grant,
        }
    }

    /// Gives back what was taken.
    pub async fn give_back(
        &self,
        quota: &Quota,
        subject: Subject<'_>,
        cost: u32,
    ) -> Result<(), RateLimitError> {
        self.limiter.give_back(&self.key(quota, subject), quota, cost).await
    }

    /// Everything that tells subjects apart, each part with its length before it.
    fn key(&self, quota: &Quota, subject: Subject<'_>) -> QuotaKey {
        let secret = self.keys.current_key().map_or(&[][..], |key| &key.expose()[..]);
        // A key of HMAC may have any length; a keyring always has its current one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return QuotaKey([0; 32]) };
        let tenant = subject.tenant.map(TenantId::as_uuid);
        let tenant = tenant.as_ref().map_or(&[][..], |tenant| tenant.as_bytes());
        for part in [b"saas/quota/v1", quota.name.as_bytes(), tenant, subject.scope.as_bytes(), subject.value]
        {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        QuotaKey(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use uuid::Uuid;

    use super::*;
    use crate::{clock::ManualClock, entropy::SeededEntropy, rate_limit::MemoryRateLimiter};

    fn limits(seed: u64) -> RateLimits {
        let limiter = MemoryRateLimiter::new(Arc::new(ManualClock::default()));
        RateLimits::new(Arc::new(limiter), Keyring::generate(&SeededEntropy::new(seed)))
    }

    #[test]
    fn keys_differ_by_secret_quota_tenant_scope_and_value() {
        let (one, other) = (TenantId::from_uuid(Uuid::from_u128(1)), TenantId::from_uuid(Uuid::from_u128(2)));
        let quotas = ["ab", "a"].map(|name| Quota::new(name, 1, Duration::from_secs(1)));
        let mut keys = BTreeSet::new();
        for limits in [limits(1), limits(2)] {
            for quota in &quotas {
                for (scope, value) in [("c", &b"d"[..]), ("cd", b""), ("bc", b"d")] {
                    let subject = Subject::new(scope, value);
                    for subject in [subject, subject.in_tenant(one), subject.in_tenant(other)] {
                        assert!(keys.insert(limits.key(quota, subject)), "{quota:?} {subject:?}");
                        assert_eq!(limits.key(quota, subject), limits.key(quota, subject));
                    }
                }
            }
        }
        assert_eq!(keys.len(), 2 * 2 * 3 * 3);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let limits = limits(1);
        let secret = limits.keys.current_key().unwrap().expose().to_vec();
        assert!(!format!("{limits:?}").contains(&format!("{secret:?}")));
    }
}
