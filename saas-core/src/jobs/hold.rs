//! What a worker has in its hands: one attempt at a job.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{JobId, Jobs, Lease, StoredJob};
use crate::{Reach, StoreError, Tx, clock::stored_now};

/// One attempt at a job, as its worker holds it: whoever does the job completes it with this, and sees whether it is still theirs. Cloning
/// shares it.
#[derive(Debug, Clone)]
pub struct Hold(Arc<Held>);

#[derive(Debug)]
struct Held {
    job: JobId,
    attempt: i64,
    owner: Arc<str>,
    lease: Duration,
    /// When the lease ends, in microseconds since 1970.
    until: AtomicI64,
    completed: AtomicBool,
}

impl Hold {
    /// Of a job that `owner` has just claimed for `lease`.
    pub fn new(job: &StoredJob, owner: Arc<str>, lease: Duration) -> Self {
        Self(Arc::new(Held {
            job: job.id,
            attempt: job.attempt,
            owner,
            lease,
            until: AtomicI64::new(job.due_at.timestamp_micros()),
            completed: AtomicBool::new(false),
        }))
    }

    /// What the store knows it by.
    pub fn lease(&self) -> Lease<'_> {
        Lease { job: self.0.job, attempt: self.0.attempt, owner: &self.0.owner }
    }

    /// Whether somebody else may have the job by now. [`Jobs::keep`] asks the storage.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now.timestamp_micros() >= self.0.until.load(Ordering::SeqCst)
    }

    /// Notes that the lease was renewed.
    pub fn kept_until(&self, until: DateTime<Utc>) {
        self.0.until.store(until.timestamp_micros(), Ordering::SeqCst);
    }

    /// Whether the job was completed with its effect.
    pub fn is_completed(&self) -> bool {
        self.0.completed.load(Ordering::SeqCst)
    }
}

impl Jobs {
    /// Completes a job with whatever else the transaction writes: both happen or neither, and once. `false`: somebody else has the job by
    /// now, and the transaction is to be dropped.
    pub async fn complete_in(&self, tx: &mut Tx, hold: &Hold) -> Result<bool, StoreError> {
        let done = self.store.complete(tx, &hold.lease()).await?;
        if done {
            let hold = hold.clone();
            tx.after_commit(move || hold.0.completed.store(true, Ordering::SeqCst));
        }
        Ok(done)
    }

    /// Asks the storage whether a job is still its holder's, and renews the lease if it is. For an effect that no transaction holds back,
    /// when the lease [is over](Hold::is_over).
    pub async fn keep(&self, hold: &Hold) -> Result<bool, StoreError> {
        let until = stored_now(&*self.clock) + hold.0.lease;
        let mut tx = self.storage.begin(Reach::Platform("jobs")).await?;
        let kept = self.store.renew(&mut tx, &hold.0.owner, &[hold.0.job], until).await?;
        tx.commit().await?;
        if kept.is_empty() {
            return Ok(false);
        }
        hold.kept_until(until);
        Ok(true)
    }
}
