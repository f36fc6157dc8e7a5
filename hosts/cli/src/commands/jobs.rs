//! `saas jobs`: what is left to do, and what could not be done.

use saas_core::jobs::{JobFilter, JobId, JobState, JobsError, StoredJob};
use saas_kit::Saas;
use serde::Serialize;
use serde_json::Value;

use super::{date, operator};
use crate::{
    arguments::{Jobs, ListJobs, State},
    context::Context,
    failure::{Exit, Failure},
    output,
    text::{pairs, table},
};

pub(crate) fn run(context: &Context, command: &Jobs) -> Result<(), Failure> {
    match command {
        Jobs::List(arguments) => list(context, arguments),
        Jobs::Show(which) => one(context, async |saas| saas.jobs().job(&operator(), which.id).await),
        Jobs::Retry(which) => one(context, async |saas| saas.jobs().retry(&operator(), which.id).await),
        Jobs::Cancel(which) => cancel(context, which.id),
        Jobs::Drain => drain(context),
    }
}

#[derive(Serialize)]
struct JobView {
    id: String,
    kind: String,
    state: &'static str,
    attempt: i64,
    max_attempts: i64,
    due_at: String,
    created_at: String,
    tenant_id: Option<String>,
    unique_key: Option<String>,
    owner: Option<String>,
    version: i64,
    payload: Value,
    error: Option<String>,
}

impl From<&StoredJob> for JobView {
    fn from(job: &StoredJob) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind.clone(),
            state: job.state.as_str(),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            due_at: date(job.due_at),
            created_at: date(job.created_at),
            tenant_id: job.tenant.map(|tenant| tenant.to_string()),
            unique_key: job.unique_key.clone(),
            owner: job.owner.clone(),
            version: job.version,
            payload: serde_json::from_str(&job.payload).unwrap_or_else(|_| job.payload.as_str().into()),
            error: job.error.clone(),
        }
    }
}

impl JobView {
    fn attempts(&self) -> String {
        format!("{} of {}", self.attempt, self.max_attempts)
    }
}

#[derive(Serialize)]
struct Listed {
    jobs: Vec<JobView>,
    next: Option<String>,
}

fn list(context: &Context, arguments: &ListJobs) -> Result<(), Failure> {
    let state = arguments.state.map(|state| match state {
        State::Waiting => JobState::Waiting,
        State::Running => JobState::Running,
        State::Dead => JobState::Dead,
    });
    let filter = JobFilter { state, kind: arguments.kind.clone() };
    let page = context.with_saas(async |saas| {
        let page = saas.jobs().list(&operator(), &filter, arguments.after.as_ref(), arguments.limit).await;
        page.map_err(Failure::fault)
    })?;
    let next = page.next.map(|cursor| cursor.as_str().to_owned());
    let listed = Listed { jobs: page.items.iter().map(JobView::from).collect(), next };
    context.out().data(&listed, |listed| {
        let row = |job: &JobView| [job.id.clone(), job.state.to_owned(), job.attempts(), job.kind.clone()];
        table(["ID", "STATE", "ATTEMPTS", "KIND"], &listed.jobs.iter().map(row).collect::<Vec<_>>())
    })?;
    if let (false, Some(next)) = (context.out().is_json(), &listed.next) {
        output::say(&format!("there are more: saas jobs list --after {next}"));
    }
    Ok(())
}

#[derive(Serialize)]
struct Shown {
    job: JobView,
}

fn one(
    context: &Context,
    command: impl AsyncFnOnce(&Saas) -> Result<StoredJob, JobsError>,
) -> Result<(), Failure> {
    let job = context.with_saas(async |saas| command(saas).await.map_err(Failure::fault))?;
    context.out().data(&Shown { job: (&job).into() }, |Shown { job }| {
        let (attempts, payload) = (job.attempts(), job.payload.to_string());
        let mut lines = vec![
            ("job", job.id.as_str()),
            ("kind", job.kind.as_str()),
            ("state", job.state),
            ("attempts", attempts.as_str()),
            ("due", job.due_at.as_str()),
            ("created", job.created_at.as_str()),
            ("payload", payload.as_str()),
        ];
        let more = [
            ("tenant", &job.tenant_id),
            ("key", &job.unique_key),
            ("owner", &job.owner),
            ("error", &job.error),
        ];
        lines.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        pairs(lines)
    })
}

#[derive(Serialize)]
struct Cancelled {
    cancelled: JobView,
}

fn cancel(context: &Context, id: JobId) -> Result<(), Failure> {
    let job =
        context.with_saas(async |saas| saas.jobs().cancel(&operator(), id).await.map_err(Failure::fault))?;
    context.out().data(&Cancelled { cancelled: (&job).into() }, |Cancelled { cancelled }| {
        pairs([("cancelled", cancelled.id.as_str()), ("kind", cancelled.kind.as_str())])
    })
}

#[derive(Serialize)]
struct Drained {
    attempts: u64,
    waiting: i64,
    running: i64,
    dead: i64,
}

fn drain(context: &Context) -> Result<(), Failure> {
    let drained = context.with_saas(async |saas| {
        let attempts = saas.drain_jobs().await.map_err(Failure::fault)?;
        let counts = saas.jobs().counts(&operator()).await.map_err(Failure::fault)?;
        let left = |state| counts.iter().filter(|(_, of, _)| *of == state).map(|(_, _, count)| count).sum();
        Ok(Drained {
            attempts,
            waiting: left(JobState::Waiting),
            running: left(JobState::Running),
            dead: left(JobState::Dead),
        })
    })?;
    context.out().data(&drained, |drained| {
        let [attempts, waiting, running, dead] = [
            drained.attempts.to_string(),
            drained.waiting.to_string(),
            drained.running.to_string(),
            drained.dead.to_string(),
        ];
        pairs([
            ("attempts", attempts.as_str()),
            ("waiting", waiting.as_str()),
            ("running", running.as_str()),
            ("dead", dead.as_str()),
        ])
    })?;
    if drained.dead > 0 {
        Err(Failure::new(
            Exit::ActionRequired,
            "dead_jobs",
            "dead jobs are left: see saas jobs list --state dead",
        ))
    } else {
        Ok(())
    }
}
