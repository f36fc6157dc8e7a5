//! The runs of this process, and how to stop one.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::RunId;

/// Why a run should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It should not.
    No,
    /// Its owner wants it to.
    Cancel,
    /// The process ends.
    Shutdown,
}

/// The runs of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<RunId, watch::Sender<Stop>>>>);

/// A run of this process; it is out of the list when this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    live: Live,
    run: RunId,
    stop: watch::Receiver<Stop>,
}

impl Live {
    /// Puts a run on the list; `None` when it is there already.
    pub(super) fn enter(&self, run: RunId) -> Option<Entry> {
        let (sender, stop) = watch::channel(Stop::No);
        self.with(|live| match live.entry(run) {
            hash_map::Entry::Occupied(_) => None,
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(sender);
                Some(Entry { live: self.clone(), run, stop })
            }
        })
    }

    /// Tells a run to stop, if it is of this process.
    pub(super) fn stop(&self, run: RunId, why: Stop) {
        self.with(|live| {
            if let Some(sender) = live.get(&run) {
                sender.send_replace(why);
            }
        });
    }

    /// Tells all of them.
    pub(super) fn stop_all(&self, why: Stop) {
        self.with(|live| {
            for sender in live.values() {
                sender.send_replace(why);
            }
        });
    }

    /// Which there are.
    pub(super) fn runs(&self) -> Vec<RunId> {
        self.with(|live| live.keys().copied().collect())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.with(|live| live.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<RunId, watch::Sender<Stop>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    /// Waits until the run is told to stop.
    pub(super) async fn stopped(&mut self) -> Stop {
        // The sender is on the list as long as this entry is.
        self.stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Shutdown, |stop| *stop)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.live.with(|live| live.remove(&self.run));
    }
}
