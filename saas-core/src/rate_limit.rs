//! Quotas: how often something may be asked for, and the port that counts.
//!
//! A [`Quota`] gives so many units at once and gives them back evenly. [`RateLimits`] is what services ask: it makes keys that nobody can
//! turn back into what they stand for, counts refusals, and does what the caller said when the counting itself fails. Behind it stands a
//! [`RateLimiter`]; [`MemoryRateLimiter`] counts in the process.

use std::{error::Error, fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{ErrorKind, Fault, Report};

mod limits;
mod memory;

pub use limits::{RateLimits, Subject, WhenAway};
pub use memory::MemoryRateLimiter;

/// How much of something there is: `burst` units at once, each of which comes back after a `burst`th of `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Its name: in keys, in metrics and in the log.
    pub name: &'static str,
    /// How many units there are.
    pub burst: u32,
    /// How long it takes until all of them are back.
    pub period: Duration,
}

impl Quota {
    /// `burst` units in each `period`.
    pub const fn new(name: &'static str, burst: u32, period: Duration) -> Self {
        Self { name, burst, period }
    }

    /// How long one unit takes to come back.
    pub fn interval(&self) -> Duration {
        (self.period / self.burst.max(1)).max(Duration::from_nanos(1))
    }
}

/// What a quota is counted under: a keyed hash, which tells nothing of whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey([u8; 32]);

impl QuotaKey {
    /// The key with these bytes, all of which tell it from others.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether units were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// They were.
    Allowed {
        /// How many are left.
        remaining: u32,
    },
    /// There are fewer left, and none was given.
    Refused {
        /// How many are left.
        remaining: u32,
        /// When as many as were asked for are there, if nobody else takes any.
        retry_after: Duration,
    },
}

impl Grant {
    /// How many units are left.
    pub const fn remaining(self) -> u32 {
        match self {
            Self::Allowed { remaining } | Self::Refused { remaining, .. } => remaining,
        }
    }
}

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RateLimitError {
    /// What counts cannot be reached.
    #[error("the quotas cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else.
    #[error("the quotas failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault for RateLimitError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unavailable(_) => {
                Report::new(ErrorKind::Unavailable, "unavailable").with_retry_after(Duration::from_secs(1))
            }
            Self::Backend(_) => Report::internal(),
        }
    }
}

/// Counts quotas.
///
/// # Contract
/// - Of takes beside each other exactly as many are allowed as there are units, and each tells what is left.
/// - What was taken comes back evenly, one unit each interval, and never more than the burst.
/// - A refusal takes nothing, and what it says of the wait is so: not sooner, and not later.
/// - A take of several units gets all of them or none; one of more than the burst never gets any.
/// - A take of nothing tells what is left and changes nothing.
/// - What is given back is there at once, and never makes more than the burst.
/// - Keys know nothing of each other.
#[async_trait]
pub trait RateLimiter: Debug + Send + Sync + 'static {
    /// Takes `cost` units, or none.
    async fn take(&self, key: &QuotaKey, quota: &Quota, cost: u32) -> Result<Grant, RateLimitError>;
    /// Gives back what was taken.
    async fn give_back(&self, key: &QuotaKey, quota: &Quota, cost: u32) -> Result<(), RateLimitError>;
}
