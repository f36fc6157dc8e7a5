//! What ends runs that nobody wants any more, and those whose process is gone.

use std::sync::Arc;

use saas_core::{Reach, StoreError, Tx};

use super::{Agents, execute::count_run, live::Stop};
use crate::{Outcome, Run, RunId, RunStatus, Usage, frame};

/// How many runs are looked at in one round.
const ROUND: u32 = 100;
const REACH: Reach = Reach::Platform("runs");

impl Agents {
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

    /// What is to be done when a run's job is given up, in the transaction that says so: a run that had begun is interrupted, with what it said
    /// kept; one that had not is enqueued again.
    pub async fn give_up_in(&self, tx: &mut Tx, id: RunId) -> Result<(), StoreError> {
        let Some(run) = self.ports.runs.find(tx.conn(), id).await? else { return Ok(()) };
        if self.ports.conversations.hold(tx, run.tenant, run.conversation).await?.is_none() {
            return Ok(());
        }
        // As it is now that nobody else changes it.
        match self.ports.runs.find(tx.conn(), id).await? {
            Some(run) if run.status == RunStatus::Running => self.interrupt_in(tx, &run).await,
            Some(run) if run.status == RunStatus::Queued => {
                // Not at once: whatever was wrong may still be.
                let job = self.job(run.tenant, run.id)?.due_at(self.ports.jobs.next_attempt(1));
                self.ports.jobs.insert(tx, &job).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Sees to it that every run that has begun or whose turn it is has a job: one whose job was lost, by an operator's hand or because an
    /// earlier release knew none, is found by this. To be called once a minute, by one of all processes.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let round = {
                let mut conn = self.ports.storage.read(REACH).await?;
                self.ports.runs.under_way(&mut conn, after, ROUND).await?
            };
            let Some((last, _)) = round.last() else { return Ok(()) };
            after = Some(*last);
            for (run, tenant) in round {
                let job = self.job(tenant, run)?;
                let mut tx = self.ports.storage.begin_single(REACH).await?;
                let missing = self.ports.jobs.insert(&mut tx, &job).await?;
                tx.commit().await?;
                if missing {
                    tracing::warn!(run.id = %run, "a run had no job");
                }
            }
        }
    }

    /// Ends a run whose process is gone. The conversation is held, and the run's job is ours or gone.
    ///
    /// The log is read within the transaction: what was said until the job changed hands counts.
    pub(super) async fn interrupt_in(&self, tx: &mut Tx, run: &Run) -> Result<(), StoreError> {
        let (answer, last) = self.said(run).await?;
        let outcome = Outcome {
            status: RunStatus::Interrupted,
            answer,
            error: Some("interrupted"),
            usage: Usage::default(),
            final_seq: last + 1,
        };
        if !self.ports.runs.finish(tx, run.id, &outcome, self.now()).await? {
            return Ok(());
        }
        self.add_answer(tx, run, &outcome, &[]).await?;
        self.enqueue_next(tx, run.tenant, run.conversation).await?;
        let (events, id) = (Arc::clone(&self.ports.events), run.id);
        tx.after_commit(move || {
            tracing::warn!(run.id = %id, "a run was interrupted: its process is gone");
            count_run(RunStatus::Interrupted);
            events.wake(&id.topic());
        });
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
