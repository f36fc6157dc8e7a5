//! Doing agents' runs: each is a job, and begun once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_trait::async_trait;
use saas_agents::{Agents, ExecuteError, RunJob};
use saas_core::{Clock, Tx, fault::chain, jobs::Job};
use serde::{Deserialize, Serialize};

use crate::jobs::{Attempt, JobError, JobHandler, Schedule};

/// How often cancelled runs are looked for.
const TICK: Duration = Duration::from_secs(1);

/// How often runs are looked for whose job was lost.
const EVERY: Duration = Duration::from_mins(1);

/// Does [`RunJob`]s. What a lost lease leaves is interrupted.
#[derive(Debug)]
pub(crate) struct Runner(pub(crate) Agents);

#[async_trait]
impl JobHandler<RunJob> for Runner {
    async fn run(&self, job: RunJob, attempt: &Attempt) -> Result<(), JobError> {
        match self.0.execute(job.run, attempt.hold()).await {
            Ok(()) => Ok(()),
            Err(ExecuteError::LeaseLost) => Err(JobError::LeaseLost),
            Err(ExecuteError::Store(error)) => Err(error.into()),
            Err(error) => Err(JobError::Retry(chain(&error))),
        }
    }

    async fn given_up(&self, job: RunJob, tx: &mut Tx) -> Result<(), JobError> {
        Ok(self.0.give_up_in(tx, job.run).await?)
    }

    fn stop(&self) -> bool {
        self.0.stop_all();
        true
    }
}

/// Finds runs without a job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecoverRuns {}

impl Job for RecoverRuns {
    const KIND: &'static str = "agents.recover";
}

/// A minute after the first start, and each minute from then on.
pub(crate) fn schedule() -> Schedule {
    Schedule::new("agents.recover", EVERY, RecoverRuns {}).later()
}

/// Does [`RecoverRuns`].
#[derive(Debug)]
pub(crate) struct Recoverer(pub(crate) Agents);

#[async_trait]
impl JobHandler<RecoverRuns> for Recoverer {
    async fn run(&self, _: RecoverRuns, _: &Attempt) -> Result<(), JobError> {
        Ok(self.0.recover().await?)
    }
}

/// Hears which of this process's runs somebody has cancelled elsewhere; failures pass, the next round tries again.
pub(crate) async fn hear_cancellations(agents: Agents, clock: Arc<dyn Clock>) -> Infallible {
    loop {
        if let Err(error) = agents.stop_cancelled().await {
            tracing::warn!(error = chain(&error), "cancelled runs could not be looked for");
        }
        clock.sleep(TICK).await;
    }
}
