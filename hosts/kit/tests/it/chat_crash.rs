//! Killing a process that answers: what its followers saw is kept, every run ends once, and the conversations go on.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use saas_agents::{RunEvent, RunId, RunStatus, ScriptedModel, Speaker};
use saas_auth::SignIn;
use saas_core::{
    Actor, Client, Email, Secret, TenantName,
    clock::ManualClock,
    entropy::{SystemEntropy, random},
};
use saas_kit::{
    Saas, SaasBuilder, SystemClock,
    settings::{Settings, Sources},
    testing::{PASSWORD, TestDatabase, TestWorkers},
};
use saas_sql::RootKey;
use saas_tenancy::Register;

use crate::agents::stage::{ask, assert_whole, key, rest, said, while_time_passes};

const KILLS: u64 = 8;
/// How many conversations the child has under way at once.
const CONVERSATIONS: usize = 4;
/// How many frames the child says at most before it is killed.
const FRAMES: u16 = 60;
const EMAIL: &str = "ada@example.com";
/// Names the child's database; without it the child's test has nothing to do.
const DATABASE: &str = "SAAS_TEST_CHAT_CRASH_DATABASE_URL";
/// How the child says that somebody has seen a frame: the run, its id and its text follow.
const SEEN: &str = "seen ";

/// What the child's followers saw of each run.
type Seen = BTreeMap<String, Vec<(String, String)>>;

on_both_engines! {
    async fn a_killed_process_keeps_what_its_followers_saw_and_its_conversations_go_on(engine: TestEngine) {
        let database = TestDatabase::create(engine).await;
        let opened = builder(database.url()).build().expect("the settings fit");
        opened.migrate().await.expect("a new database migrates");
        let saas = opened.open().await.expect("a migrated database opens");
        let tenant = TenantName::parse("Test Tenant").expect("the name is valid");
        let command = Register::new(address(), Secret::new(PASSWORD.to_owned()), tenant);
        saas.tenancy().register(&anonymous(), command).await.expect("the address is new");
        saas.close().await;

        let mut interrupted = 0;
        for kill in 1..=KILLS {
            let mut seen = Seen::new();
            let mut child = Running::start(database.url());
            for _ in 0..=u16::from_be_bytes(random(&SystemEntropy)) % FRAMES {
                child.see(&mut seen).expect("the child goes on until it is killed");
            }
            child.kill();
            // What it said before it died counts as well.
            while child.see(&mut seen).is_some() {}
            interrupted += check(database.url(), kill, seen).await;
        }
        assert!(interrupted > 0, "no kill was in the middle of an answer");
    }
}

/// The process that is killed; it ends by itself only when it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_chats() {
    let Ok(url) = std::env::var(DATABASE) else { return };
    let clock = Arc::new(SystemClock::default());
    let model = ScriptedModel::new(clock.clone()).with_pace(Duration::from_millis(1));
    let blueprint = builder(&url).clock(clock).chat_model(Arc::new(model)).build().expect("the settings fit");
    let saas = blueprint.open().await.expect("a migrated database opens");
    let _workers = TestWorkers::start(&saas);
    let ada = sign_in(&saas).await;
    let chat = |number| tokio::spawn(chat_forever(saas.clone(), ada.clone(), conversation(number)));
    let tasks: Vec<_> = (0..CONVERSATIONS).map(chat).collect();
    for task in tasks {
        task.await.expect("a task goes on until it is killed");
    }
}

async fn chat_forever(saas: Saas, ada: Actor, conversation: String) {
    loop {
        let run = ask(&saas, &ada, &conversation, "hello").await;
        let mut events = saas.agents().follow(&ada, run.id, 0).await.expect("it is her run");
        while let Some(event) = events.next().await.expect("the log answers") {
            // One write of a short line into a pipe is whole or not there.
            writeln!(std::io::stdout(), "{SEEN}{} {} {}", run.id, event.id, event.data)
                .expect("the parent listens");
        }
    }
}

/// Opens the database as the next process would when the leases are over: every run that was seen ends, as it was seen.
async fn check(url: &str, kill: u64, seen: Seen) -> usize {
    let clock = Arc::new(ManualClock::default());
    clock.set_wall(Utc::now() + TimeDelta::minutes(1));
    let model = ScriptedModel::new(clock.clone()).with_pace(Duration::ZERO);
    let builder = builder(url).clock(clock.clone()).chat_model(Arc::new(model));
    let saas = builder.build().expect("the settings fit").open().await.expect("the database opens again");
    let ada = sign_in(&saas).await;
    let _workers = TestWorkers::start(&saas);
    let agents = saas.agents();
    let mut interrupted = 0;
    for (id, seen) in seen {
        let id: RunId = id.parse().expect("it is a run's id");
        // One that was taken and not begun is due again in a moment.
        let events = agents.follow(&ada, id, 0).await.expect("it is her run");
        let frames = while_time_passes(&clock, rest(events)).await;
        assert_whole(&frames);
        let kept: Vec<_> =
            frames.iter().map(|frame| (frame.id.clone(), frame.data.to_string())).take(seen.len()).collect();
        assert_eq!(kept, seen, "what was seen is kept");
        interrupted += usize::from(assert_stored(&saas, &ada, id, &frames).await);
    }
    for number in 0..CONVERSATIONS {
        let run = ask(&saas, &ada, &conversation(number), &format!("after kill {kill}")).await;
        let events = agents.follow(&ada, run.id, 0).await.expect("it is her run");
        assert_whole(&while_time_passes(&clock, rest(events)).await);
        let run = agents.run(&ada, run.id).await.expect("it is her run");
        assert_eq!(run.status, RunStatus::Completed);
        assert!(run.answer.contains(&format!("after kill {kill}")), "{}", run.answer);
    }
    saas.close().await;
    interrupted
}

/// The run and its message say what its frames say; whether it was interrupted.
async fn assert_stored(saas: &Saas, ada: &Actor, id: RunId, frames: &[RunEvent]) -> bool {
    let run = saas.agents().run(ada, id).await.expect("it is her run");
    assert!(matches!(run.status, RunStatus::Completed | RunStatus::Interrupted), "{run:?}");
    let partial = run.status == RunStatus::Interrupted;
    assert_eq!(run.answer, said(frames));
    assert!(frames.last().is_some_and(|last| last.data.contains(run.status.as_str())));
    let (mut answers, mut after) = (Vec::new(), 0);
    loop {
        let piece = saas.agents().transcript(ada, &key(run.conversation_key.as_str()), after, 500).await;
        let piece = piece.expect("it is her conversation");
        after = piece.messages.last().map_or(after, |last| last.position);
        let of_run =
            |message: &saas_agents::Message| message.run == id && message.speaker == Speaker::Assistant;
        answers
            .extend(piece.messages.into_iter().filter(of_run).map(|message| (message.text, message.partial)));
        if !piece.more {
            break;
        }
    }
    let expected: Vec<_> =
        Some((run.answer, partial)).filter(|(answer, _)| !answer.is_empty()).into_iter().collect();
    assert_eq!(answers, expected);
    partial
}

/// This program again, chatting.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(url: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program is a file"))
            .args(["--exact", "chat_crash::child_chats", "--nocapture"])
            .env(DATABASE, url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let stdout = process.stdout.take().expect("it is piped");
        Self { process, lines: BufReader::new(stdout) }
    }

    /// Notes the next frame that somebody saw; none when the child has ended.
    fn see(&mut self, seen: &mut Seen) -> Option<()> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).expect("the pipe can be read");
            // What is cut off has no end, and was not said.
            let said = line.strip_suffix('\n')?;
            if let Some(frame) = said.strip_prefix(SEEN) {
                let mut words = frame.splitn(3, ' ').map(str::to_owned);
                let mut word = || words.next().expect("a frame has three parts");
                let (run, id, data) = (word(), word(), word());
                seen.entry(run).or_default().push((id, data));
                return Some(());
            }
        }
    }

    fn kill(&mut self) {
        self.process.kill().expect("the child runs");
        let status = self.process.wait().expect("the child can be waited for");
        assert!(!status.success(), "the child had ended before it was killed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is only still there when the test has failed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The product as a server opens it; only hashing is cheap.
fn builder(url: &str) -> SaasBuilder {
    let flags = [
        ("DATABASE_URL", url),
        ("ENVIRONMENT", "test"),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
    Saas::builder(settings).root_key(RootKey::new(&[7; 32]).expect("32 bytes are a root key"))
}

async fn sign_in(saas: &Saas) -> Actor {
    let command = SignIn::new(address(), Secret::new(PASSWORD.to_owned()));
    let tokens = saas.auth().sign_in(&anonymous(), command).await.expect("she is registered");
    let authenticated = saas.auth().authenticate(tokens.access_token.expose(), None, Client::default()).await;
    authenticated.expect("she is signed in").actor
}

fn conversation(number: usize) -> String {
    format!("c{number}")
}

fn address() -> Email {
    Email::parse(EMAIL).expect("the address is valid")
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}
