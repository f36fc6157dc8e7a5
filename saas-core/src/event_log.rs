//! The port for event streams: append-only, read by cursor, one stream per topic.

use std::{error::Error, fmt, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{ErrorKind, Fault, Report};

mod bounds;

pub use bounds::{EventBounds, Excess};

/// The name of one stream, as `run:<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The stream of one thing: `kind` says what it is, `id` which.
    pub fn new(kind: &'static str, id: impl fmt::Display) -> Self {
        Self(format!("{kind}:{id}").into())
    }

    /// Out of a log's own storage.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the topic is a stream of, as `run`.
    pub fn family(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(family, _)| family)
    }

    /// Which one of its family, as it was written.
    pub fn id(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, id)| id)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place: from 1, without a gap, given by the one writer of the topic.
    pub seq: i64,
    /// What happened, as the writer wrote it.
    pub data: Arc<str>,
}

/// What a log holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// The topic.
    pub topic: Topic,
    /// The number of its oldest event.
    pub oldest: i64,
    /// The number of its newest event.
    pub newest: i64,
    /// When the newest was appended.
    pub appended_at: DateTime<Utc>,
}

/// What is to go of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The topic.
    pub topic: Topic,
    /// The number of the last event that goes.
    pub through: i64,
}

/// Why the log did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// It is busy or away, or it is being shut down.
    #[error("the event log is not reachable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// What was to be read next was trimmed: only `read` says so.
    #[error("the events before number {oldest} are not kept any more")]
    Trimmed {
        /// The number of the first event that was not trimmed, which may not be there yet.
        oldest: i64,
    },
    /// Anything else.
    #[error("the event log failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault for EventLogError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unavailable(_) => Report::new(ErrorKind::Unavailable, "unavailable"),
            Self::Trimmed { .. } => Report::new(ErrorKind::Gone, "events_trimmed"),
            Self::Backend(_) => Report::internal(),
        }
    }
}

/// Keeps event streams.
///
/// A topic has one writer at a time, which numbers its events. Their texts may hold anything but U+0000, which a log may refuse. Who
/// follows begins to wait and then reads, or the other way round: both go on until there is nothing more to come.
///
/// A log is bounded by whoever knows what its topics are of: it walks `topics` and trims what is beyond the family's [`EventBounds`]. A log
/// may besides keep a topic to the newest events of those bounds by itself, while it is appended to.
///
/// # Contract
/// - `append` of a number that is there already keeps the first, and is no error.
/// - When `append` returns, the event is durable: every process reads it, as it was written.
/// - What the same writer appended before it is durable then, too.
/// - `read` gives the events of its topic after `after` in order, at most `limit` of them; fewer are not the end, none is.
/// - It gives nothing past a gap, until the gap is filled.
/// - `changed` returns at the latest a second after an event past `after` became readable, in whichever process it was appended; it may
///   return without one.
/// - `wake` ends the waiting of whoever is in `changed` on the topic in this process.
/// - `remove` takes the whole topic, and no other; a later `append` begins anew.
/// - `trim` takes of each topic named the events up to a number, as far as there are any, and of no other topic; it tells how many it took.
/// - Whoever reads after a number before the last one that was trimmed is told so, from the beginning too; nobody else notices.
/// - What was trimmed stays trimmed: an `append` of its number is no error, and is never read. The topic goes on after it.
/// - `topics` gives the topics of a family that hold events, and what they hold, after a topic in the order of their bytes, at most
///   `limit`; fewer are not the end, none is.
#[async_trait]
pub trait EventLog: Debug + Send + Sync + 'static {
    /// Adds one event.
    async fn append(&self, topic: &Topic, event: Event) -> Result<(), EventLogError>;
    /// The events after `after`, 0 for all.
    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError>;
    /// Waits until there may be events after `after`.
    async fn changed(&self, topic: &Topic, after: i64);
    /// Wakes who waits on the topic, without an event.
    fn wake(&self, topic: &Topic);
    /// Removes the topic.
    async fn remove(&self, topic: &Topic) -> Result<(), EventLogError>;
    /// Removes the oldest events of topics, and remembers that it did.
    async fn trim(&self, cuts: &[Cut]) -> Result<u64, EventLogError>;
    /// The topics of a family, as [`Topic::family`] names it.
    async fn topics(
        &self,
        family: &str,
        after: Option<&Topic>,
        limit: u32,
    ) -> Result<Vec<TopicState>, EventLogError>;
}
