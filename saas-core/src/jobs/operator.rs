//! What an operator may do about jobs.

use super::{JobFilter, JobId, JobState, Jobs, StoredJob};
use crate::{
    Actor, Cursor, ErrorKind, Fault, InvalidCursor, Page, PageSize, Principal, Reach, Report, StoreError, Tx,
    audit::{AuditAction, AuditEvent, JOB_CANCELLED, JOB_RETRIED},
    clock::stored_now,
};

const REACH: Reach = Reach::Platform("an operator's look at jobs");

/// What cursors of a list of jobs are marked with.
fn list(filter: &JobFilter) -> String {
    let state = filter.state.map_or("", JobState::as_str);
    format!("jobs/{state}/{}", filter.kind.as_deref().unwrap_or_default())
}

/// Why something was not done about a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// It is done, was cancelled, or never was.
    #[error("there is no such job: what is done is removed")]
    NotFound,
    /// Only a dead job can be tried again.
    #[error("the job is not dead: it is tried by itself")]
    NotDead,
    /// Somebody is at it.
    #[error("the job runs: wait until it ends, or until its lease does")]
    Runs,
    /// The cursor is of another list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for JobsError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "job_not_found"),
            Self::NotDead => Report::new(ErrorKind::Conflict, "job_not_dead"),
            Self::Runs => Report::new(ErrorKind::Conflict, "job_runs"),
            Self::Cursor(_) => Report::new(ErrorKind::Invalid, "invalid_cursor"),
            Self::Store(error) => error.report(),
        }
    }
}

fn operator(actor: &Actor) -> Result<(), JobsError> {
    if matches!(actor.principal, Principal::System(_)) { Ok(()) } else { Err(JobsError::Forbidden) }
}

impl Jobs {
    /// A page of the jobs that the filter lets through, in the order in which they were enqueued. For operators.
    pub async fn list(
        &self,
        actor: &Actor,
        filter: &JobFilter,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<StoredJob>, JobsError> {
        operator(actor)?;
        let list = list(filter);
        let after = after.map(|cursor| cursor.key(&list)?.parse().map_err(|_| InvalidCursor)).transpose()?;
        let mut conn = self.storage.read(REACH).await?;
        let jobs = self.store.list(&mut conn, filter, after, size.and_one_more()).await?;
        Ok(Page::cut(jobs, size, |job| Cursor::new(&list, &job.id.to_string())))
    }

    /// How many jobs there are of each kind and state. For operators.
    pub async fn counts(&self, actor: &Actor) -> Result<Vec<(String, JobState, i64)>, JobsError> {
        operator(actor)?;
        let mut conn = self.storage.read(REACH).await?;
        Ok(self.store.counts(&mut conn, u32::MAX).await?)
    }

    /// One job. For operators.
    pub async fn job(&self, actor: &Actor, id: JobId) -> Result<StoredJob, JobsError> {
        operator(actor)?;
        let mut conn = self.storage.read(REACH).await?;
        self.store.by_id(&mut conn, id).await?.ok_or(JobsError::NotFound)
    }

    /// Has a dead job tried again, with all its attempts before it. For operators.
    pub async fn retry(&self, actor: &Actor, id: JobId) -> Result<StoredJob, JobsError> {
        operator(actor)?;
        let mut tx = self.storage.begin(REACH).await?;
        let job = self.store.by_id(tx.conn(), id).await?.ok_or(JobsError::NotFound)?;
        if !self.store.revive(&mut tx, id, stored_now(&*self.clock)).await? {
            return Err(JobsError::NotDead);
        }
        let wake = std::sync::Arc::clone(&self.wake);
        tx.after_commit(move || wake());
        self.record(&mut tx, actor, JOB_RETRIED, &job).await?;
        let revived = self.store.by_id(tx.conn(), id).await?.unwrap_or(job);
        tx.commit().await?;
        Ok(revived)
    }

    /// Removes a job that waits or is dead, undone. For operators.
    pub async fn cancel(&self, actor: &Actor, id: JobId) -> Result<StoredJob, JobsError> {
        operator(actor)?;
        let mut tx = self.storage.begin(REACH).await?;
        let job = self.store.by_id(tx.conn(), id).await?.ok_or(JobsError::NotFound)?;
        if !self.store.cancel(&mut tx, id).await? {
            return Err(if job.state == JobState::Running { JobsError::Runs } else { JobsError::NotFound });
        }
        self.record(&mut tx, actor, JOB_CANCELLED, &job).await?;
        tx.commit().await?;
        Ok(job)
    }
    async fn record(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        action: AuditAction,
        job: &StoredJob,
    ) -> Result<(), StoreError> {
        let event = AuditEvent::new(action).in_tenant(job.tenant).about(job.id);
        self.audit.record(tx, actor, event).await.map(drop)
    }
}
