//! What keeps runs alive, and what ends those whose process is gone.

use saas_core::{Reach, StoreError, fault::chain};

use super::{Agents, execute::count_run, live::Stop};
use crate::{Outcome, Run, RunOwner, RunStatus, Usage, frame};

/// How many runs are looked at in one round.
const ROUND: u32 = 100;
const REACH: Reach = Reach::Platform("runs");

impl Agents {
    /// Keeps the leases of the runs that this process works on; one whose work broke off is not among them. To be called three times
    /// within a lease, at least.
    pub async fn renew(&self, owner: &RunOwner) -> Result<(), StoreError> {
        let runs = self.live.runs();
        if runs.is_empty() {
            return Ok(());
        }
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.ports.runs.renew(&mut tx, owner, &runs, self.now() + self.config.lease).await?;
        tx.commit().await
    }

    /// Stops this process's runs whose owners asked for it elsewhere, or removed them, and those that another process took for gone. To be
    /// called once a second.
    pub async fn stop_cancelled(&self) -> Result<(), StoreError> {
        let runs = self.live.runs();
        if runs.is_empty() {
            return Ok(());
        }
        let mut conn = self.ports.storage.read(REACH).await?;
        let go_on = self.ports.runs.to_go_on(&mut conn, &runs).await?;
        for run in runs.into_iter().filter(|run| !go_on.contains(run)) {
            self.live.stop(run, Stop::Cancel);
        }
        Ok(())
    }

    /// Ends runs whose process is gone, with what they said kept, and launches those that wait with nothing before them.
    ///
    /// A run that this process works on is not gone, whatever its lease says after an outage or a jump of the clock.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let expired = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.runs.expired(&mut conn, self.now(), ROUND).await?
        };
        let ours = self.live.runs();
        for run in expired.iter().filter(|run| !ours.contains(&run.id)) {
            if let Err(error) = self.interrupt(run).await {
                // The others are not to wait for it.
                tracing::warn!(run.id = %run.id, error = chain(&error), "a lost run could not be ended");
            }
        }
        let due = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.runs.due(&mut conn, ROUND).await?
        };
        for run in due {
            self.ports.launcher.launch(run).await;
        }
        Ok(())
    }

    async fn interrupt(&self, run: &Run) -> Result<(), StoreError> {
        let (answer, last) = self.said(run).await?;
        let outcome = Outcome {
            status: RunStatus::Interrupted,
            answer,
            error: Some("interrupted"),
            usage: Usage::default(),
            final_seq: last + 1,
        };
        let mut tx = self.ports.storage.begin(REACH).await?;
        if self.ports.conversations.hold(&mut tx, run.tenant, run.conversation).await?.is_none()
            || !self.ports.runs.interrupt(&mut tx, run.id, &outcome, self.now()).await?
        {
            return Ok(());
        }
        self.add_answer(&mut tx, run, &outcome, &[]).await?;
        tx.commit().await?;
        tracing::warn!(run.id = %run.id, "a run was interrupted: its process is gone");
        count_run(outcome.status);
        self.ports.events.wake(&run.id.topic());
        Ok(())
    }

    /// What a run said before its process went, and the number of the last event.
    pub(super) async fn said(&self, run: &Run) -> Result<(String, i64), StoreError> {
        let (mut text, mut last) = (String::new(), 0);
        loop {
            let events = self
                .ports
                .events
                .read(&run.id.topic(), last, ROUND)
                .await
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            let Some(newest) = events.last() else { return Ok((text, last)) };
            last = newest.seq;
            text.extend(events.iter().filter_map(frame::chunk_of));
        }
    }
}
