//! The job that removes what is kept of a user who is gone.

use async_trait::async_trait;
use saas_agents::{Agents, AgentsError};
use saas_core::{Actor, UserDeleted, fault::chain};

use crate::jobs::{Attempt, JobError, JobHandler};

/// Does [`UserDeleted`].
#[derive(Debug)]
pub(crate) struct Forgetter {
    pub(crate) agents: Agents,
}

#[async_trait]
impl JobHandler<UserDeleted> for Forgetter {
    async fn run(&self, job: UserDeleted, _: &Attempt) -> Result<(), JobError> {
        for tenant in job.tenants {
            let done = self.agents.forget_user(&Actor::system("deletion"), tenant, job.user).await;
            done.map_err(|error| match error {
                AgentsError::Store(error) => JobError::Store(error),
                other => JobError::Retry(chain(&other)),
            })?;
        }
        Ok(())
    }
}
