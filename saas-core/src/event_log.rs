//! The port for event streams: append-only, read by cursor, one stream per topic.

use std::{error::Error, fmt, fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{ErrorKind, Fault, Report};

/// The name of one stream, as `run:<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The stream of one thing: `kind` says what it is, `id` which.
    pub fn new(kind: &'static str, id: impl fmt::Display) -> Self {
        Self(format!("{kind}:{id}").into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
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

/// Why the log did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// It is busy or away, or it is being shut down.
    #[error("the event log is not reachable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else.
    #[error("the event log failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault for EventLogError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unavailable(_) => Report::new(ErrorKind::Unavailable, "unavailable"),
            Self::Backend(_) => Report::internal(),
        }
    }
}

/// Keeps event streams.
///
/// A topic has one writer at a time, which numbers its events. Their texts may hold anything but U+0000, which a log may refuse. Who
/// follows begins to wait and then reads, or the other way round: both go on until there is nothing more to come.
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
}
