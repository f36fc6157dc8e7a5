//! A server of the test's own making: agents without a heartbeat, over ports that fail when they are told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use saas_agents::{Agents, AgentsConfig, AgentsPorts, ModelName, Models, RunId, RunLauncher, RunOwner};
use saas_agents_sql::{SqlConversations, SqlRuns};
use saas_core::{
    Conn, Cut, Event, EventLog, EventLogError, Reach, Storage, StoreError, Topic, TopicState, Tx,
    entropy::SeededEntropy,
};
use saas_sql::{SqlEventLog, SqlStorage};

use super::stage::Chat;

/// What goes wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// No event can be appended.
    pub(super) append: AtomicBool,
    /// No event can be read.
    pub(super) read: AtomicBool,
    /// So many transactions cannot begin.
    pub(super) begin: AtomicUsize,
}

/// The server. Its runs go on when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) agents: Agents,
    pub(super) owner: RunOwner,
    pub(super) faults: Arc<Faults>,
}

#[derive(Debug)]
struct FaultyStorage(SqlStorage, Arc<Faults>);

#[derive(Debug)]
struct FaultyLog(SqlEventLog, Arc<Faults>);

/// The server executes what it launches on tasks.
#[derive(Debug, Default)]
struct Tasks(Mutex<Option<(Agents, RunOwner)>>);

impl Server {
    /// One beside `chat`'s, with its model and its clock.
    pub(super) fn start(chat: &Chat) -> Self {
        let storage = chat.saas().storage().clone();
        let (log, background) = SqlEventLog::new(storage.clone(), chat.test.clock.clone());
        tokio::spawn(background.future);
        let (faults, launcher) = (Arc::new(Faults::default()), Arc::new(Tasks::default()));
        let ports = AgentsPorts {
            storage: Arc::new(FaultyStorage(storage, Arc::clone(&faults))),
            conversations: Arc::new(SqlConversations),
            runs: Arc::new(SqlRuns),
            audit: chat.saas().audit().clone(),
            events: Arc::new(FaultyLog(log, Arc::clone(&faults))),
            model: Arc::new(chat.model.clone()),
            launcher: Arc::<Tasks>::clone(&launcher),
            clock: chat.test.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(99)),
        };
        let models = Models::all(&ModelName::new("played"));
        let (agents, owner) = (Agents::new(ports, AgentsConfig::new(models)), RunOwner::new("the test"));
        *launcher.0.lock().unwrap() = Some((agents.clone(), owner.clone()));
        Self { agents, owner, faults }
    }

    /// One round of its heartbeat.
    pub(super) async fn beat(&self) -> Result<(), StoreError> {
        self.agents.renew(&self.owner).await?;
        self.agents.stop_cancelled().await?;
        self.agents.recover().await
    }
}

#[async_trait]
impl RunLauncher for Tasks {
    async fn launch(&self, run: RunId) {
        let (agents, owner) = self.0.lock().unwrap().clone().expect("the server has started");
        drop(tokio::spawn(async move { agents.execute(run, &owner).await }));
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    async fn read(&self, reach: Reach) -> Result<Conn, StoreError> {
        self.0.read(reach).await
    }

    async fn begin(&self, reach: Reach) -> Result<Tx, StoreError> {
        let left = |left: usize| left.checked_sub(1);
        match self.1.begin.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => Err(StoreError::Unavailable("a test".into())),
            Err(_) => self.0.begin(reach).await,
        }
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    async fn append(&self, topic: &Topic, event: Event) -> Result<(), EventLogError> {
        fails(&self.1.append)?;
        self.0.append(topic, event).await
    }

    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        fails(&self.1.read)?;
        self.0.read(topic, after, limit).await
    }

    async fn changed(&self, topic: &Topic, after: i64) {
        self.0.changed(topic, after).await;
    }

    fn wake(&self, topic: &Topic) {
        self.0.wake(topic);
    }

    async fn remove(&self, topic: &Topic) -> Result<(), EventLogError> {
        self.0.remove(topic).await
    }

    async fn trim(&self, cuts: &[Cut]) -> Result<u64, EventLogError> {
        self.0.trim(cuts).await
    }

    async fn topics(
        &self,
        family: &str,
        after: Option<&Topic>,
        limit: u32,
    ) -> Result<Vec<TopicState>, EventLogError> {
        self.0.topics(family, after, limit).await
    }
}

fn fails(fault: &AtomicBool) -> Result<(), EventLogError> {
    if fault.load(Ordering::SeqCst) { Err(EventLogError::Unavailable("a test".into())) } else { Ok(()) }
}
