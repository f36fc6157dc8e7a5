//! `RateLimiter`.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    Clock, Grant, Quota, QuotaKey, RateLimitError, RateLimiter,
    clock::ManualClock,
    conformance::rate_limiter::{LINES, RateLimiterSubject as Subject, check},
    rate_limit::MemoryRateLimiter,
};

use crate::conformance::broken::assert_noticed;

fn over(limiter: Arc<dyn RateLimiter>, clock: Arc<ManualClock>) -> Subject {
    let pass = move |duration: Duration| {
        clock.advance(duration);
        async {}
    };
    Subject::new(limiter, pass, ())
}

async fn subject() -> Subject {
    let clock = Arc::new(ManualClock::default());
    over(Arc::new(MemoryRateLimiter::new(Arc::<ManualClock>::clone(&clock))), clock)
}

saas_core::rate_limiter_conformance!(subject);

/// The limiter in memory, but for one line of the contract.
#[derive(Debug)]
struct Broken {
    line: &'static str,
    limiter: MemoryRateLimiter,
    clock: Arc<ManualClock>,
    /// When all units of a key were back, so far as a broken one has to know it; and the keys that were taken from.
    began: Mutex<Option<Duration>>,
    seen: Mutex<HashSet<QuotaKey>>,
}

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.line.starts_with(line)
    }
}

#[async_trait]
impl RateLimiter for Broken {
    async fn take(&self, key: &QuotaKey, quota: &Quota, cost: u32) -> Result<Grant, RateLimitError> {
        let mut asked = *key;
        if self.breaks("keys_know") {
            asked = QuotaKey::new([key.as_bytes()[0]; 32]);
        }
        self.seen.lock().unwrap().insert(asked);
        if self.breaks("of_takes_beside") {
            // Looks first and takes later.
            let left = self.limiter.take(&asked, quota, 0).await?.remaining();
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let grant = self.limiter.take(&asked, quota, cost.min(left)).await?;
            return Ok(if left >= cost { Grant::Allowed { remaining: grant.remaining() } } else { grant });
        }
        if self.breaks("what_was_taken_comes_back") {
            // A fixed window: all of it at once.
            let now = self.clock.monotonic();
            let over = {
                let mut began = self.began.lock().unwrap();
                let over = began.is_some_and(|began| now.saturating_sub(began) >= quota.period / 2);
                if over || began.is_none() {
                    *began = Some(now);
                }
                over
            };
            if over {
                self.limiter.give_back(&asked, quota, quota.burst).await?;
            }
        }
        if self.breaks("a_take_of_nothing") && cost == 0 {
            return self.limiter.take(&asked, quota, 1).await;
        }
        let grant = self.limiter.take(&asked, quota, cost).await?;
        match grant {
            Grant::Refused { remaining, .. } if self.breaks("a_take_of_several") && remaining > 0 => {
                self.limiter.take(&asked, quota, remaining).await
            }
            Grant::Refused { remaining, retry_after } if self.breaks("a_refusal") => {
                Ok(Grant::Refused { remaining, retry_after: retry_after * 2 })
            }
            grant => Ok(grant),
        }
    }

    async fn give_back(&self, key: &QuotaKey, quota: &Quota, cost: u32) -> Result<(), RateLimitError> {
        if self.breaks("what_is_given_back") {
            return Ok(());
        }
        if self.breaks("keys_know") {
            let seen: Vec<QuotaKey> = self.seen.lock().unwrap().iter().copied().collect();
            for key in seen {
                self.limiter.give_back(&key, quota, cost).await?;
            }
        }
        self.limiter.give_back(key, quota, cost).await
    }
}

fn broken(line: &'static str) -> Subject {
    let clock = Arc::new(ManualClock::default());
    let limiter = MemoryRateLimiter::new(Arc::<ManualClock>::clone(&clock));
    let (began, seen) = (Mutex::default(), Mutex::default());
    over(Arc::new(Broken { line, limiter, clock: Arc::clone(&clock), began, seen }), clock)
}

#[tokio::test]
async fn a_limiter_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, broken(line))).await;
    }
}

#[tokio::test]
async fn the_same_limiter_without_a_broken_line_passes() {
    for line in LINES {
        check(line, broken("")).await;
    }
}
