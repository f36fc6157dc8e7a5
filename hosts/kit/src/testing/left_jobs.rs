//! Jobs that a test leaves behind it.
//!
//! What a test enqueues is noted where its transaction commits, in memory, and crossed out by [`TestSaas::drain_jobs`]. A drop cannot await,
//! so it asks no database; and it does not count what the workers happened to have done by then, or a test would fail by chance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::RunJob;
use saas_core::{
    Conn, Reach, Storage, StoreError, Tx,
    clock::stored_now,
    jobs::{Job, JobFilter, JobId, JobState, JobStore, Lease, NewJob, StoredJob},
};
use tokio::sync::Notify;

use super::TestSaas;

/// How long a job that a worker has may take, in the machine's time.
const PATIENCE: Duration = Duration::from_secs(20);

/// The jobs of a test's database that nobody has waited for.
#[derive(Debug, Default)]
pub(super) struct LeftJobs {
    noted: Mutex<Noted>,
    /// A job has come to an end.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    jobs: BTreeMap<JobId, &'static str>,
    /// The schedules' names, which are the keys of their jobs.
    periodic: BTreeSet<String>,
    /// The test leaves jobs on purpose.
    may_be_left: bool,
}

impl LeftJobs {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job is one to be waited for: due when it was enqueued, and no schedule's. Who starts a run follows it, or leaves it on purpose.
    fn counts(&self, job: &NewJob) -> bool {
        let periodic = |key: &String| self.noted().periodic.contains(key);
        job.kind != RunJob::KIND
            && job.due_at <= job.created_at
            && !job.unique_key.as_ref().is_some_and(periodic)
    }
}

/// Fails the test whose jobs were left when it is dropped.
#[derive(Debug)]
pub(super) struct JobsGuard(pub(super) Arc<LeftJobs>);

impl Drop for JobsGuard {
    fn drop(&mut self) {
        let noted = self.0.noted();
        let kinds: BTreeSet<&str> = noted.jobs.values().copied().collect();
        let fails = !noted.may_be_left && !kinds.is_empty();
        drop(noted);
        // A test that fails already says why.
        assert!(
            !fails || std::thread::panicking(),
            "the test left jobs: {}. End it with `drain_jobs().await`, or say `leave_jobs()` where that is meant",
            kinds.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
}

impl TestSaas {
    /// Does every job that is due, and what becomes due meanwhile, and waits for those that the workers are at: what was enqueued has had its
    /// effect, or has failed and waits for another attempt. Tells how many attempts it took itself. A test that enqueues ends with it, and
    /// fails otherwise; periodic jobs and those that are due later do not count.
    pub async fn drain_jobs(&self) -> u64 {
        let (mut attempts, mut quiet) = (0, false);
        loop {
            let ended = self.database.left_jobs.ended.notified();
            let took = self.saas.drain_jobs().await.expect("the database answers");
            attempts += took;
            let running = self.cross_out().await;
            if running.is_empty() {
                if quiet && took == 0 {
                    return attempts;
                }
                // What ended between the two looks may have left another one.
                quiet = took == 0;
                continue;
            }
            quiet = false;
            let waited = tokio::time::timeout(PATIENCE, ended).await;
            assert!(waited.is_ok(), "jobs that were begun do not end: {}", running.join(", "));
        }
    }

    /// Says that this test leaves jobs behind: it does not fail for it.
    pub fn leave_jobs(&self) {
        self.database.left_jobs.noted().may_be_left = true;
    }

    /// Forgets the jobs that are done, dead, or due later; the kinds of those that somebody is at.
    async fn cross_out(&self) -> Vec<&'static str> {
        let left = &self.database.left_jobs;
        let noted = left.noted().jobs.clone();
        let now = stored_now(&**self.saas.clock());
        let mut running = Vec::new();
        let mut conn = self.saas.storage().read(Reach::Platform("test")).await.expect("the database answers");
        for (id, kind) in noted {
            let job = self.saas.jobs().store().by_id(&mut conn, id).await.expect("the database answers");
            match job {
                Some(job) if job.state == JobState::Running => running.push(kind),
                // Due, and nobody does it: there is no handler.
                Some(job) if job.state == JobState::Waiting && job.due_at <= now => {}
                _ => {
                    left.noted().jobs.remove(&id);
                }
            }
        }
        running
    }
}

/// A store that notes what is enqueued.
#[derive(Debug)]
pub(super) struct Noting<S> {
    pub(super) store: S,
    pub(super) left: Arc<LeftJobs>,
}

impl<S: JobStore> Noting<S> {
    fn tell_of_an_end(&self, tx: &mut Tx) {
        let left = Arc::clone(&self.left);
        tx.after_commit(move || left.ended.notify_waiters());
    }
}

#[async_trait]
impl<S: JobStore> JobStore for Noting<S> {
    async fn insert(&self, tx: &mut Tx, job: &NewJob) -> Result<bool, StoreError> {
        let inserted = self.store.insert(tx, job).await?;
        if inserted && self.left.counts(job) {
            let (left, id, kind) = (Arc::clone(&self.left), job.id, job.kind);
            tx.after_commit(move || {
                left.noted().jobs.insert(id, kind);
            });
        }
        Ok(inserted)
    }

    async fn due(
        &self,
        conn: &mut Conn,
        kinds: &[&str],
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError> {
        self.store.due(conn, kinds, now).await
    }

    async fn claim(
        &self,
        tx: &mut Tx,
        kind: &str,
        limit: u32,
        owner: &str,
        now: DateTime<Utc>,
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<StoredJob>, StoreError> {
        self.store.claim(tx, kind, limit, owner, now, leased_until).await
    }

    async fn renew(
        &self,
        tx: &mut Tx,
        owner: &str,
        jobs: &[JobId],
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<JobId>, StoreError> {
        self.store.renew(tx, owner, jobs, leased_until).await
    }

    async fn complete(&self, tx: &mut Tx, lease: &Lease<'_>) -> Result<bool, StoreError> {
        self.tell_of_an_end(tx);
        self.store.complete(tx, lease).await
    }

    async fn retry(
        &self,
        tx: &mut Tx,
        lease: &Lease<'_>,
        due_at: DateTime<Utc>,
        error: &str,
    ) -> Result<bool, StoreError> {
        self.tell_of_an_end(tx);
        self.store.retry(tx, lease, due_at, error).await
    }

    async fn bury(&self, tx: &mut Tx, lease: &Lease<'_>, error: &str) -> Result<bool, StoreError> {
        self.tell_of_an_end(tx);
        self.store.bury(tx, lease, error).await
    }

    async fn by_id(&self, conn: &mut Conn, id: JobId) -> Result<Option<StoredJob>, StoreError> {
        self.store.by_id(conn, id).await
    }

    async fn list(
        &self,
        conn: &mut Conn,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<StoredJob>, StoreError> {
        self.store.list(conn, filter, after, limit).await
    }

    async fn counts(
        &self,
        conn: &mut Conn,
        at_most: u32,
    ) -> Result<Vec<(String, JobState, i64)>, StoreError> {
        self.store.counts(conn, at_most).await
    }

    async fn revive(&self, tx: &mut Tx, id: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.store.revive(tx, id, now).await
    }

    async fn cancel(&self, tx: &mut Tx, id: JobId) -> Result<bool, StoreError> {
        let cancelled = self.store.cancel(tx, id).await?;
        if cancelled {
            let left = Arc::clone(&self.left);
            tx.after_commit(move || {
                left.noted().jobs.remove(&id);
            });
        }
        Ok(cancelled)
    }

    async fn schedule(&self, tx: &mut Tx, name: &str, first_at: DateTime<Utc>) -> Result<(), StoreError> {
        self.left.noted().periodic.insert(name.to_owned());
        self.store.schedule(tx, name, first_at).await
    }

    async fn fire(
        &self,
        tx: &mut Tx,
        name: &str,
        now: DateTime<Utc>,
        next_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.store.fire(tx, name, now, next_at).await
    }
}
