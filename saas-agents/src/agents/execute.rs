//! The work of a run: asking the model, writing what it says to the event log, and storing the answer before saying that it is over.

use futures_util::{
    StreamExt,
    future::{self, Either},
    pin_mut,
};
use saas_core::{ErrorKind, Fault, Reach, StoreError, Tx, fault::chain};

use super::{
    Agents,
    live::{Entry, Stop},
};
use crate::{
    AgentSpec, Finish, Item, ModelError, ModelEvent, ModelRequest, NewMessage, Outcome, Run, RunId, RunOwner,
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
#[derive(Default)]
struct Answer {
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

impl Agents {
    /// Does a run's work, if its turn has come and nobody else does. When it returns, the run is over or somebody else's.
    pub async fn execute(&self, id: RunId, owner: &RunOwner) {
        let Some(mut entry) = self.live.enter(id) else { return };
        let conversation = match self.work(id, owner, &mut entry).await {
            Ok(Some(run)) => run.conversation,
            Ok(None) => return,
            Err(error) => {
                // It is no longer live, so its lease runs out, and whoever recovers runs ends it.
                tracing::warn!(run.id = %id, error = chain(&error), "a run's work broke off");
                return;
            }
        };
        drop(entry);
        self.ports.events.wake(&id.topic());
        let next = async {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.runs.next(&mut conn, conversation).await
        };
        if let Ok(Some(next)) = next.await {
            self.ports.launcher.launch(next).await;
        }
    }

    /// Tells every run of this process to stop and be stored as interrupted.
    pub fn stop_all(&self) {
        self.live.stop_all(Stop::Shutdown);
    }

    /// How many runs this process works on.
    pub fn running(&self) -> usize {
        self.live.count()
    }

    async fn work(&self, id: RunId, owner: &RunOwner, entry: &mut Entry) -> Result<Option<Run>, StoreError> {
        let Some(run) = self.claim(id, owner).await? else { return Ok(None) };
        let begun = self.ports.clock.monotonic();
        let mut answer = Answer::default();
        let end = match self.config.catalogue.get(&run.agent) {
            Some(spec) => self.ask(&run, spec, &mut answer, entry).await?,
            None => End::Failed("unknown_agent"),
        };
        if let Some(status) = self.finish(&run, owner, answer, end).await? {
            let took = self.ports.clock.monotonic().saturating_sub(begun);
            metrics::histogram!("saas_run_duration_seconds", "status" => status.as_str()).record(took);
        }
        Ok(Some(run))
    }

    /// Takes the run, and writes its message into the conversation.
    async fn claim(&self, id: RunId, owner: &RunOwner) -> Result<Option<Run>, StoreError> {
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
        let Some(run) = self.ports.runs.claim(&mut tx, id, owner, model, now + self.config.lease).await?
        else {
            return Ok(None);
        };
        let items = [Item::user(&run.input)];
        let message =
            NewMessage { speaker: Speaker::User, text: &run.input, partial: false, run: id, items: &items };
        self.ports.conversations.add(&mut tx, &conversation, message, now).await?;
        tx.commit().await?;
        Ok(Some(run))
    }

    pub(super) async fn found(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        self.ports.runs.find(&mut conn, id).await
    }

    /// Asks the model. Being told to stop is heard while the model is waited for, never while an event is being written: what was said
    /// and what is stored are the same.
    async fn ask(
        &self,
        run: &Run,
        spec: &AgentSpec,
        answer: &mut Answer,
        entry: &mut Entry,
    ) -> Result<End, StoreError> {
        let input = self.history(run).await?;
        if let Some(end) = self.say(run, answer, "").await? {
            return Ok(end);
        }
        let request =
            ModelRequest::new(self.config.models.of(spec.model).clone(), spec.instructions.clone(), input);
        let mut stream = match unless_stopped(entry, self.ports.model.stream(request)).await {
            Ok(Ok(stream)) => stream.ready_chunks(COALESCED),
            Ok(Err(error)) => return Ok(failed(run, &error)),
            Err(stop) => return Ok(End::Stopped(stop)),
        };
        loop {
            match unless_stopped(entry, stream.next()).await {
                Ok(Some(events)) => {
                    if let Some(end) = self.take(run, answer, events).await? {
                        return Ok(end);
                    }
                }
                Ok(None) => return Ok(failed(run, &ModelError::Truncated)),
                Err(stop) => return Ok(End::Stopped(stop)),
            }
        }
    }

    /// Takes what the model said at once; texts become one event.
    async fn take(
        &self,
        run: &Run,
        answer: &mut Answer,
        events: Vec<Result<ModelEvent, ModelError>>,
    ) -> Result<Option<End>, StoreError> {
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
                Err(error) => end = Some(failed(run, &error)),
            }
            if end.is_some() {
                break;
            }
        }
        // U+0000 fits into no text column of PostgreSQL.
        let said = said.replace('\0', "\u{fffd}");
        let lost = if said.is_empty() { None } else { self.say(run, answer, &said).await? };
        Ok(lost.or(end))
    }

    /// Writes one event, durably. An answer that nobody can follow is not gone on with; what of it was said, the log knows.
    async fn say(&self, run: &Run, answer: &mut Answer, chunk: &str) -> Result<Option<End>, StoreError> {
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

    /// Stores the outcome; what passes by itself is waited for. `None` when somebody else had ended the run.
    async fn finish(
        &self,
        run: &Run,
        owner: &RunOwner,
        answer: Answer,
        end: End,
    ) -> Result<Option<RunStatus>, StoreError> {
        let (status, error) = match end {
            End::Completed => (RunStatus::Completed, None),
            End::Failed(code) => (RunStatus::Failed, Some(code)),
            End::Stopped(Stop::Cancel) => (RunStatus::Cancelled, None),
            End::Stopped(_) => (RunStatus::Interrupted, Some("interrupted")),
        };
        let outcome =
            Outcome { status, answer: answer.text, error, usage: answer.usage, final_seq: answer.seq + 1 };
        let mut tries = 0;
        loop {
            match self.store(run, owner, &outcome, &answer.items).await {
                Err(error) if error.report().kind == ErrorKind::Unavailable && tries < FINISH_TRIES => {
                    tries += 1;
                    self.ports.clock.sleep(std::time::Duration::from_millis(100 << tries)).await;
                }
                done => break done.map(|stored| stored.then_some(status)),
            }
        }
    }

    async fn store(
        &self,
        run: &Run,
        owner: &RunOwner,
        outcome: &Outcome,
        items: &[Item],
    ) -> Result<bool, StoreError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        if self.ports.conversations.hold(&mut tx, run.tenant, run.conversation).await?.is_none()
            || !self.ports.runs.finish(&mut tx, run.id, owner, outcome, self.now()).await?
        {
            drop(tx);
            tracing::info!(run.id = %run.id, "a run was ended by somebody else");
            self.forget_removed(run.id).await?;
            return Ok(false);
        }
        self.add_answer(&mut tx, run, outcome, items).await?;
        tx.commit().await?;
        tracing::info!(run.id = %run.id, run.status = outcome.status.as_str(), run.error = outcome.error, "run ended");
        count_run(outcome.status);
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
