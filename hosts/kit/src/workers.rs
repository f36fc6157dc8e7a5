//! What runs beside requests: jobs, agents' runs among them, the signing keys' reload, the audit log's sealing, and the loops that adapters need.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{self, Either, join_all};
use saas_auth::{Auth, keys::KeySet};
use saas_core::{Audit, Background, Clock, FieldCipher, StoreError};
use tokio::{
    sync::{Mutex, Notify},
    task::{JoinHandle, JoinSet},
};

use crate::{Saas, runs};

/// How often the audit log is sealed: twice within the second that is promised.
const SEALING: Duration = Duration::from_millis(500);
/// How long one look for changes may take.
const HEARING: Duration = Duration::from_secs(5);
/// How long renewing decisions may take: by then those who use them ask for themselves.
const RENEWING: Duration = Duration::from_secs(5);

/// What [`Saas::run_workers`] needs, until it takes it.
#[derive(Debug)]
pub(crate) struct Workers {
    backgrounds: Vec<Background>,
    changed: Arc<Notify>,
}

/// The workers' place in a handle that is cloned.
#[derive(Debug, Clone)]
pub(crate) struct Parked(Arc<Mutex<Option<Workers>>>);

impl Workers {
    /// They drive these loops. `changed` says that another process has changed something that requests are decided by.
    pub(crate) fn new(backgrounds: Vec<Background>, changed: Arc<Notify>) -> Self {
        Self { backgrounds, changed }
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
    /// Does the work that goes on beside requests, until `shutdown` ends; then lets jobs end within half of `SHUTDOWN_DEADLINE_SECONDS`, and
    /// stores agents' runs that do not as interrupted.
    ///
    /// Call it once per process and drive it as long as anything is served: chats are answered by it, here or in another process. A second
    /// call returns at once.
    pub async fn run_workers(&self, shutdown: impl Future<Output = ()>) {
        let taken = self.parts.workers.0.lock().await.take();
        let Some(Workers { backgrounds, changed }) = taken else {
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
        let clock = || Arc::clone(&self.parts.clock);
        let cancellations = runs::hear_cancellations(self.parts.agents.clone(), clock());
        loops.spawn(async { match cancellations.await {} });
        loops.spawn(reload_keys(self.parts.auth.clone(), clock()));
        loops.spawn(reload_data_keys(Arc::clone(&self.parts.fields), clock()));
        loops.spawn(hear_changes(self.parts.auth.clone(), clock(), changed));
        loops.spawn(renew_decisions(self.parts.auth.clone(), clock()));
        loops.spawn(seal_audit(self.parts.audit.clone(), clock()));
        shutdown.await;
        stop.notify_one();
        jobs.ended().await;
        loops.shutdown().await;
    }

    /// Does every job that is due, and what becomes due meanwhile, until none is; tells how many attempts it took. What others are at, what
    /// is due later, and kinds that this program has no handler for are left.
    pub async fn drain_jobs(&self) -> Result<u64, StoreError> {
        let mut parked = self.parts.workers.0.lock().await;
        let Some(workers) = parked.as_mut() else {
            drop(parked);
            return self.parts.worker.drain().await;
        };
        // No workers run here: what jobs need of them is done as long as the jobs are.
        let backgrounds = join_all(workers.backgrounds.iter_mut().map(|background| &mut background.future));
        let (agents, clock) = (self.parts.agents.clone(), Arc::clone(&self.parts.clock));
        let beside = pin!(future::join(backgrounds, runs::hear_cancellations(agents, clock)));
        match future::select(pin!(self.parts.worker.drain()), beside).await {
            Either::Left((drained, _)) => drained,
            Either::Right(((_, never), _)) => match never {},
        }
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
