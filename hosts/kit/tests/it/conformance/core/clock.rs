//! `Clock`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{
    Clock,
    clock::ManualClock,
    conformance::clock::{ClockSubject as Subject, LINES, check},
};
use saas_kit::SystemClock;
use tokio::sync::Mutex;

use crate::conformance::broken::assert_noticed;

/// A clock whose time passes as `hand` is advanced.
fn by_hand(clock: Arc<dyn Clock>, hand: Arc<ManualClock>) -> Subject {
    Subject::new(clock, move |duration| {
        hand.advance(duration);
        std::future::ready(())
    })
}

mod system {
    async fn subject() -> super::Subject {
        super::Subject::new(std::sync::Arc::<super::SystemClock>::default(), tokio::time::sleep)
    }
    saas_core::clock_conformance!(subject);
}

mod manual {
    async fn subject() -> super::Subject {
        let clock = std::sync::Arc::<super::ManualClock>::default();
        super::by_hand(clock.clone(), clock)
    }
    saas_core::clock_conformance!(subject);
}

/// The manual clock, but for one line of the contract.
#[derive(Debug)]
struct Broken {
    line: &'static str,
    clock: Arc<ManualClock>,
    reads: AtomicU32,
    one_sleeper: Mutex<()>,
}

#[async_trait]
impl Clock for Broken {
    fn now(&self) -> DateTime<Utc> {
        if self.line == "what_passes_is_counted" {
            return DateTime::UNIX_EPOCH;
        }
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        let jitter = Duration::from_nanos((self.reads.fetch_add(1, Ordering::Relaxed) % 2).into());
        match self.line {
            "monotonic_never_goes_back" => self.clock.monotonic() + jitter,
            _ => self.clock.monotonic(),
        }
    }

    async fn sleep(&self, duration: Duration) {
        let _alone = match self.line {
            "sleeps_go_on_beside_each_other" => Some(self.one_sleeper.lock().await),
            _ => None,
        };
        let duration = match self.line {
            "a_sleep_ends_when_its_time_has_passed_and_no_earlier" => duration / 2,
            "a_sleep_of_no_time_ends_without_any_passing" => duration.max(Duration::from_millis(1)),
            _ => duration,
        };
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn a_clock_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let clock = Arc::<ManualClock>::default();
        let (reads, one_sleeper) = (AtomicU32::default(), Mutex::default());
        let broken = Broken { line, clock: Arc::clone(&clock), reads, one_sleeper };
        assert_noticed(line, check(line, by_hand(Arc::new(broken), clock))).await;
    }
}
