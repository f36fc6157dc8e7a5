//! The contract of [`RateLimiter`].

use std::{
    any::Any,
    fmt::{self, Debug},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use super::at_once;
use crate::{
    RateLimiter,
    rate_limit::{Grant, Quota, QuotaKey},
};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`RateLimiter`](crate::RateLimiter): takes the path of an `async fn() -> RateLimiterSubject`, makes a test of each line of its
    /// contract.
    rate_limiter_conformance, saas_core, rate_limiter, RateLimiterSubject,
    [
        of_takes_beside_each_other_exactly_the_burst_is_allowed_and_each_tells_what_is_left,
        what_was_taken_comes_back_evenly_and_never_beyond_the_burst,
        a_refusal_takes_nothing_and_says_how_long_to_wait,
        a_take_of_several_gets_all_or_none,
        a_take_of_nothing_tells_what_is_left_and_changes_nothing,
        what_is_given_back_is_there_at_once_and_never_beyond_the_burst,
        keys_know_nothing_of_each_other,
    ]
}

type Passing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A limiter that nothing was taken from, and its time.
pub struct RateLimiterSubject {
    limiter: Arc<dyn RateLimiter>,
    pass: Box<dyn Fn(Duration) -> Passing + Send + Sync>,
    _kept: Box<dyn Any + Send>,
}

impl Debug for RateLimiterSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiterSubject").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl RateLimiterSubject {
    /// A new limiter; `pass` lets time pass for it, and `kept` is dropped after the test, as a server should be.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        limiter: Arc<dyn RateLimiter>,
        pass: impl Fn(Duration) -> F + Send + Sync + 'static,
        kept: impl Any + Send,
    ) -> Self {
        let pass = Box::new(move |duration| -> Passing { Box::pin(pass(duration)) });
        Self { limiter, pass, _kept: Box::new(kept) }
    }

    async fn take(&self, number: u8, cost: u32) -> Grant {
        self.limiter.take(&key(number), &QUOTA, cost).await.unwrap()
    }

    async fn give_back(&self, number: u8, cost: u32) {
        self.limiter.give_back(&key(number), &QUOTA, cost).await.unwrap();
    }

    async fn pass(&self, duration: Duration) {
        (self.pass)(duration).await;
    }
}

/// Ten units; one comes back every six seconds, in which no test takes long.
const QUOTA: Quota = Quota::new("conformance", 10, Duration::from_mins(1));
const INTERVAL: Duration = Duration::from_secs(6);

fn key(number: u8) -> QuotaKey {
    QuotaKey::new([number; 32])
}

fn allowed(remaining: u32) -> Grant {
    Grant::Allowed { remaining }
}

fn is_refused(grant: Grant, left: u32) -> bool {
    matches!(grant, Grant::Refused { remaining, .. } if remaining == left)
}

async fn of_takes_beside_each_other_exactly_the_burst_is_allowed_and_each_tells_what_is_left(
    subject: RateLimiterSubject,
) {
    let grants = at_once(64, |_| subject.take(1, 1)).await;
    let mut left: Vec<u32> = grants
        .iter()
        .filter_map(|grant| match grant {
            Grant::Allowed { remaining } => Some(*remaining),
            Grant::Refused { remaining, .. } => {
                assert_eq!(*remaining, 0);
                None
            }
        })
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..10).collect::<Vec<_>>());
}

async fn what_was_taken_comes_back_evenly_and_never_beyond_the_burst(subject: RateLimiterSubject) {
    assert_eq!(subject.take(1, 10).await, allowed(0));
    for _ in 0..3 {
        subject.pass(INTERVAL).await;
        assert_eq!(subject.take(1, 1).await, allowed(0), "one came back");
        assert!(is_refused(subject.take(1, 1).await, 0), "one, and no more");
    }
    subject.pass(INTERVAL * 4).await;
    assert_eq!(subject.take(1, 0).await, allowed(4));
    subject.pass(INTERVAL * 100).await;
    assert_eq!(subject.take(1, 10).await, allowed(0));
    assert!(is_refused(subject.take(1, 1).await, 0));
}

async fn a_refusal_takes_nothing_and_says_how_long_to_wait(subject: RateLimiterSubject) {
    assert_eq!(subject.take(1, 8).await, allowed(2));
    for _ in 0..20 {
        assert!(is_refused(subject.take(1, 5).await, 2));
    }
    let Grant::Refused { retry_after, .. } = subject.take(1, 5).await else { panic!("there are two") };
    assert!(retry_after <= INTERVAL * 3, "{retry_after:?} is too long: three more come back by then");
    assert!(retry_after > INTERVAL * 2, "{retry_after:?} is too short: two come back by then");
    subject.pass(retry_after.saturating_sub(INTERVAL / 2)).await;
    assert!(is_refused(subject.take(1, 5).await, 4), "it is not time yet");
    subject.pass(INTERVAL / 2).await;
    assert_eq!(subject.take(1, 5).await, allowed(0));
}

async fn a_take_of_several_gets_all_or_none(subject: RateLimiterSubject) {
    assert_eq!(subject.take(1, 4).await, allowed(6));
    assert!(is_refused(subject.take(1, 7).await, 6));
    assert_eq!(subject.take(1, 6).await, allowed(0));
    for cost in [11, 1_000, u32::MAX] {
        assert!(is_refused(subject.take(2, cost).await, 10), "{cost} units are more than there ever are");
    }
    assert_eq!(subject.take(2, 10).await, allowed(0));
}

async fn a_take_of_nothing_tells_what_is_left_and_changes_nothing(subject: RateLimiterSubject) {
    for _ in 0..20 {
        assert_eq!(subject.take(1, 0).await, allowed(10));
    }
    assert_eq!(subject.take(1, 10).await, allowed(0));
    for _ in 0..20 {
        assert_eq!(subject.take(1, 0).await, allowed(0));
    }
    subject.pass(INTERVAL).await;
    assert_eq!(subject.take(1, 1).await, allowed(0));
}

async fn what_is_given_back_is_there_at_once_and_never_beyond_the_burst(subject: RateLimiterSubject) {
    subject.take(1, 10).await;
    subject.give_back(1, 3).await;
    assert_eq!(subject.take(1, 2).await, allowed(1));
    subject.give_back(1, 9).await;
    subject.give_back(1, 1_000).await;
    subject.give_back(2, 10).await;
    for number in [1, 2] {
        assert_eq!(subject.take(number, 10).await, allowed(0));
        assert!(is_refused(subject.take(number, 1).await, 0));
    }
}

async fn keys_know_nothing_of_each_other(subject: RateLimiterSubject) {
    assert_eq!(subject.take(1, 10).await, allowed(0));
    assert_eq!(subject.take(2, 3).await, allowed(7));
    subject.give_back(1, 5).await;
    assert_eq!(subject.take(2, 0).await, allowed(7));
    assert_eq!(subject.take(1, 0).await, allowed(5));
    // Keys that begin alike are two.
    let mut other = [2; 32];
    other[31] = 3;
    let grant = subject.limiter.take(&QuotaKey::new(other), &QUOTA, 0).await.unwrap();
    assert_eq!(grant, allowed(10));
}
