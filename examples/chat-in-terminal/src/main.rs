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
    Agents, AgentsConfig, AgentsPorts, ConversationKey, ModelName, Models, RunId, RunLauncher, RunOwner,
    ScriptedModel, StartRun,
};
use saas_agents_sql::{AGENTS, SqlConversations, SqlRuns};
use saas_core::{
    Actor, Audit, Client, Clock, Keyring, Role, Storage,
    actor::{Principal, UserPrincipal},
    entropy::SystemEntropy,
    id::uuid_v7,
};
use saas_sql::{SqlAudit, SqlEventLog, SqlOptions, SqlStorage};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Stdout, stdin, stdout},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

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

/// Nor does one start tasks: it says which run is to be worked on, and the program sees to it.
#[derive(Debug)]
struct Tasks(UnboundedSender<RunId>);

#[async_trait]
impl RunLauncher for Tasks {
    async fn launch(&self, run: RunId) {
        // While the program ends nobody listens any more; what is left waits in the file.
        let _ = self.0.send(run);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| std::env::temp_dir().join("chat-in-terminal.db"));
    let (agents, launches, owner) = open(&format!("sqlite:{}", file.display())).await?;
    // Should the last start have been killed, its runs end here.
    agents.recover().await?;
    tokio::spawn(work(agents.clone(), launches, owner));
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

/// The service over SQLite and the scripted model, what it launches, and who works on that.
async fn open(url: &str) -> Result<(Agents, UnboundedReceiver<RunId>, RunOwner), Box<dyn Error>> {
    let clock = Arc::new(SystemClock(Instant::now()));
    let entropy = Arc::new(SystemEntropy);
    let storage = SqlStorage::open(&SqlOptions::new(url)?).await?;
    storage.migrate(&[saas_sql::CORE, AGENTS], &*clock).await?;
    let (events, writer) = SqlEventLog::new(storage.clone(), clock.clone());
    tokio::spawn(writer.future);
    let (sender, launches) = unbounded_channel();
    let owner = RunOwner::new(uuid_v7(&*clock, &*entropy).to_string());
    let storage: Arc<dyn Storage> = Arc::new(storage);
    // Who did what is written down, but nobody verifies it here: its keys end with the program.
    let keys = Keyring::generate(&*entropy);
    let audit = Audit::new(storage.clone(), Arc::new(SqlAudit), keys, clock.clone(), entropy.clone());
    let ports = AgentsPorts {
        storage,
        conversations: Arc::new(SqlConversations),
        runs: Arc::new(SqlRuns),
        audit,
        events: Arc::new(events),
        model: Arc::new(ScriptedModel::new(clock.clone())),
        launcher: Arc::new(Tasks(sender)),
        clock,
        entropy,
    };
    let config = AgentsConfig::new(Models::all(&ModelName::new("scripted")));
    Ok((Agents::new(ports, config), launches, owner))
}

/// A task for every run. (A program that shares its database would also call `Agents::renew` and `Agents::recover` now and then.)
async fn work(agents: Agents, mut launches: UnboundedReceiver<RunId>, owner: RunOwner) {
    while let Some(run) = launches.recv().await {
        let (agents, owner) = (agents.clone(), owner.clone());
        tokio::spawn(async move { agents.execute(run, &owner).await });
    }
}

/// Whoever sits at the terminal: without accounts the program says who that is.
fn me() -> Result<Actor, saas_core::id::InvalidId> {
    let user = UserPrincipal {
        user: "01890a5d-ac96-774b-bcce-b302099a8057".parse()?,
        tenant: "01890a5d-ac96-774b-bcce-b302099a8058".parse()?,
        session: "01890a5d-ac96-774b-bcce-b302099a8059".parse()?,
        role: Role::Owner,
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
