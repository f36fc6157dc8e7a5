//! The job that finds out where a session was opened, and has its user told of one that may be somebody else's.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::counter;
use saas_auth::{Auth, CommandError, ExamineSession, Session};
use saas_core::{Actor, Fault, GeoLocator, Place, fault::chain};

use crate::jobs::{Attempt, JobError, JobHandler};

/// How many sessions a process examines at once.
pub(crate) const AT_ONCE: usize = 4;

/// How long a place is waited for at most when its source says when to come again: who is to be told of a sign-in is to be told soon.
const PATIENCE: Duration = Duration::from_mins(1);

/// Does [`ExamineSession`].
#[derive(Debug)]
pub(crate) struct Examiner {
    pub(crate) auth: Auth,
    pub(crate) locator: Option<Arc<dyn GeoLocator>>,
}

#[async_trait]
impl JobHandler<ExamineSession> for Examiner {
    async fn run(&self, job: ExamineSession, attempt: &Attempt) -> Result<(), JobError> {
        let Some(session) = self.auth.session(&actor(), job.session).await.map_err(failed)? else {
            return Ok(());
        };
        let place = self.place(&session, attempt).await?;
        let done = self.auth.examined(session.id, place.as_ref(), attempt.hold()).await?;
        if done { Ok(()) } else { Err(JobError::LeaseLost) }
    }
}

impl Examiner {
    /// Where it was opened. A source that does not answer is asked again, and done without in the end.
    async fn place(&self, session: &Session, attempt: &Attempt) -> Result<Option<Place>, JobError> {
        let Some(locator) = &self.locator else { return Ok(None) };
        let Some(address) = self.auth.address_to_locate(session) else { return Ok(None) };
        let located = locator.locate(address).await;
        let outcome = match &located {
            Ok(Some(_)) => "found",
            Ok(None) => "unknown",
            Err(_) => "unavailable",
        };
        counter!("saas_session_places_total", "outcome" => outcome).increment(1);
        let error = match located {
            Ok(place) => return Ok(place),
            Err(error) => error,
        };
        match error.report().retry_after {
            _ if attempt.is_last() => {}
            Some(wait) if wait > PATIENCE => {}
            Some(wait) => return Err(JobError::RetryAfter(chain(&error), wait)),
            None => return Err(JobError::Retry(chain(&error))),
        }
        tracing::warn!(session.id = %session.id, error = chain(&error), "nobody could say where a session was opened");
        Ok(None)
    }
}

fn actor() -> Actor {
    Actor::system("sessions")
}

fn failed(error: CommandError) -> JobError {
    match error {
        CommandError::Store(error) => JobError::Store(error),
        other => JobError::Retry(chain(&other)),
    }
}
