//! Whose turn it is to ask the database about a topic.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as StdMutex, PoisonError, Weak},
};

use saas_core::Topic;
use tokio::sync::Mutex;

/// How many topics are held before those are dropped that nobody asks about any more.
const SWEEP: usize = 1_024;

/// A lock for each topic that is being asked about.
#[derive(Debug, Default)]
pub(super) struct Turns(StdMutex<HashMap<Topic, Weak<Mutex<()>>>>);

impl Turns {
    /// The topic's lock, the same for all who ask at the same time.
    pub(super) fn of(&self, topic: &Topic) -> Arc<Mutex<()>> {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = topics.get(topic).and_then(Weak::upgrade) {
            return turn;
        }
        if topics.len() >= SWEEP {
            topics.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Mutex::new(()));
        topics.insert(topic.clone(), Arc::downgrade(&turn));
        turn
    }
}
