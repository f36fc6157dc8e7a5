//! What this machine has: a clock, for mailers that wait for a server, and a Python.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::Clock;

#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        std::time::SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The interpreter that scripts/with-services installs for the tests, with aiosmtpd.
pub(crate) fn python() -> String {
    std::env::var("SAAS_TEST_PYTHON").unwrap_or_else(|_| {
        panic!("SAAS_TEST_PYTHON is not set: run scripts/test, or scripts/with-services <command>, which install what is needed")
    })
}
