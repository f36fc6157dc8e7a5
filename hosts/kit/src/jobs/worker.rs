//! The worker of a process: claims what is due, keeps its leases, and writes down how it ended.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use saas_core::{
    Clock, Reach, Storage, StoreError,
    clock::stored_now,
    fault::chain,
    jobs::{Hold, JobId, Jobs, StoredJob},
};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

use super::{
    Attempt, Handlers, JobError, Schedule,
    measures::{self, Outcome},
};

const REACH: Reach = Reach::Platform("jobs");

/// How often it looks by itself.
const POLL: Duration = Duration::from_secs(1);

/// How often a schedule is looked at, when it does not fire more often.
const LOOK: Duration = Duration::from_mins(1);

/// The longest that whoever was asked may have a job wait.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// How long jobs that were told to stop get to end by themselves.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often the jobs that are left are counted.
const COUNT: Duration = Duration::from_secs(15);

/// How many jobs of a state are counted: a backlog is not read whole for a gauge.
const COUNT_AT_MOST: u32 = 10_000;

/// The longest text of an error that is stored, in characters.
const ERROR_MAX: usize = 1_000;

/// Does the jobs of a process. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) schedules: Arc<[Schedule]>,
    /// How long a worker that is not heard of keeps its jobs. It is heard of three times as often.
    pub(crate) lease: Duration,
    pub(crate) owner: Arc<str>,
    pub(crate) wake: Arc<Notify>,
}

/// A job in work.
#[derive(Debug)]
struct Work {
    kind: &'static str,
    hold: Hold,
    task: AbortHandle,
}

type InWork = HashMap<JobId, Work>;

impl Worker {
    /// Works until `shutdown`, then finishes what it has, for `patience` at most; then tells the rest to stop, and gives back what does not.
    pub(crate) async fn run(&self, shutdown: impl Future<Output = ()>, patience: Duration) {
        let mut tasks = JoinSet::new();
        let mut in_work = InWork::new();
        let mut heard = self.clock.monotonic();
        let mut looked: HashMap<&str, Duration> = HashMap::new();
        let mut counted: Option<Duration> = None;
        tokio::pin!(shutdown);
        // What others left behind is looked for at once.
        self.wake.notify_one();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = self.wake.notified() => {}
                () = self.clock.sleep(POLL.min(self.lease / 3)) => {}
                Some(ended) = tasks.join_next() => {
                    forget(&mut in_work, &ended);
                }
            }
            while let Some(ended) = tasks.try_join_next() {
                forget(&mut in_work, &ended);
            }
            if !in_work.is_empty() && self.clock.monotonic().saturating_sub(heard) >= self.lease / 3 {
                heard = self.clock.monotonic();
                passing(self.renew(&mut in_work).await, "leases of jobs could not be renewed");
            }
            for schedule in self.schedules.iter() {
                let now = self.clock.monotonic();
                let last = looked.get(schedule.name).copied();
                if last.is_none_or(|last| now.saturating_sub(last) >= schedule.every.min(LOOK)) {
                    passing(self.fire(schedule).await, "a scheduled job could not be enqueued");
                    looked.insert(schedule.name, now);
                }
            }
            passing(self.begin(&mut tasks, &mut in_work).await, "jobs could not be claimed");
            let now = self.clock.monotonic();
            if counted.is_none_or(|counted| now.saturating_sub(counted) >= COUNT) {
                passing(self.count().await, "jobs could not be counted");
                counted = Some(now);
            }
            if in_work.is_empty() {
                heard = self.clock.monotonic();
            }
        }
        let finished = self.finished(&mut tasks, &mut in_work, |_| true);
        if tokio::time::timeout(patience, finished).await.is_err() {
            let stopping: Vec<&str> = self
                .handlers
                .0
                .iter()
                .filter(|(_, (handler, _))| handler.stop())
                .map(|(kind, _)| *kind)
                .collect();
            tracing::warn!(jobs = tasks.len(), "stopping with jobs unfinished: they are told to stop");
            let finished = self.finished(&mut tasks, &mut in_work, |kind| stopping.contains(&kind));
            let _ = tokio::time::timeout(LAST_WORDS, finished).await;
        }
        if !tasks.is_empty() {
            tracing::warn!(jobs = tasks.len(), "jobs are cut off: others go on when their leases end");
        }
        tasks.shutdown().await;
    }

    /// Waits until nothing of these kinds is in work, and keeps the leases meanwhile.
    async fn finished(
        &self,
        tasks: &mut JoinSet<JobId>,
        in_work: &mut InWork,
        of: impl Fn(&str) -> bool + Send,
    ) {
        while in_work.values().any(|work| of(work.kind)) {
            tokio::select! {
                Some(ended) = tasks.join_next() => forget(in_work, &ended),
                () = self.clock.sleep(self.lease / 3) => {
                    passing(self.renew(in_work).await, "leases of jobs could not be renewed");
                }
            }
        }
    }

    /// Does what is due, and what becomes due while it does, until nothing is; tells how many attempts it took.
    pub(crate) async fn drain(&self) -> Result<u64, StoreError> {
        let mut tasks = JoinSet::new();
        let mut in_work = InWork::new();
        let mut attempts = 0;
        loop {
            self.begin(&mut tasks, &mut in_work).await?;
            if tasks.is_empty() {
                return Ok(attempts);
            }
            tokio::select! {
                Some(ended) = tasks.join_next() => {
                    forget(&mut in_work, &ended);
                    attempts += 1;
                }
                () = self.clock.sleep(self.lease / 3) => {
                    passing(self.renew(&mut in_work).await, "leases of jobs could not be renewed");
                }
            }
        }
    }

    /// Enqueues a schedule's job if it is due and nobody else has. One that was not known fires now.
    async fn fire(&self, schedule: &Schedule) -> Result<(), StoreError> {
        let now = stored_now(&*self.clock);
        let mut tx = self.storage.begin(REACH).await?;
        let first = if schedule.later { now + schedule.every } else { now };
        self.jobs.store().schedule(&mut tx, schedule.name, first).await?;
        if self.jobs.store().fire(&mut tx, schedule.name, now, now + schedule.every).await? {
            let job = (schedule.make)(&self.jobs).map_err(|error| StoreError::Backend(error.into()))?;
            self.jobs.insert(&mut tx, &job).await?;
        }
        tx.commit().await
    }

    /// Measures what is left.
    async fn count(&self) -> Result<(), StoreError> {
        let mut conn = self.storage.read(REACH).await?;
        measures::left(&self.jobs.store().counts(&mut conn, COUNT_AT_MOST).await?);
        Ok(())
    }

    /// Takes as many jobs as there is room for.
    async fn begin(&self, tasks: &mut JoinSet<JobId>, in_work: &mut InWork) -> Result<(), StoreError> {
        let room = |kind: &str, most: usize| most - in_work.values().filter(|work| work.kind == kind).count();
        let free: HashMap<&'static str, usize> = self
            .handlers
            .0
            .iter()
            .map(|(kind, (_, most))| (*kind, room(kind, *most)))
            .filter(|(_, room)| *room > 0)
            .collect();
        if free.is_empty() {
            return Ok(());
        }
        let kinds: Vec<&str> = free.keys().copied().collect();
        // After an outage, or a jump of the clock, our own leases may be over: nobody takes a job from themselves.
        let over = stored_now(&*self.clock);
        if in_work.values().any(|work| !work.task.is_finished() && work.hold.is_over(over)) {
            self.renew(in_work).await?;
        }
        let now = stored_now(&*self.clock);
        let due = {
            let mut conn = self.storage.read(REACH).await?;
            self.jobs.store().due(&mut conn, &kinds, now).await?
        };
        for kind in due {
            let Some((&kind, &room)) = free.get_key_value(kind.as_str()) else { continue };
            let room = u32::try_from(room).unwrap_or(u32::MAX);
            let mut tx = self.storage.begin_single(REACH).await?;
            let claimed =
                self.jobs.store().claim(&mut tx, kind, room, &self.owner, now, now + self.lease).await?;
            tx.commit().await?;
            for job in claimed {
                let (id, worker) = (job.id, self.clone());
                let hold = Hold::new(&job, Arc::clone(&self.owner), self.lease);
                let task = tasks.spawn({
                    let hold = hold.clone();
                    async move {
                        worker.attempt(job, hold).await;
                        id
                    }
                });
                in_work.insert(id, Work { kind, hold, task });
            }
        }
        Ok(())
    }

    /// Keeps the leases, and stops work on what somebody else has by now.
    async fn renew(&self, in_work: &mut InWork) -> Result<(), StoreError> {
        let working = |work: &Work| !work.task.is_finished() && !work.hold.is_completed();
        // What is not worked on any more, because its end could not be stored, is left to its lease.
        let ours: Vec<JobId> = in_work.iter().filter(|(_, work)| working(work)).map(|(id, _)| *id).collect();
        let mut tx = self.storage.begin(REACH).await?;
        let until = stored_now(&*self.clock) + self.lease;
        let held: HashSet<JobId> =
            self.jobs.store().renew(&mut tx, &self.owner, &ours, until).await?.into_iter().collect();
        tx.commit().await?;
        for id in &ours {
            let Some(work) = in_work.get(id) else { continue };
            if held.contains(id) {
                work.hold.kept_until(until);
            } else if working(work) {
                tracing::warn!(job.id = %id, job.kind = work.kind, "the lease of a job is lost");
                work.task.abort();
            }
        }
        Ok(())
    }

    /// One attempt, and what becomes of the job.
    async fn attempt(&self, job: StoredJob, hold: Hold) {
        let Some((handler, _)) = self.handlers.0.get(job.kind.as_str()) else { return };
        let attempt = Attempt { job, hold, storage: Arc::clone(&self.storage), jobs: self.jobs.clone() };
        let begun = self.clock.monotonic();
        let result = if attempt.job.is_exhausted() {
            Err(JobError::Hopeless("its last worker was lost".to_owned()))
        } else {
            let run = AssertUnwindSafe(handler.run(&attempt)).catch_unwind().await;
            run.unwrap_or_else(|_| Err(JobError::Retry("its handler panicked".to_owned())))
        };
        let took = self.clock.monotonic().saturating_sub(begun);
        let ended = |outcome| measures::attempt(&attempt.job.kind, outcome, took);
        if attempt.hold.is_completed() {
            return ended(Outcome::Done);
        }
        let written = match result {
            Ok(()) => {
                ended(Outcome::Done);
                self.complete(&attempt).await
            }
            Err(JobError::LeaseLost) => {
                ended(Outcome::LeaseLost);
                Ok(())
            }
            Err(error) if matches!(error, JobError::Hopeless(_)) || attempt.is_last() => {
                ended(Outcome::Dead);
                self.give_up(&attempt, &error).await
            }
            Err(error) => {
                ended(Outcome::Retried);
                self.retry(&attempt, &error).await
            }
        };
        // Nobody has written down how it ended: the lease ends, and it is done again.
        passing(written, "the end of a job could not be stored");
    }

    async fn complete(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let mut tx = self.storage.begin_single(REACH).await?;
        self.jobs.store().complete(&mut tx, &attempt.hold.lease()).await?;
        tx.commit().await
    }

    async fn retry(&self, attempt: &Attempt, error: &JobError) -> Result<(), StoreError> {
        let job = &attempt.job;
        let due_at = self.jobs.next_attempt(job.attempt).max(self.asked_for(error));
        tracing::warn!(job.id = %job.id, job.kind, job.attempt, error = chain(error), "a job failed, and is tried again");
        let mut tx = self.storage.begin_single(REACH).await?;
        self.jobs.store().retry(&mut tx, &attempt.hold.lease(), due_at, &text(error)).await?;
        tx.commit().await
    }

    /// The time before which there is no use in trying.
    fn asked_for(&self, error: &JobError) -> DateTime<Utc> {
        let now = stored_now(&*self.clock);
        match error {
            JobError::RetryAfter(_, wait) => now + (*wait).min(LONGEST_WAIT),
            _ => now,
        }
    }

    async fn give_up(&self, attempt: &Attempt, error: &JobError) -> Result<(), StoreError> {
        let job = &attempt.job;
        let Some((handler, _)) = self.handlers.0.get(job.kind.as_str()) else { return Ok(()) };
        let (store, lease, stays) = (self.jobs.store(), attempt.hold.lease(), handler.stays_dead(job));
        let mut tx = self.storage.begin(REACH).await?;
        let ended = if stays {
            store.bury(&mut tx, &lease, &text(error)).await?
        } else {
            store.complete(&mut tx, &lease).await?
        };
        if !ended {
            return Ok(());
        }
        if let Err(error) = handler.given_up(job, &mut tx).await {
            // Undone with the transaction: it is given up again when its lease ends.
            tracing::warn!(job.id = %job.id, job.kind, error = chain(&error), "a job could not be given up");
            return Ok(());
        }
        tx.commit().await?;
        if stays {
            tracing::error!(job.id = %job.id, job.kind, job.attempt, error = chain(error), "a job is dead: see saas jobs");
        } else {
            tracing::warn!(job.id = %job.id, job.kind, job.attempt, error = chain(error), "a job was given up");
        }
        Ok(())
    }
}

fn text(error: &JobError) -> String {
    saas_core::text::clip(&chain(error), ERROR_MAX)
}

fn forget(in_work: &mut InWork, ended: &Result<JobId, tokio::task::JoinError>) {
    match ended {
        Ok(id) => drop(in_work.remove(id)),
        // Aborted: its lease was lost.
        Err(_) => in_work.retain(|_, work| !work.task.is_finished()),
    }
}

fn passing(result: Result<(), StoreError>, what: &'static str) {
    if let Err(error) = result {
        tracing::warn!(error = chain(&error), "{what}");
    }
}
