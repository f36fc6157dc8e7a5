//! What runs beside requests: jobs, agents' runs, their heartbeat, the signing keys' reload, the audit log's sealing, and the loops that adapters need.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use saas_agents::{Agents, RunId, RunLauncher, RunOwner};
use saas_auth::{Auth, keys::KeySet};
use saas_core::{Audit, Background, Clock, FieldCipher};
use tokio::{
    sync::{
        Notify,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
    task::{JoinHandle, JoinSet},
};

use crate::Saas;

/// How often cancelled runs are looked for.
const TICK: Duration = Duration::from_secs(1);
/// How often the audit log is sealed: twice within the second that is promised.
const SEALING: Duration = Duration::from_millis(500);
/// How long one look for changes may take.
const HEARING: Duration = Duration::from_secs(5);
/// How long renewing decisions may take: by then those who use them ask for themselves.
const RENEWING: Duration = Duration::from_secs(5);
/// How long runs that were told to stop get to store what they have.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// [`RunLauncher`] into the workers of this process.
#[derive(Debug, Clone)]
pub(crate) struct Launcher(UnboundedSender<RunId>);

#[async_trait]
impl RunLauncher for Launcher {
    async fn launch(&self, run: RunId) {
        // Without workers here, another process recovers it.
        let _ = self.0.send(run);
    }
}

/// What [`Saas::run_workers`] needs, until it takes it.
#[derive(Debug)]
pub(crate) struct Workers {
    owner: RunOwner,
    launches: UnboundedReceiver<RunId>,
    backgrounds: Vec<Background>,
    changed: Arc<Notify>,
}

/// The workers' place in a handle that is cloned.
#[derive(Debug, Clone)]
pub(crate) struct Parked(Arc<Mutex<Option<Workers>>>);

impl Workers {
    /// A launcher, and the workers that it launches into; they drive the loops too. `changed` says that another process has changed
    /// something that requests are decided by.
    pub(crate) fn new(
        owner: RunOwner,
        backgrounds: Vec<Background>,
        changed: Arc<Notify>,
    ) -> (Launcher, Self) {
        let (sender, launches) = mpsc::unbounded_channel();
        (Launcher(sender), Self { owner, launches, backgrounds, changed })
    }

    /// With a loop of an adapter's.
    pub(crate) fn with(mut self, background: Background) -> Self {
        self.backgrounds.push(background);
        self
    }

    /// Waits to be taken.
    pub(crate) fn parked(self) -> Parked {
        Parked(Arc::new(Mutex::new(Some(self))))
    }
}

impl Saas {
    /// Does the work that goes on beside requests, until `shutdown` ends; then lets runs end within half of
    /// `SHUTDOWN_DEADLINE_SECONDS`, and stores the rest as interrupted.
    ///
    /// Call it once per process and drive it as long as anything is served: chats are answered by it. A second call returns at once.
    pub async fn run_workers(&self, shutdown: impl Future<Output = ()>) {
        let taken = self.parts.workers.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Workers { owner, mut launches, backgrounds, changed }) = taken else {
            tracing::warn!("the workers run already");
            return;
        };
        let mut loops = JoinSet::new();
        for background in backgrounds {
            loops.spawn(supervised(background));
        }
        let (stop, worker) = (Arc::new(Notify::new()), self.parts.worker.clone());
        let patience = self.parts.settings.shutdown_deadline.duration() / 2;
        let stopped = Arc::clone(&stop);
        let jobs = tokio::spawn(async move { worker.run(stopped.notified(), patience).await });
        let jobs = AbortOnDrop(jobs);
        let mut runs = JoinSet::new();
        let heartbeat = heartbeat(self.parts.agents.clone(), Arc::clone(&self.parts.clock), owner.clone());
        loops.spawn(heartbeat);
        loops.spawn(reload_keys(self.parts.auth.clone(), Arc::clone(&self.parts.clock)));
        loops.spawn(reload_data_keys(Arc::clone(&self.parts.fields), Arc::clone(&self.parts.clock)));
        loops.spawn(hear_changes(self.parts.auth.clone(), Arc::clone(&self.parts.clock), changed));
        loops.spawn(renew_decisions(self.parts.auth.clone(), Arc::clone(&self.parts.clock)));
        loops.spawn(seal_audit(self.parts.audit.clone(), Arc::clone(&self.parts.clock)));
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                // One that is not taken now is found again when its turn has come.
                Some(run) = launches.recv(), if runs.len() < self.parts.settings.agent_runs_per_process => {
                    let (agents, owner) = (self.parts.agents.clone(), owner.clone());
                    runs.spawn(async move { agents.execute(run, &owner).await });
                }
                Some(_) = runs.join_next() => {}
            }
        }
        drop(launches);
        stop.notify_one();
        if tokio::time::timeout(patience, drained(&mut runs)).await.is_err() {
            tracing::warn!(
                runs = runs.len(),
                "stopping with runs unfinished: they are stored as interrupted"
            );
            self.parts.agents.stop_all();
            // Whoever recovers runs ends those that do not make it.
            drop(tokio::time::timeout(LAST_WORDS, drained(&mut runs)).await);
        }
        jobs.ended().await;
        loops.shutdown().await;
    }
}

/// A task that ends with who waits for it.
struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    async fn ended(mut self) {
        if (&mut self.0).await.is_err() {
            tracing::error!("the worker of jobs ended before its time");
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn drained(runs: &mut JoinSet<()>) {
    while runs.join_next().await.is_some() {}
}

async fn supervised(background: Background) {
    let name = background.name;
    background.future.await;
    tracing::error!(background = name, "a loop that should not end has ended");
}

/// Hears of rotations within [`KeySet::RELOAD_INTERVAL`]; failures pass, the next round tries again.
async fn reload_keys(auth: Auth, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(KeySet::RELOAD_INTERVAL).await;
        if let Err(error) = auth.reload_signing_keys().await {
            tracing::warn!(error = saas_core::fault::chain(&error), "the signing keys could not be reloaded");
        }
    }
}

/// Hears of new data keys before they are encrypted with; failures pass, the next round tries again.
async fn reload_data_keys(fields: Arc<FieldCipher>, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(FieldCipher::RELOAD_INTERVAL).await;
        if let Err(error) = fields.reload().await {
            tracing::warn!(error = saas_core::fault::chain(&error), "the data keys could not be reloaded");
        }
    }
}

/// Hears what other processes changed; failures pass, and nothing is decided by what is older than `AUTH_DECISION_MAX_AGE_SECONDS`.
async fn hear_changes(auth: Auth, clock: Arc<dyn Clock>, changed: Arc<Notify>) {
    loop {
        // A connection that is dead and does not know it must not be what ends the hearing.
        match tokio::time::timeout(HEARING, auth.hear_changes()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = saas_core::fault::chain(&error), "changes could not be heard");
            }
            Err(_) => tracing::warn!("changes could not be heard in time"),
        }
        tokio::select! {
            () = changed.notified() => {}
            () = clock.sleep(Auth::HEAR_INTERVAL) => {}
        }
    }
}

/// Asks again for what requests are decided by, before they have to; failures pass, and then they do.
async fn renew_decisions(auth: Auth, clock: Arc<dyn Clock>) {
    loop {
        auth.decisions_grow_old().await;
        clock.sleep(Auth::RENEWAL_PAUSE).await;
        match tokio::time::timeout(RENEWING, auth.renew_decisions()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = saas_core::fault::chain(&error), "decisions could not be renewed");
            }
            Err(_) => tracing::warn!("decisions could not be renewed in time"),
        }
    }
}

/// Chains what was recorded, of every process; failures pass, the next round tries again. A chain that is not ours any more is told of once.
async fn seal_audit(audit: Audit, clock: Arc<dyn Clock>) {
    let mut told = Vec::new();
    loop {
        clock.sleep(SEALING).await;
        match audit.seal().await {
            Ok(round) => {
                for chain in round.refused.iter().filter(|chain| !told.contains(*chain)) {
                    tracing::error!(audit.chain = %chain, "the audit log is not sealed any more: somebody changed it; see saas audit verify");
                }
                told = round.refused;
            }
            Err(error) => {
                tracing::warn!(error = saas_core::fault::chain(&error), "the audit log could not be sealed");
            }
        }
    }
}

/// One heartbeat for all runs of the process; failures pass, or the leases end.
async fn heartbeat(agents: Agents, clock: Arc<dyn Clock>, owner: RunOwner) {
    let third = agents.config().lease.as_secs().max(3) / 3;
    let mut rounds_since = third;
    loop {
        let done = async {
            if rounds_since >= third {
                agents.renew(&owner).await?;
                rounds_since = 0;
            }
            agents.stop_cancelled().await?;
            agents.recover().await
        };
        if let Err(error) = done.await {
            tracing::warn!(error = saas_core::fault::chain(&error), "a heartbeat of the runs failed");
        }
        clock.sleep(TICK).await;
        rounds_since += 1;
    }
}
