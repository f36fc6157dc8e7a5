//! What is measured of jobs.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use saas_core::jobs::JobState;

/// What came of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Done,
    Retried,
    Dead,
    LeaseLost,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Dead => "dead",
            Self::LeaseLost => "lease_lost",
        }
    }
}

pub(super) fn attempt(kind: &str, outcome: Outcome, took: Duration) {
    counter!("saas_job_attempts_total", "kind" => kind.to_owned(), "outcome" => outcome.as_str())
        .increment(1);
    histogram!("saas_job_attempt_duration_seconds", "kind" => kind.to_owned()).record(took);
}

/// What is left, over all kinds.
pub(super) fn left(counts: &[(String, JobState, i64)]) {
    for state in [JobState::Waiting, JobState::Running, JobState::Dead] {
        let count: i64 = counts.iter().filter(|(_, of, _)| *of == state).map(|(_, _, count)| count).sum();
        gauge!("saas_jobs", "state" => state.as_str()).set(i32::try_from(count).unwrap_or(i32::MAX));
    }
}
