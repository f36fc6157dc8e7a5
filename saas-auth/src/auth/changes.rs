//! Telling other processes what changed, and hearing it from them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use saas_core::{Reach, StoreError, Tx};

use super::Auth;
use crate::{Change, ChangeId, Changed};

/// How far back each look goes: longer than transactions take and clocks differ.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);

/// How long changes are kept: for longer than anybody looks back.
const KEPT: TimeDelta = TimeDelta::minutes(5);

/// How many changes a look takes in. More in [`OVERLAP`] void everything instead.
const LOOK: u32 = 10_000;

/// Old changes are removed once in so many looks.
const LOOKS_PER_CLEANING: u64 = 60;

const REACH: Reach = Reach::Platform("changes to sessions, users and tenants");

/// What the last look heard, which needs no second hearing.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<LastLook>);

#[derive(Debug, Default)]
struct LastLook {
    looks: u64,
    on: Option<DateTime<Utc>>,
    changes: HashSet<ChangeId>,
}

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

    /// Acts on what other processes changed, and now and then removes changes that nobody needs any more. For hosts, every
    /// [`Auth::HEAR_INTERVAL`]; a process that does not call it decides by what was true
    /// [`AuthConfig::decision_max_age`](crate::AuthConfig::decision_max_age) ago.
    pub async fn hear_changes(&self) -> Result<(), StoreError> {
        let now = self.now();
        let changes = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.changes.since(&mut conn, now - OVERLAP, LOOK).await?
        };
        if self.take_in(now, &changes) {
            self.forget_changes(now).await?;
        }
        // The storage answers: what it did not take before it takes now.
        self.pay_all_owed().await
    }

    /// Voids what the changes are about; whether it is time to clean.
    fn take_in(&self, now: DateTime<Utc>, changes: &[Change]) -> bool {
        let mut last = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After a pause, changes may have come and gone between two looks.
        let missed = last.on.is_some_and(|on| !(TimeDelta::zero()..OVERLAP).contains(&(now - on)));
        if missed || changes.len() >= LOOK as usize {
            self.decisions.void(Changed::Everything);
        }
        for change in changes.iter().filter(|change| !last.changes.contains(&change.id)) {
            self.decisions.void(change.what);
        }
        last.changes = changes.iter().map(|change| change.id).collect();
        last.on = Some(now);
        last.looks += 1;
        last.looks % LOOKS_PER_CLEANING == 1
    }

    async fn forget_changes(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.ports.changes.forget(&mut tx, now - KEPT).await?;
        tx.commit().await
    }
}
