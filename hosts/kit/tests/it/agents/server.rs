//! A server of the test's own making: it does the jobs that it enqueues itself, keeps no lease, gives nothing up, and has ports that fail when
//! they are told to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use saas_agents::{Agents, AgentsConfig, AgentsPorts, ModelName, Models, RunJob};
use saas_agents_sql::{SqlConversations, SqlRuns};
use saas_core::{
    Conn, Cut, Event, EventLog, EventLogError, Reach, Storage, StoreError, Topic, TopicState, Tx,
    clock::{ManualClock, stored_now},
    entropy::SeededEntropy,
    jobs::{Hold, Job, JobStore, Jobs, StoredJob},
};
use saas_sql::{SqlEventLog, SqlJobs, SqlStorage};
use tokio::sync::Notify;

use super::stage::{Chat, LEASE};

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
    pub(super) faults: Arc<Faults>,
}

#[derive(Debug)]
struct FaultyStorage(SqlStorage, Arc<Faults>);

#[derive(Debug)]
struct FaultyLog(SqlEventLog, Arc<Faults>);

impl Server {
    /// One beside `chat`'s, with its model and its clock. Others are not told of its jobs: they find them when they look.
    pub(super) fn start(chat: &Chat) -> Self {
        let (storage, clock) = (chat.saas().storage().clone(), chat.test.clock.clone());
        let (log, background) = SqlEventLog::new(storage.clone(), clock.clone());
        tokio::spawn(background.future);
        let (faults, enqueued) = (Arc::new(Faults::default()), Arc::new(Notify::new()));
        let failing: Arc<dyn Storage> = Arc::new(FaultyStorage(storage.clone(), Arc::clone(&faults)));
        let (audit, entropy) = (chat.saas().audit().clone(), Arc::new(SeededEntropy::new(99)));
        let wake = Arc::clone(&enqueued);
        let jobs = Jobs::new(
            Arc::clone(&failing),
            Arc::new(SqlJobs),
            audit.clone(),
            clock.clone(),
            entropy.clone(),
            Arc::new(move || wake.notify_one()),
        );
        let ports = AgentsPorts {
            storage: failing,
            conversations: Arc::new(SqlConversations),
            runs: Arc::new(SqlRuns),
            audit,
            events: Arc::new(FaultyLog(log, Arc::clone(&faults))),
            model: Arc::new(chat.model.clone()),
            jobs,
            clock: clock.clone(),
            entropy,
        };
        let models = Models::all(&ModelName::new("played"));
        let agents = Agents::new(ports, AgentsConfig::new(models));
        tokio::spawn(work(agents.clone(), storage, clock, enqueued));
        Self { agents, faults }
    }
}

/// Does what is enqueued.
async fn work(agents: Agents, storage: SqlStorage, clock: Arc<ManualClock>, enqueued: Arc<Notify>) {
    loop {
        enqueued.notified().await;
        for job in claim(&storage, &clock, 100).await {
            let agents = agents.clone();
            tokio::spawn(async move {
                let RunJob { run } = RunJob::read(job.version, &job.payload).expect("it is of this release");
                // What breaks off is left to others.
                drop(agents.execute(run, &Hold::new(&job, "the test".into(), LEASE)).await);
            });
        }
    }
}

/// Takes runs' jobs as a worker does.
pub(super) async fn claim(storage: &SqlStorage, clock: &ManualClock, limit: u32) -> Vec<StoredJob> {
    let mut tx = storage.begin(Reach::Platform("test")).await.expect("the database answers");
    let now = stored_now(clock);
    let claimed = SqlJobs.claim(&mut tx, RunJob::KIND, limit, "the test", now, now + LEASE).await;
    tx.commit().await.expect("the database answers");
    claimed.expect("the database answers")
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
