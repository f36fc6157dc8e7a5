//! A model that the test plays, and a user who talks to it.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream;
use saas_agents::{
    ChatModel, ConversationKey, Finish, Item, ModelError, ModelEvent, ModelRequest, ModelStream, Run,
    RunEvent, RunEvents, RunId, RunStatus, Speaker, StartRun, Transcript, Usage,
};
use saas_core::{Actor, Clock, Reach, Storage, clock::ManualClock, entropy::SeededEntropy};
use saas_kit::{
    Saas, SaasBuilder,
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine, TestSaas, TestWorkers},
};
use saas_sql::{RootKey, SqlStorage, fetch_one};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// What every answer of the played model takes.
pub(crate) const USAGE: Usage = Usage { input: 11, cached_input: 3, output: 7, reasoning: 2 };

/// How long a lease is.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// A model whose calls the test takes one by one.
#[derive(Debug, Clone)]
pub(crate) struct PlayedModel {
    calls: UnboundedSender<Call>,
    refusals: Arc<Mutex<VecDeque<ModelError>>>,
}

/// One call of the model. Dropping it cuts the answer off.
#[derive(Debug)]
pub(crate) struct Call {
    /// What it was asked.
    pub(crate) input: Vec<Item>,
    says: UnboundedSender<Result<ModelEvent, ModelError>>,
}

impl PlayedModel {
    pub(crate) fn new() -> (Self, UnboundedReceiver<Call>) {
        let (calls, taken) = mpsc::unbounded_channel();
        (Self { calls, refusals: Arc::default() }, taken)
    }

    /// The next call is answered with an error before there is a stream.
    pub(crate) fn refuse(&self, error: ModelError) {
        self.refusals.lock().unwrap().push_back(error);
    }
}

#[async_trait]
impl ChatModel for PlayedModel {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        if let Some(error) = self.refusals.lock().unwrap().pop_front() {
            return Err(error);
        }
        let (says, said) = mpsc::unbounded_channel();
        // A test that is over takes no calls.
        let _ = self.calls.send(Call { input: request.input, says });
        Ok(Box::pin(stream::unfold(
            said,
            |mut said| async move { said.recv().await.map(|event| (event, said)) },
        )))
    }
}

impl Call {
    /// Says a bit of the answer.
    pub(crate) fn say(&self, text: &str) {
        self.event(ModelEvent::Text(text.to_owned()));
    }

    /// Gives an item of the answer.
    pub(crate) fn item(&self, item: Item) {
        self.event(ModelEvent::Item(item));
    }

    /// Fails.
    pub(crate) fn fail(self, error: ModelError) {
        let _ = self.says.send(Err(error));
    }

    /// Ends the answer.
    pub(crate) fn finish(self, finish: Finish) {
        self.event(ModelEvent::Done { finish, usage: USAGE });
    }

    /// Answers, with the item that the texts add up to.
    pub(crate) fn answer(self, text: &str) {
        self.say(text);
        self.item(Item::assistant(text));
        self.finish(Finish::Complete);
    }

    /// Waits until nobody listens any more.
    pub(crate) async fn dropped(&self) {
        self.says.closed().await;
    }

    /// What it was asked, a line for each item.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.input.iter().map(line).collect()
    }

    /// Whoever stopped listening hears nothing.
    fn event(&self, event: ModelEvent) {
        let _ = self.says.send(Ok(event));
    }
}

/// An item as `user: hello`, or its bytes when it is no message.
fn line(item: &Item) -> String {
    match item.text() {
        Some(text) if item.is_user() => format!("user: {text}"),
        Some(text) => format!("assistant: {text}"),
        None => item.as_json().to_owned(),
    }
}

/// The product with a played model, and Ada, who is signed in.
pub(crate) struct Chat {
    pub(crate) test: TestSaas,
    pub(crate) ada: Actor,
    pub(crate) model: PlayedModel,
    pub(crate) calls: UnboundedReceiver<Call>,
}

impl Chat {
    pub(crate) async fn start(engine: TestEngine) -> Self {
        Self::with_settings(engine, []).await
    }

    pub(crate) async fn with_settings<const N: usize>(
        engine: TestEngine,
        settings: [(&str, &str); N],
    ) -> Self {
        let (model, calls) = PlayedModel::new();
        let port = Arc::new(model.clone());
        let test = TestSaas::with_ports(engine, settings, |builder| builder.chat_model(port)).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let ada = test.actor(&tokens).await;
        Self { test, ada, model, calls }
    }

    pub(crate) fn saas(&self) -> &Saas {
        &self.test.saas
    }

    /// Ada says something in a conversation.
    pub(crate) async fn ask_in(&self, key: &str, message: &str) -> Run {
        ask(self.saas(), &self.ada, key, message).await
    }

    /// Ada says something in the conversation `c`.
    pub(crate) async fn ask(&self, message: &str) -> Run {
        self.ask_in("c", message).await
    }

    /// The next call of the model.
    pub(crate) async fn call(&mut self) -> Call {
        self.calls.recv().await.expect("the model is there")
    }

    /// Ada's message and its call, whose first words she has seen.
    pub(crate) async fn begun(&mut self, message: &str, words: &str) -> (Run, Call, RunEvents) {
        let run = self.ask(message).await;
        let call = self.call().await;
        let mut events = self.follow(&run, 0).await;
        if !words.is_empty() {
            call.say(words);
            until_said(&mut events, words).await;
        }
        (run, call, events)
    }

    /// Ada follows a run.
    pub(crate) async fn follow(&self, run: &Run, after: i64) -> RunEvents {
        self.saas().agents().follow(&self.ada, run.id, after).await.expect("it is her run")
    }

    /// All frames of a run, when it has ended.
    pub(crate) async fn frames(&self, run: &Run) -> Vec<RunEvent> {
        rest(self.follow(run, 0).await).await
    }

    /// A run as it is stored.
    pub(crate) async fn run(&self, id: RunId) -> Run {
        self.saas().agents().run(&self.ada, id).await.expect("it is her run")
    }

    /// A run when it has ended.
    pub(crate) async fn ended(&self, run: &Run) -> Run {
        self.frames(run).await;
        self.run(run.id).await
    }

    /// The messages of the conversation `c`.
    pub(crate) async fn messages(&self) -> Vec<String> {
        messages(self.saas(), &self.ada, "c").await
    }

    /// The next message in the conversation `c` is answered, and the model is asked as expected.
    pub(crate) async fn assert_goes_on(&mut self, history: &[&str]) {
        let run = self.ask("and now?").await;
        let call = self.call().await;
        let expected: Vec<&str> = history.iter().copied().chain(["user: and now?"]).collect();
        assert_eq!(call.asked(), expected);
        assert!(call.input[0].is_user());
        call.answer("now it works");
        let run = self.ended(&run).await;
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, "now it works"));
    }

    /// The workers, to stop or to drop.
    pub(crate) fn take_workers(&mut self) -> TestWorkers {
        self.test.take_workers()
    }

    /// Stops the server; another one on the same database takes its place, and finds what is left to do when it looks.
    pub(crate) async fn replace_server(&mut self, seed: u64) {
        self.take_workers().stop().await;
        let next = self.replica(seed).await;
        self.test.workers = TestWorkers::start(&next);
        self.test.saas = next;
    }

    /// The same, after a message in the conversation `c` has been answered.
    pub(crate) async fn take_workers_after_a_run(&mut self) -> TestWorkers {
        let (run, call, _) = self.begun("hello", "").await;
        call.answer("Good day.");
        self.ended(&run).await;
        self.take_workers()
    }

    /// Ada says something in a conversation and follows the answer.
    pub(crate) async fn follow_new(&self, conversation: &str) -> RunEvents {
        let run = self.ask_in(conversation, "hello").await;
        self.follow(&run, 0).await
    }

    /// Another server on the same database with the same model, without workers.
    pub(crate) async fn replica(&self, seed: u64) -> Saas {
        let clock = Arc::clone(&self.test.clock);
        replica(&self.test.database, clock, seed, |builder| builder.chat_model(Arc::new(self.model.clone())))
            .await
    }

    /// How many rows a query counts, on a connection that is not the product's.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let storage = crate::engines::open(&self.test.database).await;
        let count = count(&storage, query).await;
        storage.close().await;
        count
    }
}

pub(crate) async fn count(storage: &SqlStorage, query: &'static str) -> i64 {
    let mut conn = storage.read(Reach::Platform("test")).await.expect("the database answers");
    fetch_one!(&mut conn, (i64,), query).expect("the database answers").0
}

/// Another server on a database: with the same root key, and a clock and ports of its own.
pub(crate) async fn replica(
    database: &TestDatabase,
    clock: Arc<dyn Clock>,
    seed: u64,
    ports: impl FnOnce(SaasBuilder) -> SaasBuilder,
) -> Saas {
    let flags = [
        ("DATABASE_URL", database.url()),
        ("ENVIRONMENT", "test"),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
    let builder = Saas::builder(settings)
        .clock(clock)
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .root_key(RootKey::new(&[7; 32]).expect("32 bytes are a root key"));
    let blueprint = ports(builder).build().expect("the settings fit");
    blueprint.open().await.expect("a replica opens")
}

pub(crate) fn key(text: &str) -> ConversationKey {
    ConversationKey::parse(text).expect("the key is valid")
}

pub(crate) fn message(conversation: &str, text: &str) -> StartRun {
    StartRun::new(text).in_conversation(Some(key(conversation)))
}

pub(crate) async fn ask(saas: &Saas, actor: &Actor, conversation: &str, text: &str) -> Run {
    saas.agents().start(actor, message(conversation, text)).await.expect("they may ask")
}

pub(crate) async fn transcript(saas: &Saas, actor: &Actor, conversation: &str) -> Transcript {
    let transcript = saas.agents().transcript(actor, &key(conversation), 0, 500).await;
    transcript.expect("it is their conversation")
}

/// The messages of a conversation, as `1 user: hello` and `2 assistant, partial: Hel`.
pub(crate) async fn messages(saas: &Saas, actor: &Actor, conversation: &str) -> Vec<String> {
    let transcript = transcript(saas, actor, conversation).await;
    assert_eq!(transcript.conversation.message_count, i64::try_from(transcript.messages.len()).unwrap());
    let line = |message: saas_agents::Message| {
        let who = if message.speaker == Speaker::User { "user" } else { "assistant" };
        let partial = if message.partial { ", partial" } else { "" };
        format!("{} {who}{partial}: {}", message.position, message.text)
    };
    transcript.messages.into_iter().map(line).collect()
}

/// What a follower still gets, to the end.
pub(crate) async fn rest(mut events: RunEvents) -> Vec<RunEvent> {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await.expect("the log answers") {
        seen.push(event);
    }
    assert_eq!(events.next().await.expect("it is over"), None);
    seen
}

/// Reads until the chunks read add up to `text`.
pub(crate) async fn until_said(events: &mut RunEvents, text: &str) -> Vec<RunEvent> {
    let mut seen = Vec::new();
    while said(&seen) != text {
        let event = events.next().await.expect("the log answers").expect("the run goes on");
        assert!(!event.terminal, "the run ended: {event:?}");
        seen.push(event);
    }
    seen
}

/// The chunks, put together.
pub(crate) fn said(events: &[RunEvent]) -> String {
    let chunk = |event: &RunEvent| {
        let frame: serde_json::Value = serde_json::from_str(&event.data).expect("a frame is JSON");
        frame["chunk"].as_str().expect("a frame has a chunk").to_owned()
    };
    events.iter().map(chunk).collect()
}

/// The frames are numbered from 1 without a gap, the first says nothing, the last and no other is terminal.
pub(crate) fn assert_whole(frames: &[RunEvent]) {
    let ids: Vec<String> = (1..=frames.len()).map(|seq| format!("1.{seq}")).collect();
    assert_eq!(frames.iter().map(|frame| &frame.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    assert_eq!(said(&frames[..1]), "");
    let terminal: Vec<usize> =
        frames.iter().enumerate().filter(|(_, frame)| frame.terminal).map(|(place, _)| place + 1).collect();
    assert_eq!(terminal, [frames.len()]);
    for frame in frames {
        assert_eq!(frame.data.contains("\"is_complete\":true"), frame.terminal, "{frame:?}");
    }
}

/// Lets time go on by so much, slowly enough for heartbeats.
pub(crate) async fn let_pass(clock: &ManualClock, time: Duration) {
    let end = clock.now() + time;
    let passed = async {
        while clock.now() < end {
            tokio::task::yield_now().await;
        }
    };
    while_time_passes(clock, passed).await;
}

/// Lets time go on until `work` is done, slowly enough for heartbeats.
pub(crate) async fn while_time_passes<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    // A machine that is busy must not make up for it: the heartbeats are late as well.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = tick.tick() => clock.advance(Duration::from_millis(50)),
        }
    }
}

/// Somebody else in the same tenant, with the same role.
pub(crate) async fn colleague(test: &TestSaas, of: &Actor, email: &str) -> Actor {
    let stranger = test.register(email).await.user.id;
    let mut principal = of.user().expect("they are signed in").clone();
    principal.user = stranger;
    Actor { principal: saas_core::actor::Principal::User(std::sync::Arc::new(principal)), ..of.clone() }
}
