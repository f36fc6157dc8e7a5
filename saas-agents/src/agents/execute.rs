//! The work of a run: asking the model, writing what it says to the event log, and storing the answer before saying that it is over.

use futures_util::{
    StreamExt,
    future::{self, Either},
    pin_mut,
};
use saas_core::{ErrorKind, Fault, Reach, StoreError, Tx, fault::chain, jobs::Hold};

use super::{
    Agents,
    live::{Entry, Stop},
};
use crate::{
    AgentSpec, Finish, Item, ModelError, ModelEvent, ModelRequest, NewMessage, Outcome, Run, RunId,
    RunStatus, Speaker, Usage, frame,
};

/// How many items of memory are read at once.
const MEMORY_ROUND: u32 = 20;
/// How many events of a model that is faster than the log are written as one.
const COALESCED: usize = 256;
/// How often storing an outcome is tried.
const FINISH_TRIES: u32 = 6;

const REACH: Reach = Reach::Platform("runs");

/// An answer in the making.
struct Answer<'a> {
    run: &'a Run,
    /// What its worker has of it.
    hold: &'a Hold,
    text: String,
    items: Vec<Item>,
    usage: Usage,
    /// The number of the last event.
    seq: i64,
}

/// How the asking ended.
enum End {
    Completed,
    Failed(&'static str),
    Stopped(Stop),
}

/// Why a run's work broke off. What the run said by then is in the log; whoever gives its job up ends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// Somebody else has its job by now, and ends it.
    #[error("somebody else has the run's job")]
    LeaseLost,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Agents {
    /// Does a run's work, if its turn has come, for whoever holds its job. When it returns, the run is over or was none to begin, and its job is
    /// completed with that or may be.
    pub async fn execute(&self, id: RunId, hold: &Hold) -> Result<(), ExecuteError> {
        let Some(mut entry) = self.live.enter(id) else { return Ok(()) };
        let Some(run) = self.claim(id, hold).await? else { return Ok(()) };
        let begun = self.ports.clock.monotonic();
        let mut answer = Answer {
            run: &run,
            hold,
            text: String::new(),
            items: Vec::new(),
            usage: Usage::default(),
            seq: 0,
        };
        let end = match self.config.catalogue.get(&run.agent) {
            Some(spec) => self.ask(spec, &mut answer, &mut entry).await?,
            None => End::Failed("unknown_agent"),
        };
        if let Some(status) = self.finish(answer, end).await? {
            let took = self.ports.clock.monotonic().saturating_sub(begun);
            metrics::histogram!("saas_run_duration_seconds", "status" => status.as_str()).record(took);
        }
        Ok(())
    }

    /// Tells every run of this process to stop and be stored as interrupted.
    pub fn stop_all(&self) {
        self.live.stop_all(Stop::Shutdown);
    }

    /// How many runs this process works on.
    pub fn running(&self) -> usize {
        self.live.count()
    }

    /// Takes the run, and writes its message into the conversation.
    async fn claim(&self, id: RunId, hold: &Hold) -> Result<Option<Run>, ExecuteError> {
        let Some(run) = self.found(id).await? else { return Ok(None) };
        let model = self
            .config
            .catalogue
            .get(&run.agent)
            .map_or("", |spec| self.config.models.of(spec.model).as_str());
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        let Some(conversation) = self.ports.conversations.hold(&mut tx, run.tenant, run.conversation).await?
        else {
            return Ok(None);
        };
        let Some(run) = self.ports.runs.claim(&mut tx, id, model).await? else {
            self.pass(tx, id, hold).await?;
            return Ok(None);
        };
        let items = [Item::user(&run.input)];
        let message =
            NewMessage { speaker: Speaker::User, text: &run.input, partial: false, run: id, items: &items };
        self.ports.conversations.add(&mut tx, &conversation, message, now).await?;
        tx.commit().await?;
        Ok(Some(run))
    }

    /// Completes the job of a run that cannot be begun. One that is over needs none, one that waits behind another gets one when that ends,
    /// and one that has begun without this job has lost whoever worked on it.
    async fn pass(&self, mut tx: Tx, id: RunId, hold: &Hold) -> Result<(), ExecuteError> {
        if !self.ports.jobs.complete_in(&mut tx, hold).await? {
            return Err(ExecuteError::LeaseLost);
        }
        if let Some(run) = self.ports.runs.find(tx.conn(), id).await?
            && run.status == RunStatus::Running
        {
            self.interrupt_in(&mut tx, &run).await?;
        }
        Ok(tx.commit().await?)
    }

    pub(super) async fn found(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        self.ports.runs.find(&mut conn, id).await
    }

    /// Asks the model. Being told to stop is heard while the model is waited for, never while an event is being written: what was said
    /// and what is stored are the same.
    async fn ask(
        &self,
        spec: &AgentSpec,
        answer: &mut Answer<'_>,
        entry: &mut Entry,
    ) -> Result<End, ExecuteError> {
        let input = self.history(answer.run).await?;
        if let Some(end) = self.say(answer, "").await? {
            return Ok(end);
        }
        let request =
            ModelRequest::new(self.config.models.of(spec.model).clone(), spec.instructions.clone(), input);
        let mut stream = match unless_stopped(entry, self.ports.model.stream(request)).await {
            Ok(Ok(stream)) => stream.ready_chunks(COALESCED),
            Ok(Err(error)) => return Ok(failed(answer.run, &error)),
            Err(stop) => return Ok(End::Stopped(stop)),
        };
        loop {
            match unless_stopped(entry, stream.next()).await {
                Ok(Some(events)) => {
                    if let Some(end) = self.take(answer, events).await? {
                        return Ok(end);
                    }
                }
                Ok(None) => return Ok(failed(answer.run, &ModelError::Truncated)),
                Err(stop) => return Ok(End::Stopped(stop)),
            }
        }
    }

    /// Takes what the model said at once; texts become one event.
    async fn take(
        &self,
        answer: &mut Answer<'_>,
        events: Vec<Result<ModelEvent, ModelError>>,
    ) -> Result<Option<End>, ExecuteError> {
        let mut said = String::new();
        let mut end = None;
        for event in events {
            match event {
                Ok(ModelEvent::Text(text)) => said.push_str(&text),
                Ok(ModelEvent::Item(item)) => answer.items.push(item),
                Ok(ModelEvent::Done { finish, usage }) => {
                    answer.usage = usage;
                    end = Some(match finish {
                        Finish::Filtered => End::Failed("filtered"),
                        _ => End::Completed,
                    });
                }
                Err(error) => end = Some(failed(answer.run, &error)),
            }
            if end.is_some() {
                break;
            }
        }
        // U+0000 fits into no text column of PostgreSQL.
        let said = said.replace('\0', "\u{fffd}");
        let lost = if said.is_empty() { None } else { self.say(answer, &said).await? };
        Ok(lost.or(end))
    }

    /// Writes one event, durably, as long as the run is ours: a process that hung finds out here that another one has ended it. An answer that
    /// nobody can follow is not gone on with; what of it was said, the log knows.
    async fn say(&self, answer: &mut Answer<'_>, chunk: &str) -> Result<Option<End>, ExecuteError> {
        if answer.hold.is_over(self.now()) && !self.ports.jobs.keep(answer.hold).await? {
            self.forget_removed(answer.run.id).await?;
            return Err(ExecuteError::LeaseLost);
        }
        let run = answer.run;
        let event = frame::chunk(run, answer.seq + 1, chunk);
        if let Err(error) = self.ports.events.append(&run.id.topic(), event).await {
            tracing::warn!(run.id = %run.id, error = chain(&error), "a run could not say what it does");
            (answer.text, answer.seq) = self.said(run).await?;
            return Ok(Some(End::Failed("event_log_unavailable")));
        }
        answer.seq += 1;
        answer.text.push_str(chunk);
        Ok(None)
    }

    /// The latest items that fit the budget, from the beginning of a turn on, oldest first. Read in small rounds: items can be long.
    async fn history(&self, run: &Run) -> Result<Vec<Item>, StoreError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let mut budget = self.config.history_tokens;
        let mut kept: Vec<Item> = Vec::new();
        let mut before = None;
        'reading: loop {
            let round =
                self.ports.conversations.memory(&mut conn, run.conversation, before, MEMORY_ROUND).await?;
            let Some((oldest, _)) = round.last() else { break };
            before = Some(*oldest);
            for (_, item) in round {
                let tokens = item.rough_tokens();
                // The message to answer is always sent.
                if tokens > budget && !kept.is_empty() {
                    break 'reading;
                }
                budget = budget.saturating_sub(tokens);
                kept.push(item);
            }
        }
        while kept.last().is_some_and(|oldest| !oldest.is_user()) {
            kept.pop();
        }
        kept.reverse();
        Ok(kept)
    }

    /// Stores the outcome; what passes by itself is waited for. `None` when the run was removed.
    async fn finish(&self, answer: Answer<'_>, end: End) -> Result<Option<RunStatus>, ExecuteError> {
        let (status, error) = match end {
            End::Completed => (RunStatus::Completed, None),
            End::Failed(code) => (RunStatus::Failed, Some(code)),
            End::Stopped(Stop::Cancel) => (RunStatus::Cancelled, None),
            End::Stopped(_) => (RunStatus::Interrupted, Some("interrupted")),
        };
        let Answer { run, hold, text, items, usage, seq } = answer;
        let outcome = Outcome { status, answer: text, error, usage, final_seq: seq + 1 };
        let mut tries = 0;
        loop {
            match self.store(run, hold, &outcome, &items).await {
                Err(ExecuteError::Store(error))
                    if error.report().kind == ErrorKind::Unavailable && tries < FINISH_TRIES =>
                {
                    tries += 1;
                    self.ports.clock.sleep(std::time::Duration::from_millis(100 << tries)).await;
                }
                done => break done.map(|stored| stored.then_some(status)),
            }
        }
    }

    /// The end of the run and of its job, and the job of the run that waits behind it. `false` when the run was removed.
    async fn store(
        &self,
        run: &Run,
        hold: &Hold,
        outcome: &Outcome,
        items: &[Item],
    ) -> Result<bool, ExecuteError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        // The job first, as who gives it up does: else each could wait for the other.
        if !self.ports.jobs.complete_in(&mut tx, hold).await? {
            drop(tx);
            tracing::info!(run.id = %run.id, "a run was ended by somebody else");
            self.forget_removed(run.id).await?;
            return Err(ExecuteError::LeaseLost);
        }
        if self.ports.conversations.hold(&mut tx, run.tenant, run.conversation).await?.is_none()
            || !self.ports.runs.finish(&mut tx, run.id, outcome, self.now()).await?
        {
            drop(tx);
            self.forget_removed(run.id).await?;
            return Ok(false);
        }
        self.add_answer(&mut tx, run, outcome, items).await?;
        self.enqueue_next(&mut tx, run.tenant, run.conversation).await?;
        tx.commit().await?;
        tracing::info!(run.id = %run.id, run.status = outcome.status.as_str(), run.error = outcome.error, "run ended");
        count_run(outcome.status);
        self.ports.events.wake(&run.id.topic());
        Ok(true)
    }

    /// What a run said after it was removed is removed as well.
    async fn forget_removed(&self, id: RunId) -> Result<(), StoreError> {
        if self.found(id).await?.is_some() {
            return Ok(());
        }
        let removed = self.ports.events.remove(&id.topic()).await;
        removed.map_err(|error| StoreError::Unavailable(Box::new(error)))
    }

    /// The answer as a message, as far as it came. What the model remembers of one that was cut off is its text.
    pub(super) async fn add_answer(
        &self,
        tx: &mut Tx,
        run: &Run,
        outcome: &Outcome,
        items: &[Item],
    ) -> Result<(), StoreError> {
        let complete = outcome.status == RunStatus::Completed;
        if outcome.answer.is_empty() && (items.is_empty() || !complete) {
            return Ok(());
        }
        let Some(conversation) = self.ports.conversations.hold(tx, run.tenant, run.conversation).await?
        else {
            return Ok(());
        };
        let cut_off = [Item::assistant(&outcome.answer)];
        let items = if complete && !items.is_empty() { items } else { &cut_off };
        let message = NewMessage {
            speaker: Speaker::Assistant,
            text: &outcome.answer,
            partial: !complete,
            run: run.id,
            items,
        };
        self.ports.conversations.add(tx, &conversation, message, self.now()).await
    }
}

/// What `work` gives, unless the run is told to stop before.
async fn unless_stopped<T>(entry: &mut Entry, work: impl Future<Output = T>) -> Result<T, Stop> {
    let stopped = entry.stopped();
    pin_mut!(stopped, work);
    match future::select(stopped, work).await {
        Either::Left((stop, _)) => Err(stop),
        Either::Right((done, _)) => Ok(done),
    }
}

/// Counts a run that ended, wherever it did.
pub(super) fn count_run(status: RunStatus) {
    metrics::counter!("saas_runs_total", "status" => status.as_str()).increment(1);
}

fn failed(run: &Run, error: &ModelError) -> End {
    tracing::warn!(run.id = %run.id, error = chain(error), "the model failed");
    let code = error.report().code;
    metrics::counter!("saas_model_errors_total", "code" => code).increment(1);
    End::Failed(code)
}
