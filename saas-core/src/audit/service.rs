//! The service: recording.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use metrics::counter;

use super::{AuditActor, AuditEntry, AuditEvent, AuditId, AuditLog, chain};
use crate::{
    Actor, Clock, Entropy, InternalError, Keyring, KeyringError, Reach, SecretStore, Storage, StoreError, Tx,
    clock::stored_now, id::uuid_v7_at,
};

/// The keyring's name among the secrets.
const KEYS: &str = "audit.keys";

/// Records, seals and verifies the audit log. Cloning shares it.
#[derive(Clone)]
pub struct Audit(Arc<Parts>);

struct Parts {
    storage: Arc<dyn Storage>,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    prover: chain::Prover,
}

impl Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("log", &self.0.log).finish_non_exhaustive()
    }
}

impl Audit {
    /// The log over its ports, with its keys loaded, or made where there are none yet.
    pub async fn open(
        storage: Arc<dyn Storage>,
        log: Arc<dyn AuditLog>,
        secrets: &dyn SecretStore,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, KeyringError> {
        let keys = Keyring::load_or_create(secrets, KEYS, &*entropy).await?;
        Ok(Self::new(storage, log, keys, clock, entropy))
    }

    /// The log over its ports, with keys that the caller keeps: without them nothing of it can be verified.
    pub fn new(
        storage: Arc<dyn Storage>,
        log: Arc<dyn AuditLog>,
        keys: Keyring,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self(Arc::new(Parts { storage, log, clock, entropy, prover: chain::Prover::new(keys) }))
    }

    /// Writes a row into the caller's transaction: it is there with whatever else that writes, or never was.
    pub async fn record(&self, tx: &mut Tx, actor: &Actor, event: AuditEvent) -> Result<AuditId, StoreError> {
        let now = self.now();
        let mut entry = AuditEntry {
            // Of the same moment, so that times can be looked for by ids.
            id: AuditId::from_uuid(uuid_v7_at(now, &*self.0.entropy)),
            chain: event.chain,
            version: chain::VERSION,
            at_us: now.timestamp_micros(),
            actor: event.by.unwrap_or_else(|| AuditActor::from(actor)).to_string(),
            action: event.action.as_str().to_owned(),
            subject: event.subject.map(|subject| subject.to_string()),
            outcome: event.outcome.as_str().to_owned(),
            reason: event.reason.map(str::to_owned),
            request_id: actor.request_id,
            key_id: String::new(),
            mac: Vec::new(),
        };
        self.0.prover.prove_entry(&mut entry).map_err(unproved)?;
        self.0.log.record(tx, &entry).await?;
        let action = event.action.into_name();
        tx.after_commit(move || counter!("saas_audit_rows_total", "action" => action).increment(1));
        Ok(entry.id)
    }

    /// Writes a row in a transaction of its own, for what nothing else is written of.
    pub async fn record_alone(&self, actor: &Actor, event: AuditEvent) -> Result<AuditId, StoreError> {
        let mut tx = self.storage().begin_single(Reach::Platform("audit")).await?;
        let id = self.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.0.storage
    }

    pub(super) fn log(&self) -> &dyn AuditLog {
        &*self.0.log
    }

    pub(super) fn prover(&self) -> &chain::Prover {
        &self.0.prover
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        stored_now(&*self.0.clock)
    }
}

/// A key that is missing: the log is not written, and so nothing else is.
pub(super) fn unproved(error: InternalError) -> StoreError {
    StoreError::Backend(Box::new(error))
}
