//! Enqueuing.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Job, JobId, JobStore, NewJob};
use crate::{
    Audit, Clock, Entropy, ErrorKind, Fault, InternalError, Report, Storage, StoreError, Tx,
    clock::stored_now, entropy::random,
};

/// Why a job was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The payload cannot be written.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for EnqueueError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::new(ErrorKind::Internal, "internal"),
        }
    }
}

/// Enqueues jobs. Cloning shares it.
#[derive(Clone)]
pub struct Jobs {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) store: Arc<dyn JobStore>,
    pub(super) audit: Audit,
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Jobs {
    /// Jobs in a store of that storage; what operators do to them is audited. `wake` tells a worker that there may be work; it also looks by itself every second.
    pub fn new(
        storage: Arc<dyn Storage>,
        store: Arc<dyn JobStore>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { storage, store, audit, clock, entropy, wake }
    }

    /// A job of now, to be given a key, a tenant or a time before [`Jobs::insert`].
    pub fn prepare<J: Job>(&self, job: &J) -> Result<NewJob, InternalError> {
        let id = JobId::generate(&*self.clock, &*self.entropy);
        NewJob::new(id, job, stored_now(&*self.clock))
    }

    /// Leaves a job behind in the caller's transaction: it is done when that commits, and else it never was.
    pub async fn enqueue<J: Job>(&self, tx: &mut Tx, job: &J) -> Result<JobId, EnqueueError> {
        let job = self.prepare(job)?;
        self.insert(tx, &job).await?;
        Ok(job.id)
    }

    /// As [`Jobs::enqueue`], for a prepared one; `false` when another one has its key.
    pub async fn insert(&self, tx: &mut Tx, job: &NewJob) -> Result<bool, StoreError> {
        let inserted = self.store.insert(tx, job).await?;
        if inserted {
            let wake = Arc::clone(&self.wake);
            tx.after_commit(move || wake());
        }
        Ok(inserted)
    }

    /// The store, for workers and operators.
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.store
    }

    /// When an attempt that has failed is repeated: after 2 s, twice as long each time, an hour at most, and up to a half sooner, so that what
    /// failed together does not come back together.
    pub fn next_attempt(&self, attempt: i64) -> DateTime<Utc> {
        let exponent = u32::try_from(attempt.clamp(1, 12)).unwrap_or(12);
        let longest = Duration::from_secs(1 << exponent).min(Duration::from_hours(1));
        let share = f64::from(u16::from_le_bytes(random(&*self.entropy))) / f64::from(u16::MAX);
        stored_now(&*self.clock) + longest.mul_f64(1.0 - share / 2.0)
    }
}
