//! Doing jobs: what handles which kind, and the worker that claims them.

use std::{
    collections::HashMap,
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{
    Conn, InternalError, Reach, Storage, StoreError, TenantId, Tx,
    jobs::{Hold, Job, JobId, Jobs, NewJob, StoredJob, UnreadableJob},
};

mod measures;
mod worker;

pub(crate) use worker::Worker;

/// Does jobs of one kind.
///
/// It may be called twice for one job: a worker can be lost between an effect and the word that it happened. What it writes to the product's
/// storage it writes in a transaction that also [completes](Attempt::complete_in) the job; what it does elsewhere it does under
/// [`Attempt::id`] as idempotency key. A job that was not completed by then is completed when `run` returns.
#[async_trait]
pub trait JobHandler<J: Job>: Debug + Send + Sync + 'static {
    /// Does a job.
    async fn run(&self, job: J, attempt: &Attempt) -> Result<(), JobError>;

    /// Hears that a job is given up, in the transaction that says so: it was tried as often as it may be, or its last worker was lost.
    async fn given_up(&self, _job: J, _tx: &mut Tx) -> Result<(), JobError> {
        Ok(())
    }

    /// Hears that the process stops and waits no longer for the jobs of this kind. `true`: they have heard of it too, and get five seconds
    /// to end by themselves. Those that do not are cut off, and their leases end.
    fn stop(&self) -> bool {
        false
    }
}

/// Why an attempt failed. Its text is stored with the job and shown to operators: no secret, and nothing of a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// It may go well later.
    #[error("{0}")]
    Retry(String),
    /// It may go well later, and not before that time: whoever was asked said so. A day at most.
    #[error("{0}")]
    RetryAfter(String, Duration),
    /// It never will: the job is given up at once.
    #[error("{0}")]
    Hopeless(String),
    /// The storage failed; it may go well later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else has the job by now; what was written in the transaction is undone with it.
    #[error("the lease of the job has ended, and somebody else has it")]
    LeaseLost,
    /// It was written by another release, or is damaged: another release may read it.
    #[error(transparent)]
    Unreadable(#[from] UnreadableJob),
}

/// A handler out of a function, for jobs that nobody misses when they are given up.
///
/// ```
/// use saas_core::jobs::Job;
/// use saas_kit::jobs::{Attempt, JobError, handler};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet { user: saas_core::UserId }
///
/// impl Job for Greet {
///     const KIND: &'static str = "greet";
/// }
///
/// async fn greet(job: Greet, attempt: Attempt) -> Result<(), JobError> {
///     let mut tx = attempt.begin().await?;
///     // … what it writes here is there once …
///     attempt.complete_in(&mut tx).await?;
///     Ok(tx.commit().await?)
/// }
///
/// # fn with(builder: saas_kit::SaasBuilder) -> saas_kit::SaasBuilder {
/// builder.job_handler(4, handler(greet))
/// # }
/// ```
pub fn handler<J, F, Fut>(work: F) -> impl JobHandler<J>
where
    J: Job,
    F: Fn(J, Attempt) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send,
{
    Function(work)
}

struct Function<F>(F);

impl<F> Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<F>())
    }
}

#[async_trait]
impl<J, F, Fut> JobHandler<J> for Function<F>
where
    J: Job,
    F: Fn(J, Attempt) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send,
{
    async fn run(&self, job: J, attempt: &Attempt) -> Result<(), JobError> {
        (self.0)(job, attempt.clone()).await
    }
}

/// One attempt at a job. Cloning shares it.
#[derive(Clone)]
pub struct Attempt {
    job: StoredJob,
    hold: Hold,
    storage: Arc<dyn Storage>,
    jobs: Jobs,
}

impl Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.job.id)
            .field("number", &self.number())
            .finish_non_exhaustive()
    }
}

impl Attempt {
    /// The job's id: the idempotency key of what it does elsewhere.
    pub const fn id(&self) -> JobId {
        self.job.id
    }

    /// Which attempt it is, from 1.
    pub const fn number(&self) -> i64 {
        self.job.attempt
    }

    /// Whether the job is given up when this one fails.
    pub const fn is_last(&self) -> bool {
        self.job.attempt >= self.job.max_attempts
    }

    /// The tenant that the job is for.
    pub const fn tenant(&self) -> Option<TenantId> {
        self.job.tenant
    }

    /// When the job was enqueued.
    pub const fn enqueued_at(&self) -> DateTime<Utc> {
        self.job.created_at
    }

    /// A transaction of the product's storage, to [complete](Attempt::complete_in) the job in.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.storage.begin(self.reach()).await
    }

    /// A connection of the product's storage to read on.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        self.storage.read(self.reach()).await
    }

    fn reach(&self) -> Reach {
        self.job.tenant.map_or(Reach::Platform("a job"), Reach::Tenant)
    }

    /// What a service completes the job with, in a transaction of its own.
    pub const fn hold(&self) -> &Hold {
        &self.hold
    }

    /// What enqueues further jobs.
    pub const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Completes the job with whatever else the transaction writes: both happen or neither, and once. After
    /// [`JobError::LeaseLost`] the transaction is to be dropped.
    pub async fn complete_in(&self, tx: &mut Tx) -> Result<(), JobError> {
        if self.jobs.complete_in(tx, &self.hold).await? { Ok(()) } else { Err(JobError::LeaseLost) }
    }
}

/// A handler whose payload's type is forgotten.
#[async_trait]
trait AnyHandler: Debug + Send + Sync {
    async fn run(&self, attempt: &Attempt) -> Result<(), JobError>;
    async fn given_up(&self, job: &StoredJob, tx: &mut Tx) -> Result<(), JobError>;
    fn stop(&self) -> bool;
    /// Whether the job stays when it is given up: what this release cannot read, another one may.
    fn stays_dead(&self, job: &StoredJob) -> bool;
}

struct Typed<J, H>(H, std::marker::PhantomData<fn() -> J>);

impl<J, H: Debug> Debug for Typed<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl<J: Job, H: JobHandler<J>> AnyHandler for Typed<J, H> {
    async fn run(&self, attempt: &Attempt) -> Result<(), JobError> {
        let job = J::read(attempt.job.version, &attempt.job.payload)?;
        self.0.run(job, attempt).await
    }

    async fn given_up(&self, job: &StoredJob, tx: &mut Tx) -> Result<(), JobError> {
        // What cannot be read is given up without a word.
        let Ok(job) = J::read(job.version, &job.payload) else { return Ok(()) };
        self.0.given_up(job, tx).await
    }

    fn stop(&self) -> bool {
        self.0.stop()
    }

    fn stays_dead(&self, job: &StoredJob) -> bool {
        J::STAYS_DEAD || J::read(job.version, &job.payload).is_err()
    }
}

/// What handles which kind, and how many of a kind at once in a process.
#[derive(Debug, Default, Clone)]
pub(crate) struct Handlers(HashMap<&'static str, (Arc<dyn AnyHandler>, usize)>);

impl Handlers {
    pub(crate) fn add<J: Job>(&mut self, handler: impl JobHandler<J>, at_once: usize) {
        let handler = Typed::<J, _>(handler, std::marker::PhantomData);
        self.0.insert(J::KIND, (Arc::new(handler), at_once.max(1)));
    }

    /// As [`Handlers::add`], unless there is one for the kind.
    pub(crate) fn add_missing<J: Job>(&mut self, handler: impl JobHandler<J>, at_once: usize) {
        if !self.0.contains_key(J::KIND) {
            self.add(handler, at_once);
        }
    }
}

/// Makes a schedule's next job.
type MakeJob = dyn Fn(&Jobs) -> Result<NewJob, InternalError> + Send + Sync;

/// A job that is enqueued again and again, by one process at a time.
#[derive(Clone)]
pub(crate) struct Schedule {
    name: &'static str,
    every: Duration,
    /// Whether it waits for its time before it fires first.
    later: bool,
    make: Arc<MakeJob>,
}

impl Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("name", &self.name)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

impl Schedule {
    /// Under the schedule's name as key: one that is not done yet is not added to.
    pub(crate) fn new<J: Job + Sync>(name: &'static str, every: Duration, job: J) -> Self {
        let make = move |jobs: &Jobs| Ok(jobs.prepare(&job)?.unique(name));
        Self { name, every: every.max(Duration::from_secs(1)), later: false, make: Arc::new(make) }
    }

    /// Not at once: its time passes first.
    pub(crate) fn later(self) -> Self {
        Self { later: true, ..self }
    }
}
