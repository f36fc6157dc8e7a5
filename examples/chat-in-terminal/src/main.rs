//! Agents alone in a plain tokio program: no HTTP, no kit, no accounts. It reads lines and prints the answers as they are made; the
//! conversation is kept in a file and goes on at the next start.

use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{
    Agents, AgentsConfig, AgentsPorts, ConversationKey, ModelName, Models, RunJob, ScriptedModel, StartRun,
};
use saas_agents_sql::{AGENTS, SqlConversations, SqlRuns};
use saas_core::{
    Actor, Audit, Client, Clock, Keyring, Reach, Role, Storage, StoreError,
    actor::{Principal, UserPrincipal},
    clock::stored_now,
    entropy::SystemEntropy,
    id::uuid_v7,
    jobs::{Hold, Job, Jobs, StoredJob},
};
use saas_sql::{SqlAudit, SqlEventLog, SqlJobs, SqlOptions, SqlStorage};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Stdout, stdin, stdout},
    sync::Notify,
};

/// How long a job is the program's. It shares its file with nobody, so no lease is ever renewed.
const LEASE: Duration = Duration::from_hours(24);

const REACH: Reach = Reach::Platform("jobs");

/// A domain crate never reads the machine's clock: the program does.
#[derive(Debug)]
struct SystemClock(Instant);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Nor does one start tasks: every run is a job in the file, and the program does it.
#[derive(Debug, Clone)]
struct Worker {
    agents: Agents,
    storage: Arc<dyn Storage>,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    /// Told when a job was left behind.
    enqueued: Arc<Notify>,
    owner: Arc<str>,
}

impl Worker {
    /// Does what the last start left behind, and then what comes.
    async fn run(self) -> Result<(), StoreError> {
        // Whoever was at it then is gone: its leases are over, whatever they say.
        self.take(stored_now(&*self.clock) + LEASE).await?;
        loop {
            self.enqueued.notified().await;
            self.take(stored_now(&*self.clock)).await?;
        }
    }

    /// A task for every job that is due.
    async fn take(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.storage.begin(REACH).await?;
        let store = self.jobs.store();
        let claimed = store.claim(&mut tx, RunJob::KIND, 100, &self.owner, now, now + LEASE).await?;
        tx.commit().await?;
        for job in claimed {
            let worker = self.clone();
            tokio::spawn(async move {
                if let Err(error) = worker.attempt(&job).await {
                    eprintln!("a run could not be ended: {error}");
                }
            });
        }
        Ok(())
    }

    /// A run is begun once: one that was left half-way, or breaks off, ends with what it has said.
    async fn attempt(&self, job: &StoredJob) -> Result<(), StoreError> {
        let Ok(RunJob { run }) = RunJob::read(job.version, &job.payload) else { return Ok(()) };
        let hold = Hold::new(job, Arc::clone(&self.owner), LEASE);
        let done = !job.is_exhausted() && self.agents.execute(run, &hold).await.is_ok();
        if hold.is_completed() {
            return Ok(());
        }
        let mut tx = self.storage.begin(REACH).await?;
        if !self.jobs.complete_in(&mut tx, &hold).await? {
            return Ok(());
        }
        if !done {
            self.agents.give_up_in(&mut tx, run).await?;
        }
        tx.commit().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| std::env::temp_dir().join("chat-in-terminal.db"));
    let worker = open(&format!("sqlite:{}", file.display())).await?;
    let agents = worker.agents.clone();
    tokio::spawn(async move {
        if let Err(error) = worker.run().await {
            eprintln!("nobody answers any more: {error}");
        }
    });
    let (me, key) = (me()?, ConversationKey::parse("terminal")?);
    let mut out = stdout();
    let known = agents.transcript(&me, &key, 0, 500).await.map_or(0, |known| known.messages.len());
    let greeting = format!("{known} messages in {} so far; /quit ends.\n> ", file.display());
    out.write_all(greeting.as_bytes()).await?;
    out.flush().await?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.trim() {
            "/quit" => break,
            "" => {}
            message => answer(&agents, &me, &key, message, &mut out).await?,
        }
        out.write_all(b"> ").await?;
        out.flush().await?;
    }
    Ok(())
}

/// The service over SQLite and the scripted model, and what does its jobs.
async fn open(url: &str) -> Result<Worker, Box<dyn Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock(Instant::now()));
    let entropy = Arc::new(SystemEntropy);
    let storage = SqlStorage::open(&SqlOptions::new(url)?).await?;
    storage.migrate(&[saas_sql::CORE, AGENTS], &*clock).await?;
    let (events, writer) = SqlEventLog::new(storage.clone(), clock.clone());
    tokio::spawn(writer.future);
    let owner = uuid_v7(&*clock, &*entropy).to_string().into();
    let storage: Arc<dyn Storage> = Arc::new(storage);
    // Who did what is written down, but nobody verifies it here: its keys end with the program.
    let keys = Keyring::generate(&*entropy);
    let audit = Audit::new(storage.clone(), Arc::new(SqlAudit), keys, clock.clone(), entropy.clone());
    let enqueued = Arc::new(Notify::new());
    let jobs = {
        let (storage, enqueued) = (storage.clone(), enqueued.clone());
        let wake = Arc::new(move || enqueued.notify_one());
        Jobs::new(storage, Arc::new(SqlJobs), audit.clone(), clock.clone(), entropy.clone(), wake)
    };
    let ports = AgentsPorts {
        storage: storage.clone(),
        conversations: Arc::new(SqlConversations),
        runs: Arc::new(SqlRuns),
        audit,
        events: Arc::new(events),
        model: Arc::new(ScriptedModel::new(clock.clone())),
        jobs: jobs.clone(),
        clock: clock.clone(),
        entropy,
    };
    let config = AgentsConfig::new(Models::all(&ModelName::new("scripted")));
    Ok(Worker { agents: Agents::new(ports, config), storage, jobs, clock, enqueued, owner })
}

/// Whoever sits at the terminal: without accounts the program says who that is.
fn me() -> Result<Actor, saas_core::id::InvalidId> {
    let user = UserPrincipal {
        user: "01890a5d-ac96-774b-bcce-b302099a8057".parse()?,
        tenant: "01890a5d-ac96-774b-bcce-b302099a8058".parse()?,
        session: "01890a5d-ac96-774b-bcce-b302099a8059".parse()?,
        role: Role::Owner,
        email_verified: true,
        permissions: Role::Owner.permissions(),
        authenticated_at: chrono::DateTime::UNIX_EPOCH,
        second_factor: false,
    };
    Ok(Actor { principal: Principal::User(Arc::new(user)), request_id: None, client: Client::default() })
}

/// Asks, and prints the answer as it arrives.
async fn answer(
    agents: &Agents,
    me: &Actor,
    key: &ConversationKey,
    message: &str,
    out: &mut Stdout,
) -> Result<(), Box<dyn Error>> {
    let run = agents.start(me, StartRun::new(message).in_conversation(Some(key.clone()))).await?;
    let mut events = agents.follow(me, run.id, 0).await?;
    while let Some(event) = events.next().await? {
        let frame: serde_json::Value = serde_json::from_str(&event.data)?;
        let text = frame["error"].as_str().or(frame["chunk"].as_str()).unwrap_or_default();
        out.write_all(text.as_bytes()).await?;
        out.flush().await?;
    }
    Ok(out.write_all(b"\n").await?)
}
