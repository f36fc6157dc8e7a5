//! [`EventLog`] in the database: appended in coalesced batches, read by cursor, woken in process and across processes by signals where there are any, and polled.

use std::{
    borrow::Borrow,
    error::Error,
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use metrics::{Counter, counter};
use saas_core::{
    Background, Clock, Cut, ErrorKind, Event, EventBounds, EventLog, EventLogError, Fault, Reach, Storage,
    StoreError, Topic, TopicState,
};
use tokio::sync::oneshot;

use self::{
    live::{Live, Tail},
    turns::Turns,
    writer::{Measures, Queue, Queued, Writer},
};
use crate::{Signals, SqlStorage, execute, fetch_all};

mod live;
mod trim;
mod turns;
mod writer;

/// Why the log opens connections.
const REACH: Reach = Reach::Platform("event log");

/// What other processes are told when events were appended.
const SIGNAL: &str = "events";

/// How long a reader waits before it looks for what another process appended.
const POLL: Duration = Duration::from_secs(1);

/// [`EventLog`] in `saas_events`. Cloning shares it.
///
/// Every process that appends runs the [`Background`] of its log, which writes what has gathered while the batch before was on its way
/// to the disk: many streams share one commit, and a lone event waits for nobody. Reading, waiting and removing work without it.
///
/// Events are handed to readers from memory for a second after this process has committed them, or has read them for several at once, so that
/// readers of a live topic do not each ask the database. A reader that begins (`after` 0) always asks it; one that follows may get events that another process
/// removed within that second, and what another process appended after ours it gets with its next read: fewer than `limit` is not the
/// end, none is. That holds for what another process trimmed, too: within that second it may still be read, also as
/// somebody appended it again here, and nothing is ever skipped.
#[derive(Clone)]
pub struct SqlEventLog {
    storage: SqlStorage,
    clock: Arc<dyn Clock>,
    queue: Queue,
    live: Arc<Live>,
    turns: Arc<Turns>,
    batches: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
    trimmed: Counter,
}

impl SqlEventLog {
    /// A log over a migrated database, and the loop that writes its batches.
    ///
    /// The loop ends when the last clone of the log is dropped, after it has written what was queued.
    pub fn new(storage: SqlStorage, clock: Arc<dyn Clock>) -> (Self, Background) {
        Self::made(storage, clock, None, &[])
    }

    /// As [`SqlEventLog::new`], and other processes are told what was appended, and this one hears of theirs, without waiting for a poll.
    pub fn with_signals(storage: SqlStorage, clock: Arc<dyn Clock>, signals: Signals) -> (Self, Background) {
        Self::made(storage, clock, Some(signals), &[])
    }

    /// As the others, and a topic of these families is kept to its newest events while it is appended to: the transaction that appends
    /// each thousandth event of a topic removes what is too much by then, so that it holds at most a thousand more than its bound.
    pub fn bounded(
        storage: SqlStorage,
        clock: Arc<dyn Clock>,
        signals: Option<Signals>,
        bounds: &[EventBounds],
    ) -> (Self, Background) {
        Self::made(storage, clock, signals, bounds)
    }

    fn made(
        storage: SqlStorage,
        clock: Arc<dyn Clock>,
        signals: Option<Signals>,
        bounds: &[EventBounds],
    ) -> (Self, Background) {
        let live = Arc::new(Live::new(Arc::clone(&clock)));
        if let Some(signals) = &signals {
            let live = Arc::clone(&live);
            signals.hear(SIGNAL, move |topic| live.heard(topic));
        }
        let batches = Arc::new(AtomicU64::new(0));
        let (queue, inbox) = writer::queue();
        let writer = Writer {
            storage: storage.clone(),
            clock: Arc::clone(&clock),
            live: Arc::clone(&live),
            batches: Arc::clone(&batches),
            signals,
            bounds: bounds.into(),
            measures: Measures::new(),
        };
        let log = Self {
            storage,
            clock,
            queue,
            live,
            turns: Arc::default(),
            batches,
            reads: Arc::default(),
            trimmed: trimmed_events(),
        };
        (log, Background::new("event log", writer.run(inbox)))
    }

    /// How many transactions have appended so far.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// How often the database was asked for events so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How many topics this process holds in memory: somebody waits on them, or an event was appended within the last second.
    pub fn live_topics(&self) -> usize {
        self.live.topics()
    }

    /// Those who follow what another process appends ask the database one after the other, and all but the first find it in memory.
    async fn in_turn(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        let turn = self.turns.of(topic);
        let _mine = turn.lock().await;
        if let Tail::Holds(events) = self.live.read(topic, after, limit) {
            return Ok(events);
        }
        let mark = self.live.mark();
        let events = self.stored(topic, after, limit).await?;
        // Where nobody else asks, nothing is kept for them.
        let shared = Arc::strong_count(&turn) > 1;
        if shared && events.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            self.live.publish(events.iter().map(|event| (topic, event)), Some(mark));
        }
        Ok(events)
    }

    async fn stored(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut conn = self.storage.read(REACH).await.map_err(failed)?;
        let rows = fetch_all!(
            &mut conn,
            (i64, String),
            "SELECT seq, data FROM saas_events WHERE topic = $1 AND seq > $2 AND NOT EXISTS \
             (SELECT 1 FROM saas_event_trims WHERE topic = $1 AND trimmed > $2) ORDER BY seq LIMIT $3",
            topic.as_str(),
            after,
            i64::from(limit),
        )
        .map_err(|error| failed(StoreError::from(error)))?;
        // A writer with several events on their way may have lost an earlier one: what is past the gap waits for it.
        let events = rows.into_iter().zip(1..).take_while(|((seq, _), place)| seq - after == *place);
        let events: Vec<_> = events.map(|((seq, data), _)| Event { seq, data: data.into() }).collect();
        if events.is_empty() {
            let trimmed =
                trim::trimmed(&mut conn, topic).await.map_err(|error| failed(StoreError::from(error)))?;
            if trimmed > after {
                return Err(EventLogError::Trimmed { oldest: trimmed.saturating_add(1) });
            }
        }
        Ok(events)
    }
}

impl fmt::Debug for SqlEventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlEventLog").field("batches", &self.batches()).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventLog for SqlEventLog {
    async fn append(&self, topic: &Topic, event: Event) -> Result<(), EventLogError> {
        // PostgreSQL's text cannot hold it.
        if topic.as_str().contains('\0') || event.data.contains('\0') {
            return Err(EventLogError::Backend("an event cannot hold U+0000".into()));
        }
        let room = self.queue.room(topic, &event).await.ok_or_else(stopped)?;
        let (reply, mut answer) = oneshot::channel();
        self.queue.send(Queued { topic: topic.clone(), event, reply, room }).map_err(|()| stopped())?;
        let answered = match select(&mut answer, pin!(self.queue.closed())).await {
            Either::Left((answered, _)) => answered.ok(),
            // It may have been answered last thing.
            Either::Right(_) => answer.try_recv().ok(),
        };
        answered.ok_or_else(stopped)?.map_err(failed)
    }

    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        let after = after.max(0);
        if limit == 0 || after == i64::MAX {
            return Ok(Vec::new());
        }
        let highest = match self.live.read(topic, after, limit) {
            Tail::Holds(events) => return Ok(events),
            Tail::Lacks { highest } => highest,
        };
        let events = if after == 0 {
            self.stored(topic, after, limit).await?
        } else {
            self.in_turn(topic, after, limit).await?
        };
        if events.is_empty() && highest > after {
            self.live.correct(topic, highest, after);
        }
        Ok(events)
    }

    async fn changed(&self, topic: &Topic, after: i64) {
        let mut waiter = self.live.wait(topic);
        select(pin!(waiter.past(after)), self.clock.sleep(POLL)).await;
    }

    fn wake(&self, topic: &Topic) {
        self.live.wake(topic);
    }

    async fn remove(&self, topic: &Topic) -> Result<(), EventLogError> {
        let _removal = self.live.removing(topic);
        let removed = async {
            let mut tx = self.storage.begin(REACH).await?;
            execute!(tx.conn(), "DELETE FROM saas_events WHERE topic = $1", topic.as_str())?;
            execute!(tx.conn(), "DELETE FROM saas_event_trims WHERE topic = $1", topic.as_str())?;
            tx.commit().await
        };
        removed.await.map_err(failed)
    }

    async fn trim(&self, cuts: &[Cut]) -> Result<u64, EventLogError> {
        let done = |cuts: &[Cut], removed| {
            self.trimmed.increment(removed);
            for cut in cuts {
                self.live.trimmed(cut);
            }
        };
        trim::cut(&self.storage, cuts, done).await.map_err(failed)
    }

    async fn topics(
        &self,
        family: &str,
        after: Option<&Topic>,
        limit: u32,
    ) -> Result<Vec<TopicState>, EventLogError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let listed = async {
            let mut conn = self.storage.read(REACH).await?;
            Ok::<_, StoreError>(trim::topics(&mut conn, family, after, limit).await?)
        };
        listed.await.map_err(failed)
    }
}

/// Where it is counted what was trimmed.
fn trimmed_events() -> Counter {
    counter!("saas_event_log_trimmed_total")
}

fn stopped() -> EventLogError {
    EventLogError::Unavailable("the event log's background has ended".into())
}

/// A store's error as the log's; one that a whole batch shares comes as an `Arc`.
fn failed<E: Borrow<StoreError> + Into<Box<dyn Error + Send + Sync>>>(error: E) -> EventLogError {
    if passes(error.borrow()) {
        EventLogError::Unavailable(error.into())
    } else {
        EventLogError::Backend(error.into())
    }
}

/// Whether the same may succeed when tried again.
fn passes(error: &StoreError) -> bool {
    error.report().kind == ErrorKind::Unavailable
}
