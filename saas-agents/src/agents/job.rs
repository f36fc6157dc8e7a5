//! The job that a run is done in.

use saas_core::{
    StoreError, TenantId, Tx,
    jobs::{Job, NewJob},
};
use serde::{Deserialize, Serialize};

use super::Agents;
use crate::{ConversationId, RunId};

/// Has a run worked on. Whoever does it calls [`Agents::execute`], and [`Agents::give_up_in`] when it is given up.
///
/// A run whose turn it is has one of these, which is there until the run ends. It is begun once: what a model was asked and has begun to say
/// cannot be asked and said again. A run that waits behind another one has none; the end of that one leaves it behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunJob {
    /// The run.
    pub run: RunId,
}

impl Job for RunJob {
    const KIND: &'static str = "agents.run";
    const MAX_ATTEMPTS: i64 = 1;
    // The run says how it ended.
    const STAYS_DEAD: bool = false;
}

impl Agents {
    /// Has the run of the conversation worked on whose turn it is, if there is one. The conversation is held.
    pub(super) async fn enqueue_next(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        conversation: ConversationId,
    ) -> Result<(), StoreError> {
        let Some(next) = self.ports.runs.next(tx.conn(), conversation).await? else { return Ok(()) };
        let job = self.job(tenant, next)?;
        self.ports.jobs.insert(tx, &job).await.map(drop)
    }

    /// A run's job: of several there is one at a time.
    pub(super) fn job(&self, tenant: TenantId, run: RunId) -> Result<NewJob, StoreError> {
        let job = self.ports.jobs.prepare(&RunJob { run });
        let job = job.map_err(|error| StoreError::Backend(error.into()))?;
        Ok(job.in_tenant(tenant).unique(run.to_string()))
    }
}
