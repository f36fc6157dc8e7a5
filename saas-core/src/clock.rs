//! Time, as a port: nothing but a host reads the machine's clock.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::future::{Either, select};

/// Tells the time and waits.
///
/// # Contract
/// - `monotonic` never goes back.
/// - What passes is counted, by `monotonic` in full and by `now` unless somebody sets it.
/// - `sleep(d)` ends when `d` of this clock's time has passed, and no earlier.
/// - A sleep of no time ends without any passing.
/// - Sleeps go on beside each other: none waits for the end of another.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> DateTime<Utc>;
    /// Time since any fixed point, for measuring durations.
    fn monotonic(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// What a future gives, unless it takes longer than `limit` of the clock's time.
pub async fn within<T>(clock: &dyn Clock, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(std::pin::pin!(future), clock.sleep(limit)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// The time as both storage engines keep it: cut to microseconds.
pub fn stored_now(clock: &dyn Clock) -> DateTime<Utc> {
    clock.now().trunc_subsecs(6)
}

#[cfg(feature = "testing")]
mod manual {
    use std::{
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use async_trait::async_trait;
    use chrono::{DateTime, Utc};
    use tokio::sync::watch;

    use super::Clock;

    /// A clock that moves when told to; it starts at 2026-01-01T00:00:00Z.
    #[derive(Debug)]
    pub struct ManualClock {
        passed: watch::Sender<Duration>,
        start: Mutex<DateTime<Utc>>,
    }

    impl Default for ManualClock {
        fn default() -> Self {
            let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
            Self { passed: watch::Sender::new(Duration::ZERO), start: Mutex::new(start) }
        }
    }

    impl ManualClock {
        /// Lets `duration` pass and wakes who slept until then.
        pub fn advance(&self, duration: Duration) {
            self.passed.send_modify(|passed| *passed += duration);
        }

        /// Sets the wall clock, as an operator or NTP does; the monotonic clock does not notice.
        pub fn set_wall(&self, now: DateTime<Utc>) {
            *self.start.lock().unwrap_or_else(PoisonError::into_inner) = now - *self.passed.borrow();
        }
    }

    #[async_trait]
    impl Clock for ManualClock {
        fn now(&self) -> DateTime<Utc> {
            *self.start.lock().unwrap_or_else(PoisonError::into_inner) + self.monotonic()
        }

        fn monotonic(&self) -> Duration {
            *self.passed.borrow()
        }

        async fn sleep(&self, duration: Duration) {
            let until = self.monotonic().saturating_add(duration);
            let mut passed = self.passed.subscribe();
            // The sender lives in `self`, which outlives this future: waiting cannot fail.
            let _ = passed.wait_for(|passed| *passed >= until).await;
        }
    }
}

#[cfg(feature = "testing")]
pub use manual::ManualClock;
