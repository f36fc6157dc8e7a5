//! Quotas counted in the process: each process has its own, and forgets them when it ends.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Grant, Quota, QuotaKey, RateLimitError, RateLimiter};
use crate::Clock;

/// How many parts the keys are spread over, each under a lock of its own.
const SHARDS: usize = 64;

/// How many keys that are out of date one take clears away: more than it adds.
const CLEARED: usize = 2;

/// [`RateLimiter`] in memory, by the generic cell rate algorithm (ITU-T I.371): of a key one moment is kept, when all of its units are back.
///
/// It keeps at most [`MemoryRateLimiter::CAPACITY`] keys or what it is told, some 150 bytes each. Where there are more, it forgets first
/// whoever would have everything back first: filling it up lets nobody off who has taken much.
#[derive(Debug)]
pub struct MemoryRateLimiter {
    clock: Arc<dyn Clock>,
    shards: Vec<Mutex<Shard>>,
    /// Of a shard.
    capacity: usize,
}

/// Keys, and when all units of each are back; in order of that, too.
#[derive(Debug, Default)]
struct Shard {
    whole: HashMap<QuotaKey, Duration>,
    order: BTreeSet<(Duration, QuotaKey)>,
}

impl MemoryRateLimiter {
    /// How many keys are kept.
    pub const CAPACITY: usize = 65_536;

    /// With room for [`MemoryRateLimiter::CAPACITY`] keys.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, Self::CAPACITY)
    }

    /// With room for so many keys, 64 at least.
    pub fn with_capacity(clock: Arc<dyn Clock>, keys: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { clock, shards, capacity: (keys / SHARDS).max(1) }
    }

    fn shard(&self, key: &QuotaKey) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Keeps when all units of `key` are back; what is past needs no keeping.
    fn set(&mut self, key: QuotaKey, whole: Duration, now: Duration) {
        if let Some(before) = self.whole.remove(&key) {
            self.order.remove(&(before, key));
        }
        if whole > now {
            self.whole.insert(key, whole);
            self.order.insert((whole, key));
        }
    }

    fn clear(&mut self, now: Duration, capacity: usize) {
        for _ in 0..CLEARED {
            let Some(&(whole, key)) = self.order.first() else { return };
            if whole > now && self.whole.len() <= capacity {
                return;
            }
            self.order.pop_first();
            self.whole.remove(&key);
        }
    }
}

/// How many times `interval` is in `duration`.
fn units(duration: Duration, interval: Duration) -> u32 {
    u32::try_from(duration.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX)
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    async fn take(&self, key: &QuotaKey, quota: &Quota, cost: u32) -> Result<Grant, RateLimitError> {
        let (now, interval) = (self.clock.monotonic(), quota.interval());
        let latest = now.saturating_add(interval.saturating_mul(quota.burst));
        let mut shard = self.shard(key);
        let whole = shard.whole.get(key).copied().unwrap_or(now).max(now);
        let then = whole.saturating_add(interval.saturating_mul(cost));
        if cost > quota.burst || then > latest {
            let remaining = units(latest.saturating_sub(whole), interval);
            let retry_after = if cost > quota.burst { quota.period } else { then.saturating_sub(latest) };
            return Ok(Grant::Refused { remaining, retry_after });
        }
        if cost > 0 {
            shard.set(*key, then, now);
            shard.clear(now, self.capacity);
        }
        Ok(Grant::Allowed { remaining: units(latest.saturating_sub(then), interval) })
    }

    async fn give_back(&self, key: &QuotaKey, quota: &Quota, cost: u32) -> Result<(), RateLimitError> {
        let now = self.clock.monotonic();
        let mut shard = self.shard(key);
        if let Some(whole) = shard.whole.get(key).copied() {
            shard.set(*key, whole.saturating_sub(quota.interval().saturating_mul(cost)), now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::ManualClock;

    const QUOTA: Quota = Quota::new("test", 10, Duration::from_secs(10));

    fn key(number: u32) -> QuotaKey {
        let mut bytes = [0; 32];
        // All in one shard.
        bytes[1..5].copy_from_slice(&number.to_be_bytes());
        QuotaKey::new(bytes)
    }

    fn take(limiter: &MemoryRateLimiter, number: u32, cost: u32) -> Grant {
        limiter.take(&key(number), &QUOTA, cost).now_or_never().unwrap().unwrap()
    }

    fn kept(limiter: &MemoryRateLimiter) -> (usize, usize) {
        let shard = limiter.shard(&key(0));
        (shard.whole.len(), shard.order.len())
    }

    #[test]
    fn keys_are_bounded_and_who_took_most_is_remembered_longest() {
        let limiter = MemoryRateLimiter::with_capacity(Arc::new(ManualClock::default()), 8 * SHARDS);
        take(&limiter, 0, 10);
        for number in 1..10_000 {
            take(&limiter, number, 1);
            assert!(kept(&limiter).0 <= 8, "{number}");
        }
        assert!(matches!(take(&limiter, 0, 1), Grant::Refused { remaining: 0, .. }));
        assert_eq!(kept(&limiter), (8, 8));
    }

    #[test]
    fn what_is_out_of_date_is_cleared_away_and_what_is_given_back_is_not_kept() {
        let clock = Arc::new(ManualClock::default());
        let limiter = MemoryRateLimiter::new(Arc::<ManualClock>::clone(&clock));
        for number in 0..100 {
            take(&limiter, number, 1);
        }
        assert_eq!(kept(&limiter), (100, 100));
        clock.advance(Duration::from_secs(2));
        for number in 0..60 {
            take(&limiter, number, 1);
        }
        assert_eq!(kept(&limiter), (60, 60));
        for number in 0..60 {
            limiter.give_back(&key(number), &QUOTA, 1).now_or_never().unwrap().unwrap();
        }
        assert_eq!(kept(&limiter), (0, 0));
    }
}
