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
/// # Contract
/// - A topic has one writer at a time, which numbers its events; `append` of a number that is there already keeps the first.
/// - When `append` returns, the event is durable; what was appended before it by the same writer is too.
/// - `read` gives the events after `after` in order, without a gap below the highest it gives, at most `limit` of them.
/// - `changed` returns at the latest a second after an event past `after` became readable, in whichever process it was appended; it may
///   return without one.
/// - `remove` takes the whole topic; a later `append` begins anew.
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
