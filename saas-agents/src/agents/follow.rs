//! Following a run: from its beginning or from any event on, to its one terminal event.

use std::{collections::VecDeque, sync::Arc};

use futures_util::FutureExt;
use saas_core::{
    Actor, Event, EventLogError, Permission, Reach, TenantId,
    audit::{AuditEvent, AuditSubject},
};

use super::{Agents, AgentsError, execute::count_run, live::Stop};
use crate::{Run, RunId, RunStatus, audited::RUN_CANCELLED, frame};

/// How many events are read at once.
const READ: u32 = 200;

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// `<attempt>.<seq>`, for `id:` and `Last-Event-ID`.
    pub id: String,
    /// The frame, as JSON.
    pub data: Arc<str>,
    /// Whether nothing comes after it.
    pub terminal: bool,
}

/// The events of a run, in order, each once. Dropping it changes nothing for the run.
#[derive(Debug)]
pub struct RunEvents {
    agents: Agents,
    tenant: TenantId,
    run: Run,
    cursor: i64,
    read: VecDeque<Event>,
    over: bool,
}

impl Agents {
    /// A run of the actor's own.
    pub async fn run(&self, actor: &Actor, id: RunId) -> Result<Run, AgentsError> {
        let user = self.allowed(actor, &Permission::CONVERSATIONS_READ)?;
        let mut conn = self.ports.storage.read(Reach::Tenant(user.tenant)).await?;
        let run = self.ports.runs.by_id(&mut conn, user.tenant, id).await?;
        run.filter(|run| run.user == user.user).ok_or(AgentsError::RunNotFound)
    }

    /// Follows a run of the actor's own, from the event after number `after` on.
    ///
    /// The events of a run are kept for a while after its end. Who would miss some is told at once, as [`AgentsError::EventsTrimmed`].
    pub async fn follow(&self, actor: &Actor, id: RunId, after: i64) -> Result<RunEvents, AgentsError> {
        let run = self.run(actor, id).await?;
        let mut events = RunEvents {
            agents: self.clone(),
            tenant: run.tenant,
            over: run.final_seq.is_some_and(|last| after >= last),
            run,
            cursor: after.max(0),
            read: VecDeque::new(),
        };
        // What waits for its turn has said nothing yet.
        if !events.over && events.run.status != RunStatus::Queued {
            events.fill().await?;
        }
        Ok(events)
    }

    /// Asks a run of the actor's own to stop; what it said is kept. One that is over stays as it is.
    pub async fn cancel(&self, actor: &Actor, id: RunId) -> Result<Run, AgentsError> {
        self.allowed(actor, &Permission::CONVERSATIONS_WRITE)?;
        let run = self.run(actor, id).await?;
        if run.status.is_final() {
            return Ok(run);
        }
        let mut tx = self.ports.storage.begin(Reach::Tenant(run.tenant)).await?;
        if self.ports.conversations.hold(&mut tx, run.tenant, run.conversation).await?.is_none() {
            return Err(AgentsError::RunNotFound);
        }
        let was_next = self.ports.runs.next(tx.conn(), run.conversation).await? == Some(id);
        let ended = self.ports.runs.cancel(&mut tx, id, self.now()).await?;
        if ended && was_next {
            self.enqueue_next(&mut tx, run.tenant, run.conversation).await?;
        }
        let event = AuditEvent::new(RUN_CANCELLED).in_tenant(run.tenant).about(AuditSubject::new("run", id));
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        self.live.stop(id, Stop::Cancel);
        if ended {
            count_run(RunStatus::Cancelled);
            self.ports.events.wake(&id.topic());
        }
        self.run(actor, id).await
    }
}

impl RunEvents {
    /// The run as it was when it was last looked at.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The next event; `None` after the terminal one, or when the run was removed. It may be dropped while it waits, and loses nothing.
    ///
    /// Who is so slow that what comes next is not kept any more is told so: [`AgentsError::EventsTrimmed`].
    pub async fn next(&mut self) -> Result<Option<RunEvent>, AgentsError> {
        loop {
            if self.over {
                return Ok(None);
            }
            if let Some(event) = self.read.pop_front() {
                self.cursor = event.seq;
                return Ok(Some(self.event(event, false)));
            }
            if self.fill().await? {
                continue;
            }
            // Nothing more to read: is it over? The run is read again, and the log once more after it.
            if self.run.final_seq.is_none() {
                let topic = self.run.id.topic();
                // Waiting begins before the look: a run that ends between the two wakes who waits already, and nobody else.
                let mut changed = self.agents.ports.events.changed(&topic, self.cursor);
                let has_changed = (&mut changed).now_or_never().is_some();
                match self.look().await? {
                    None => {
                        drop(changed);
                        self.over = true;
                        return Ok(None);
                    }
                    Some(run) if run.final_seq.is_none() => {
                        if !has_changed {
                            changed.await;
                        }
                    }
                    Some(run) => {
                        drop(changed);
                        self.run = run;
                    }
                }
                continue;
            }
            self.over = true;
            let end = frame::terminal(&self.run);
            return Ok(end.map(|event| self.event(event, true)));
        }
    }

    /// Reads ahead; whether anything came. Events at or past the terminal one's number were never said.
    async fn fill(&mut self) -> Result<bool, AgentsError> {
        let last = self.run.final_seq.unwrap_or(i64::MAX);
        if self.cursor >= last - 1 {
            return Ok(false);
        }
        let read = self.agents.ports.events.read(&self.run.id.topic(), self.cursor, READ).await;
        let events = read.map_err(|error| match error {
            EventLogError::Trimmed { oldest } => {
                AgentsError::EventsTrimmed { after: self.id(oldest.min(last) - 1) }
            }
            error => error.into(),
        })?;
        self.read.extend(events.into_iter().filter(|event| event.seq < last));
        Ok(!self.read.is_empty())
    }

    async fn look(&self) -> Result<Option<Run>, AgentsError> {
        let mut conn = self.agents.ports.storage.read(Reach::Tenant(self.tenant)).await?;
        Ok(self.agents.ports.runs.by_id(&mut conn, self.tenant, self.run.id).await?)
    }

    fn event(&self, event: Event, terminal: bool) -> RunEvent {
        RunEvent { id: self.id(event.seq), data: event.data, terminal }
    }

    fn id(&self, seq: i64) -> String {
        let attempt = if self.run.status == RunStatus::Queued { 1 } else { self.run.attempt.max(1) };
        format!("{attempt}.{seq}")
    }
}
