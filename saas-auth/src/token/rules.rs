//! What the tokens of one deployment have in common.

use std::time::Duration;

use super::AccessTokens;

/// What the tokens of one deployment have in common.
#[derive(Debug, Clone)]
pub struct AccessTokenRules {
    issuer: String,
    audience: String,
    lifetime: Duration,
}

/// Rules that no token can be made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRules {
    /// A verifier could not tell our tokens from another's.
    #[error("the issuer and the audience of access tokens may not be empty")]
    Empty,
    /// Not between one second and [`AccessTokens::MAX_LIFETIME`].
    #[error("access tokens live between one second and 15 minutes")]
    Lifetime,
}

impl AccessTokenRules {
    /// Rules; the lifetime is cut to whole seconds.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        lifetime: Duration,
    ) -> Result<Self, InvalidRules> {
        let (issuer, audience) = (issuer.into(), audience.into());
        if issuer.is_empty() || audience.is_empty() {
            return Err(InvalidRules::Empty);
        }
        if lifetime > AccessTokens::MAX_LIFETIME || lifetime.as_secs() == 0 {
            return Err(InvalidRules::Lifetime);
        }
        Ok(Self { issuer, audience, lifetime: Duration::from_secs(lifetime.as_secs()) })
    }

    /// `iss`: who makes the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `aud`: the one service that they are for.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// How long a token lives, in whole seconds.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }
}

/// Seconds as the claims count them.
pub(super) fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_checked() {
        let rules =
            |issuer: &str, audience: &str, lifetime| AccessTokenRules::new(issuer, audience, lifetime).err();
        assert_eq!(rules("i", "a", AccessTokens::MAX_LIFETIME), None);
        assert_eq!(rules("", "a", AccessTokens::MAX_LIFETIME), Some(InvalidRules::Empty));
        assert_eq!(rules("i", "", AccessTokens::MAX_LIFETIME), Some(InvalidRules::Empty));
        for wrong in [
            Duration::ZERO,
            Duration::from_millis(999),
            AccessTokens::MAX_LIFETIME + Duration::from_millis(1),
        ] {
            assert_eq!(rules("i", "a", wrong), Some(InvalidRules::Lifetime));
        }
    }
}
