//! The queue of events to append, and the loop that writes what has gathered in one transaction.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use metrics::{Counter, counter};
use saas_core::{Clock, Conn, Cut, Event, EventBounds, Storage, StoreError, Topic, clock::stored_now};
use sqlx::{Database, Encode, QueryBuilder, Type};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

use super::{REACH, SIGNAL, live::Live, passes, trim, trimmed_events};
use crate::{RowsAffected, Signals, SqlError, SqlStorage, sql};

/// How many bytes of events wait or are on their way at most, and so how large a batch is.
const ROOM: u32 = 8 * 1024 * 1024;

/// What an event takes in the queue beside its text.
const OVERHEAD: usize = 256;

/// The longest topic that a signal names, in bytes.
const ABOUT: usize = 256;

/// How many events a transaction takes.
const BATCH: usize = 1_000;

/// How many rows a statement inserts: few sizes, so that each connection keeps few prepared statements.
const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

/// An event on its way, and who waits for it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) topic: Topic,
    pub(super) event: Event,
    pub(super) reply: oneshot::Sender<Result<(), Arc<StoreError>>>,
    #[expect(dead_code, reason = "held for its Drop")]
    pub(super) room: OwnedSemaphorePermit,
}

/// The queue's end that takes events.
#[derive(Clone)]
pub(super) struct Queue {
    events: UnboundedSender<Queued>,
    room: Arc<Semaphore>,
}

/// The queue's end that gives them. Dropping it tells everybody who waits for room or for an answer.
pub(super) struct Inbox {
    events: UnboundedReceiver<Queued>,
    room: Arc<Semaphore>,
}

pub(super) fn queue() -> (Queue, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(ROOM as usize));
    (Queue { events: sender, room: Arc::clone(&room) }, Inbox { events: receiver, room })
}

impl Queue {
    /// Waits until the queue has room for the event; an event larger than the queue waits until it is empty. `None` when it is closed.
    pub(super) async fn room(&self, topic: &Topic, event: &Event) -> Option<OwnedSemaphorePermit> {
        let size = OVERHEAD + topic.as_str().len() + event.data.len();
        let size = u32::try_from(size).unwrap_or(ROOM).min(ROOM);
        Arc::clone(&self.room).acquire_many_owned(size).await.ok()
    }

    /// Queues the event, unless the queue is closed.
    pub(super) fn send(&self, event: Queued) -> Result<(), ()> {
        self.events.send(event).map_err(drop)
    }

    /// Waits until the other end is gone.
    pub(super) async fn closed(&self) {
        self.events.closed().await;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// What the loop works with.
pub(super) struct Writer {
    pub(super) storage: SqlStorage,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) live: Arc<Live>,
    pub(super) batches: Arc<AtomicU64>,
    pub(super) signals: Option<Signals>,
    pub(super) bounds: Arc<[EventBounds]>,
    pub(super) measures: Measures,
}

/// Where it is counted what was appended.
pub(super) struct Measures {
    batches: Counter,
    events: Counter,
    trimmed: Counter,
}

impl Measures {
    pub(super) fn new() -> Self {
        Self {
            batches: counter!("saas_event_log_batches_total"),
            events: counter!("saas_event_log_events_total"),
            trimmed: trimmed_events(),
        }
    }
}

impl Writer {
    /// Writes what comes until nobody can send any more. While one batch is being committed, the next gathers.
    pub(super) async fn run(self, mut inbox: Inbox) {
        let mut batch = Vec::new();
        while inbox.events.recv_many(&mut batch, BATCH).await > 0 {
            self.write(mem::take(&mut batch)).await;
        }
    }

    /// Writes a batch and answers each of its events. One that the database refuses is found by halving, so that it fails alone, with
    /// what follows it in its topic.
    async fn write(&self, mut batch: Vec<Queued>) {
        // Of equal numbers the first stays the first.
        batch.sort_by(|a, b| (&a.topic, a.event.seq).cmp(&(&b.topic, b.event.seq)));
        let mut parts = vec![batch];
        let mut refused: Option<(Topic, Arc<StoreError>)> = None;
        while let Some(mut part) = parts.pop() {
            if let Some((topic, error)) = &refused {
                let others = part.split_off(part.partition_point(|queued| queued.topic <= *topic));
                refuse(mem::replace(&mut part, others), error);
            }
            match self.commit(&part).await {
                Ok(()) => part.into_iter().for_each(|queued| drop(queued.reply.send(Ok(())))),
                Err(error) if passes(&error) => {
                    let error = Arc::new(error);
                    refuse(part, &error);
                    parts.drain(..).for_each(|part| refuse(part, &error));
                }
                Err(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(error) => {
                    let error = Arc::new(error);
                    refused = part.first().map(|queued| (queued.topic.clone(), Arc::clone(&error)));
                    refuse(part, &error);
                }
            }
        }
    }

    async fn commit(&self, part: &[Queued]) -> Result<(), StoreError> {
        if part.is_empty() {
            return Ok(());
        }
        let mark = self.live.mark();
        let now = stored_now(&*self.clock);
        let mut tx = self.storage.begin(REACH).await?;
        let (mut rest, mut inserted) = (part, 0);
        while let Some((rows, others)) = statement(rest) {
            inserted += insert(tx.conn(), rows, now).await?;
            rest = others;
        }
        let (cuts, mut trimmed) = (self.cuts(part), 0);
        for cut in &cuts {
            trimmed += trim::on_the_way(tx.conn(), cut).await?;
        }
        tx.commit().await?;
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.measures.batches.increment(1);
        self.measures.events.increment(inserted);
        self.measures.trimmed.increment(trimmed);
        self.tell(part);
        // Where a number was there already, the database has another text than the batch.
        let all_new = usize::try_from(inserted) == Ok(part.len());
        self.live.publish(part.iter().map(|queued| (&queued.topic, &queued.event)), all_new.then_some(mark));
        for cut in &cuts {
            self.live.trimmed(cut);
        }
        Ok(())
    }
}

impl Writer {
    /// What a batch makes too much of its topics.
    fn cuts(&self, part: &[Queued]) -> Vec<Cut> {
        if self.bounds.is_empty() {
            return Vec::new();
        }
        // They are in the order of their topics, and of their numbers.
        let topics = part.chunk_by(|one, next| one.topic == next.topic);
        let due = |events: &[Queued]| {
            let (first, last) = (events.first()?, events.last()?);
            trim::due(&self.bounds, &first.topic, first.event.seq, last.event.seq)
        };
        topics.filter_map(due).collect()
    }

    /// Tells other processes which topics there is something new of.
    fn tell(&self, part: &[Queued]) {
        let Some(signals) = &self.signals else { return };
        // They are in the order of their topics.
        for queued in part.chunk_by(|one, next| one.topic == next.topic).filter_map(<[Queued]>::first) {
            let topic = queued.topic.as_str();
            if topic.len() <= ABOUT && !topic.contains(char::is_whitespace) {
                signals.raise_about(SIGNAL, topic);
            } else {
                signals.raise(SIGNAL);
            }
        }
    }
}

fn refuse(part: Vec<Queued>, error: &Arc<StoreError>) {
    for queued in part {
        // Who no longer waits needs no answer.
        let _ = queued.reply.send(Err(Arc::clone(error)));
    }
}

/// The rows of the next statement, and those after it.
fn statement(rows: &[Queued]) -> Option<(&[Queued], &[Queued])> {
    ROWS.into_iter().find_map(|size| rows.split_at_checked(size))
}

async fn insert(conn: &mut Conn, rows: &[Queued], now: DateTime<Utc>) -> Result<u64, SqlError> {
    sql!(conn, |c| async {
        insert_into(rows, now).build().execute(c).await.map(|done| RowsAffected::rows(&done))
    })
}

fn insert_into<D>(rows: &[Queued], now: DateTime<Utc>) -> QueryBuilder<D>
where
    D: Database,
    i64: for<'q> Encode<'q, D> + Type<D>,
    DateTime<Utc>: for<'q> Encode<'q, D> + Type<D>,
    for<'s, 'q> &'s str: Encode<'q, D> + Type<D>,
{
    let mut query = QueryBuilder::new("INSERT INTO saas_events (topic, seq, data, created_at) ");
    query.push_values(rows, |mut row, queued| {
        row.push_bind(queued.topic.as_str())
            .push_bind(queued.event.seq)
            .push_bind(&*queued.event.data)
            .push_bind(now);
    });
    query.push(" ON CONFLICT (topic, seq) DO NOTHING");
    query
}
