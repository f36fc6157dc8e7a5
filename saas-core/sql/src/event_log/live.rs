//! What this process knows of topics without asking the database: who waits on them, how far they are, and their newest events.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use saas_core::{Clock, Cut, Event, Topic};
use tokio::sync::watch;

/// How long a committed event is kept: until the followers of a live topic have it, and so short that what another process did to the
/// topic is not hidden for longer than a poll takes.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// How many events of one topic are kept.
const TOPIC_EVENTS: usize = 256;

/// How many events are kept in all.
const EVENTS: usize = 65_536;

/// How many bytes of events are kept in all.
const BYTES: usize = 16 * 1024 * 1024;

/// What the log holds in memory.
pub(super) struct Live {
    clock: Arc<dyn Clock>,
    topics: Mutex<Topics>,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Topic, Entry>,
    /// What was committed of late, oldest first, over all topics.
    recent: VecDeque<Recent>,
    /// The size of all tails.
    bytes: usize,
    /// How many removals are going on.
    removing: usize,
    /// How many have ended.
    removed: u64,
}

struct Recent {
    topic: Topic,
    seq: i64,
    at: Duration,
}

/// A topic; it is there while somebody waits on it or something of it is recent.
#[derive(Default)]
struct Entry {
    state: watch::Sender<State>,
    /// The newest events, without a gap; each has its place among the recent ones.
    tail: VecDeque<Event>,
    recent: usize,
    waiting: usize,
    /// Up to which number this process knows that the topic was trimmed.
    trimmed: i64,
}

#[derive(Default)]
struct State {
    highest: i64,
    wakes: u64,
}

/// What the tail of a topic says about the events after a number.
pub(super) enum Tail {
    /// These come next.
    Holds(Vec<Event>),
    /// The database has to be asked; `highest` is how far the topic is known to be.
    Lacks { highest: i64 },
}

/// A moment, to tell whether a topic was removed since.
#[derive(Clone, Copy)]
pub(super) struct Mark(u64);

impl Live {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, topics: Mutex::default() }
    }

    /// How many topics are known.
    pub(super) fn topics(&self) -> usize {
        self.swept().by_name.len()
    }

    /// The moment before a commit begins.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.lock().removed)
    }

    /// Takes committed events and wakes who waits for them. They are kept for reading when `all_new` says that their texts are the
    /// database's, and since when: a removal in between may have taken them.
    pub(super) fn publish<'a>(
        &self,
        events: impl Iterator<Item = (&'a Topic, &'a Event)>,
        all_new: Option<Mark>,
    ) {
        let at = self.clock.monotonic();
        let mut topics = self.lock();
        let keep = all_new.is_some_and(|mark| topics.removing == 0 && topics.removed == mark.0);
        for (topic, event) in events {
            topics.add(topic, event, at, keep);
        }
        topics.sweep(at);
    }

    /// At most `limit` events after `after`, when the tail holds the next one. Who begins asks the database.
    pub(super) fn read(&self, topic: &Topic, after: i64, limit: u32) -> Tail {
        let topics = self.swept();
        let Some(entry) = topics.by_name.get(topic) else { return Tail::Lacks { highest: 0 } };
        let highest = entry.state.borrow().highest;
        let kept = after > 0 && after >= entry.trimmed;
        let first = entry.tail.front().filter(|first| kept && first.seq <= after + 1);
        let skip = first.and_then(|first| usize::try_from(after + 1 - first.seq).ok());
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match skip.filter(|skip| *skip < entry.tail.len()) {
            Some(skip) => Tail::Holds(entry.tail.iter().skip(skip).take(limit).cloned().collect()),
            None => Tail::Lacks { highest },
        }
    }

    /// Lowers what [`read`](Self::read) said was the highest: the database was asked since and has nothing after `after`.
    ///
    /// Another process has removed the topic, or there is a gap; without this, who waits would be told again and again that there is
    /// something to read.
    pub(super) fn correct(&self, topic: &Topic, highest: i64, after: i64) {
        let mut topics = self.lock();
        let Some(entry) = topics.by_name.get_mut(topic) else { return };
        let lowered = entry.state.send_if_modified(|state| {
            let unchanged = state.highest == highest;
            if unchanged {
                state.highest = after;
            }
            unchanged
        });
        if lowered {
            topics.clear_tail(topic);
        }
    }

    /// Begins to wait; what is published from here on is not missed.
    pub(super) fn wait<'a>(&'a self, topic: &'a Topic) -> Waiter<'a> {
        let mut topics = self.swept();
        let entry = topics.by_name.entry(topic.clone()).or_default();
        entry.waiting += 1;
        let state = entry.state.subscribe();
        let wakes = state.borrow().wakes;
        Waiter { live: self, topic, state, wakes }
    }

    /// Wakes who waits.
    pub(super) fn wake(&self, topic: &Topic) {
        if let Some(entry) = self.lock().by_name.get(topic) {
            entry.state.send_modify(|state| state.wakes += 1);
        }
    }

    /// Another process has appended to that topic, or may have to any.
    pub(super) fn heard(&self, topic: Option<&str>) {
        let topics = self.lock();
        for (name, entry) in &topics.by_name {
            if topic.is_none_or(|topic| topic == name.as_str()) {
                entry.state.send_modify(|state| state.wakes += 1);
            }
        }
    }

    /// Forgets the topic's events now and when the removal is dropped, and keeps none that may be among the removed.
    pub(super) fn removing<'a>(&'a self, topic: &'a Topic) -> Removal<'a> {
        let mut topics = self.lock();
        topics.removing += 1;
        topics.clear_tail(topic);
        Removal { live: self, topic }
    }

    /// Forgets the events that were trimmed, and wakes who waits: they may have waited for one of them.
    pub(super) fn trimmed(&self, cut: &Cut) {
        let mut topics = self.lock();
        topics.trim(cut);
        if let Some(entry) = topics.by_name.get(&cut.topic) {
            entry.state.send_modify(|state| state.wakes += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swept(&self) -> MutexGuard<'_, Topics> {
        let now = self.clock.monotonic();
        let mut topics = self.lock();
        topics.sweep(now);
        topics
    }
}

impl fmt::Debug for Live {
    /// Leaves the events out: they are the customers'.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("topics", &self.lock().by_name.len()).finish_non_exhaustive()
    }
}

/// Somebody who waits on a topic.
pub(super) struct Waiter<'a> {
    live: &'a Live,
    topic: &'a Topic,
    state: watch::Receiver<State>,
    wakes: u64,
}

impl Waiter<'_> {
    /// Waits for an event after `after`, or for being woken without one.
    pub(super) async fn past(&mut self, after: i64) {
        let wakes = self.wakes;
        // The sender stays while somebody waits: waiting cannot fail.
        let _ = self.state.wait_for(|state| state.highest > after || state.wakes != wakes).await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut topics = self.live.lock();
        if let Some(entry) = topics.by_name.get_mut(self.topic) {
            entry.waiting -= 1;
        }
        topics.drop_idle(self.topic);
    }
}

/// A removal that is going on.
pub(super) struct Removal<'a> {
    live: &'a Live,
    topic: &'a Topic,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        let mut topics = self.live.lock();
        topics.removing -= 1;
        topics.removed += 1;
        topics.clear_tail(self.topic);
        if let Some(entry) = topics.by_name.get(self.topic) {
            entry.state.send_modify(|state| *state = State { highest: 0, wakes: state.wakes + 1 });
        }
    }
}

impl Topics {
    fn add(&mut self, topic: &Topic, event: &Event, at: Duration, keep: bool) {
        let entry = self.by_name.entry(topic.clone()).or_default();
        entry.recent += 1;
        self.recent.push_back(Recent { topic: topic.clone(), seq: event.seq, at });
        entry.state.send_modify(|state| state.highest = state.highest.max(event.seq));
        let follows = entry.tail.back().is_none_or(|last| last.seq == event.seq - 1);
        if !(keep && follows) {
            self.bytes -= entry.tail.drain(..).map(|event| size(&event)).sum::<usize>();
        }
        if keep {
            entry.tail.push_back(event.clone());
            self.bytes += size(event);
        }
        if entry.tail.len() > TOPIC_EVENTS {
            self.bytes -= entry.tail.pop_front().map_or(0, |event| size(&event));
        }
    }

    /// Drops what is too old or too much, from the oldest on.
    fn sweep(&mut self, now: Duration) {
        while self.recent.front().is_some_and(|oldest| {
            oldest.at + KEPT_FOR <= now || self.recent.len() > EVENTS || self.bytes > BYTES
        }) {
            let Some(Recent { topic, seq, .. }) = self.recent.pop_front() else { return };
            let Some(entry) = self.by_name.get_mut(&topic) else { continue };
            entry.recent -= 1;
            if entry.tail.front().is_some_and(|first| first.seq == seq) {
                self.bytes -= entry.tail.pop_front().map_or(0, |event| size(&event));
            }
            self.drop_idle(&topic);
        }
    }

    fn trim(&mut self, cut: &Cut) {
        let Some(entry) = self.by_name.get_mut(&cut.topic) else { return };
        // Some may be left to a later transaction: only what is known to be gone is refused from memory.
        while let Some(event) = entry.tail.pop_front_if(|first| first.seq <= cut.through) {
            self.bytes -= size(&event);
        }
        entry.trimmed = entry.trimmed.max(cut.through);
    }

    fn clear_tail(&mut self, topic: &Topic) {
        if let Some(entry) = self.by_name.get_mut(topic) {
            entry.trimmed = 0;
            self.bytes -= entry.tail.drain(..).map(|event| size(&event)).sum::<usize>();
        }
    }

    fn drop_idle(&mut self, topic: &Topic) {
        if self.by_name.get(topic).is_some_and(|entry| entry.waiting == 0 && entry.recent == 0) {
            self.by_name.remove(topic);
        }
    }
}

fn size(event: &Event) -> usize {
    size_of::<Event>() + event.data.len()
}
