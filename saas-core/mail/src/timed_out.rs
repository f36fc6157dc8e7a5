//! Answers that do not come.

use std::time::Duration;

/// No answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer came within {} s", .0.as_secs())]
pub(crate) struct TimedOut(pub(crate) Duration);
