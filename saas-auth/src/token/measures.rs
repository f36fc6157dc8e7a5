//! How many tokens are signed and verified, and how long that takes.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

/// Where it is counted; resolved once.
#[derive(Debug)]
pub(super) struct Measures {
    pub(super) signed: Done,
    pub(super) not_signed: Done,
    pub(super) verified: Done,
    pub(super) not_verified: Done,
}

/// What came to one end.
#[derive(Debug)]
pub(super) struct Done {
    times: Counter,
    duration: Histogram,
}

impl Done {
    pub(super) fn after(&self, duration: Duration) {
        self.times.increment(1);
        self.duration.record(duration);
    }
}

macro_rules! done {
    ($times:literal, $duration:literal, $result:literal, $token_use:literal) => {
        Done {
            times: counter!($times, "result" => $result, "token_use" => $token_use),
            duration: histogram!($duration, "result" => $result, "token_use" => $token_use),
        }
    };
}

impl Measures {
    pub(super) fn new() -> Self {
        Self {
            signed: done!("jwt_signings_total", "jwt_signing_duration_seconds", "success", "access"),
            not_signed: done!("jwt_signings_total", "jwt_signing_duration_seconds", "failure", "access"),
            verified: done!(
                "jwt_verifications_total",
                "jwt_verification_duration_seconds",
                "success",
                "access"
            ),
            // What it was meant for is its maker's word.
            not_verified: done!(
                "jwt_verifications_total",
                "jwt_verification_duration_seconds",
                "failure",
                "unknown"
            ),
        }
    }
}
