//! Telling other processes what changed, and hearing it from them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use saas_core::{Reach, StoreError, Tx};

use super::Auth;
use crate::{Change, ChangeId, Changed};

/// How far back each look goes: longer than transactions take and clocks differ.
const OVERLAP: Duration = Duration::from_secs(30);

/// How long changes are kept. Nobody acts on what is older than [`AuthConfig::decision_max_age`](crate::AuthConfig::decision_max_age).
const KEPT: Duration = Duration::from_mins(5);

/// How many changes a look takes in. More at once void everything instead.
const LOOK: u32 = 1_000;

const REACH: Reach = Reach::Platform("changes to sessions, users and tenants");

/// The changes of the last looks, which need no second one.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<HashSet<ChangeId>>);

impl Auth {
    /// How often a host calls [`Auth::hear_changes`].
    pub const HEAR_INTERVAL: Duration = Duration::from_secs(1);

    /// Tells every process that something which requests are decided by changes with this transaction: this one when it commits, the
    /// others when they look. Every command of ours does it; whoever changes users, memberships or tenants beside them has to.
    pub async fn note_change(&self, tx: &mut Tx, what: Changed) -> Result<(), StoreError> {
        let id = ChangeId::generate(&*self.ports.clock, &*self.ports.entropy);
        self.ports.changes.note(tx, &Change { id, what, at: self.now() }).await?;
        let decisions = Arc::clone(&self.decisions);
        tx.after_commit(move || decisions.void(what));
        Ok(())
    }

    /// Acts on what other processes changed. For hosts, every [`Auth::HEAR_INTERVAL`]; a process that does not call it decides by what
    /// was true [`AuthConfig::decision_max_age`](crate::AuthConfig::decision_max_age) ago.
    pub async fn hear_changes(&self) -> Result<(), StoreError> {
        let since = self.now() - OVERLAP;
        let changes = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.changes.since(&mut conn, since, LOOK).await?
        };
        let mut heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() >= LOOK as usize {
            self.decisions.void_all();
        }
        for change in changes.iter().filter(|change| !heard.contains(&change.id)) {
            self.decisions.void(change.what);
        }
        *heard = changes.into_iter().map(|change| change.id).collect();
        Ok(())
    }

    /// Removes changes that nobody needs any more. For hosts, now and then.
    pub async fn forget_changes(&self) -> Result<u64, StoreError> {
        let before = self.now() - KEPT;
        let mut tx = self.ports.storage.begin(REACH).await?;
        let forgotten = self.ports.changes.forget(&mut tx, before).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}
