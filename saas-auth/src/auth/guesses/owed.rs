//! Right guesses that are counted as wrong still.
//!
//! Between the comparison that proves a guess right and the transaction that clears its count the storage may go away, or whoever asked. An
//! outage of ours must not lock anybody out, so the process remembers what it owes, and clears it as soon as it can: before the next guess
//! under that id, and whenever it hears of changes.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use saas_core::StoreError;

use super::{Guess, REACH};
use crate::{Auth, GuessId};

/// How many ids a process remembers; what comes beyond that stays counted.
const CAPACITY: usize = 10_000;

/// How many of them are cleared at once.
const AT_ONCE: usize = 100;

/// What is to be cleared.
#[derive(Debug, Default)]
pub(in crate::auth) struct Owed(Mutex<HashSet<GuessId>>);

impl Owed {
    fn ids(&self) -> MutexGuard<'_, HashSet<GuessId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owe(&self, id: GuessId) {
        let mut ids = self.ids();
        if ids.len() < CAPACITY {
            ids.insert(id);
        }
    }
}

/// What is being cleared: owed again if that fails, or if whoever waits for it goes away.
struct Paying<'a> {
    owed: &'a Owed,
    id: GuessId,
    paid: bool,
}

impl Drop for Paying<'_> {
    fn drop(&mut self) {
        if !self.paid {
            self.owed.owe(self.id);
        }
    }
}

impl Auth {
    /// Remembers that a guess was right, before anything is done about it.
    pub(in crate::auth) fn owe(&self, guess: &Guess) {
        self.owed.owe(guess.id);
    }

    /// Its count was cleared, or is not to be.
    pub(in crate::auth) fn owes_no_more(&self, guess: &Guess) {
        self.owed.ids().remove(&guess.id);
    }

    /// Clears what is owed under an id.
    pub(super) async fn pay_owed(&self, id: GuessId) -> Result<(), StoreError> {
        // Taken away first: what is counted from now on is another guess's.
        if !self.owed.ids().remove(&id) {
            return Ok(());
        }
        let mut paying = Paying { owed: &self.owed, id, paid: false };
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        self.ports.guesses.clear(&mut tx, &id).await?;
        tx.commit().await?;
        paying.paid = true;
        Ok(())
    }

    /// Clears what is owed.
    pub(in crate::auth) async fn pay_all_owed(&self) -> Result<(), StoreError> {
        let ids: Vec<_> = self.owed.ids().iter().take(AT_ONCE).copied().collect();
        for id in ids {
            self.pay_owed(id).await?;
        }
        Ok(())
    }
}
