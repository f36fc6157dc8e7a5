//! The contract of `EventLog` over SQL, its batches, and what it holds in memory.
//!
//! The clock stands still unless a test moves it: whoever waits is woken by an event, or the test does not end.

use std::{future::poll_fn, iter, pin::Pin, sync::Arc, task::Poll, time::Duration};

use saas_core::{Event, EventLog, EventLogError, Topic, clock::ManualClock, entropy::SystemEntropy};
use saas_kit::testing::{TestDatabase, TestEngine};
use saas_sql::{CORE, Signals, SqlEventLog, SqlStorage};
use tokio::{sync::Barrier, task::JoinSet};

use crate::engines::open;

const SECOND: Duration = Duration::from_secs(1);

/// A database with the log's table, and a clock.
async fn migrated(engine: TestEngine) -> (TestDatabase, SqlStorage, Arc<ManualClock>) {
    let database = TestDatabase::create(engine).await;
    let storage = open(&database).await;
    let clock = Arc::new(ManualClock::default());
    storage.migrate(&[CORE], &*clock).await.unwrap();
    (database, storage, clock)
}

/// The log of one process, running.
fn running(storage: &SqlStorage, clock: &Arc<ManualClock>) -> SqlEventLog {
    let (log, background) = SqlEventLog::new(storage.clone(), Arc::<ManualClock>::clone(clock));
    tokio::spawn(background.future);
    log
}

fn topic(id: impl std::fmt::Display) -> Topic {
    Topic::new("run", id)
}

fn event(seq: i64) -> Event {
    text(seq, &format!("event {seq}"))
}

fn text(seq: i64, data: &str) -> Event {
    Event { seq, data: data.into() }
}

fn events(seqs: impl IntoIterator<Item = i64>) -> Vec<Event> {
    seqs.into_iter().map(event).collect()
}

async fn append(log: &SqlEventLog, topic: &Topic, seqs: impl IntoIterator<Item = i64>) {
    for seq in seqs {
        log.append(topic, event(seq)).await.unwrap();
    }
}

/// Follows the topic up to `last`, as a stream's reader does.
async fn follow(log: SqlEventLog, topic: Topic, last: i64, limit: u32) -> Vec<Event> {
    let mut seen: Vec<Event> = Vec::new();
    loop {
        let after = seen.last().map_or(0, |event| event.seq);
        let next = log.read(&topic, after, limit).await.unwrap();
        assert!(next.len() <= limit as usize);
        seen.extend(next);
        let after = seen.last().map_or(0, |event| event.seq);
        if after >= last {
            return seen;
        }
        log.changed(&topic, after).await;
    }
}

type Appending = Pin<Box<dyn Future<Output = Result<(), EventLogError>> + Send>>;

/// Queues events without waiting for them.
async fn queued(log: &SqlEventLog, events: impl IntoIterator<Item = (Topic, Event)>) -> Vec<Appending> {
    let mut queued = Vec::new();
    for (topic, event) in events {
        let log = log.clone();
        let mut appending: Appending = Box::pin(async move { log.append(&topic, event).await });
        assert!(is_pending(&mut appending).await, "nobody writes yet");
        queued.push(appending);
        // A task that polls much without yielding is told to wait by tokio.
        tokio::task::yield_now().await;
    }
    queued
}

/// Polls once.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

on_both_engines! {
    async fn in_one_batch_too_the_first_of_a_number_is_kept(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, background) = SqlEventLog::new(storage, clock);
        let run = topic(1);
        let same = [event(1), event(2), text(2, "again"), event(3), text(1, "again")];
        let queued = queued(&log, same.map(|event| (run.clone(), event))).await;
        tokio::spawn(background.future);
        for appending in queued {
            appending.await.unwrap();
        }
        assert_eq!(log.batches(), 1);
        for after in 0..3 {
            assert_eq!(log.read(&run, after, 9).await.unwrap(), events(after + 1..=3));
        }
    }

    async fn many_streams_share_few_transactions(engine: TestEngine) {
        const STREAMS: i64 = 500;
        const EVENTS: i64 = 20;
        let (_database, storage, clock) = migrated(engine).await;
        let log = running(&storage, &clock);
        let mut writers = JoinSet::new();
        for stream in 0..STREAMS {
            let log = log.clone();
            writers.spawn(async move { append(&log, &topic(stream), 1..=EVENTS).await });
        }
        writers.join_all().await;
        let after_restart = running(&storage, &clock);
        for stream in 0..STREAMS {
            assert_eq!(after_restart.read(&topic(stream), 0, 100).await.unwrap(), events(1..=EVENTS));
        }
        let batches = log.batches();
        assert!(batches * 10 < (STREAMS * EVENTS).unsigned_abs(), "{batches} transactions");
    }

    async fn followers_see_each_event_once_and_in_order_while_they_are_appended(engine: TestEngine) {
        const EVENTS: i64 = 600;
        let (_database, storage, clock) = migrated(engine).await;
        let log = running(&storage, &clock);
        let mut followers = JoinSet::new();
        for stream in 0..4 {
            for limit in [1, 7, 1_000] {
                followers.spawn(follow(log.clone(), topic(stream), EVENTS, limit));
            }
        }
        let mut writers = JoinSet::new();
        for stream in 0..4 {
            let log = log.clone();
            writers.spawn(async move { append(&log, &topic(stream), 1..=EVENTS).await });
        }
        for seen in followers.join_all().await {
            assert_eq!(seen, events(1..=EVENTS));
        }
        writers.join_all().await;
        // Far more than is held in memory; who comes late gets it from both, without a seam.
        for after in [0, 1, EVENTS - 257, EVENTS - 256, EVENTS - 1] {
            assert_eq!(log.read(&topic(0), after, 1_000).await.unwrap(), events(after + 1..=EVENTS));
        }
    }

    async fn followers_in_other_processes_see_each_event_once_and_in_order(engine: TestEngine) {
        const EVENTS: i64 = 200;
        let (_database, storage, clock) = migrated(engine).await;
        let (first, second) = (running(&storage, &clock), running(&storage, &clock));
        let mut followers = JoinSet::new();
        for (stream, log) in [(0, &first), (0, &second), (1, &first), (1, &second)] {
            for limit in [3, 1_000] {
                followers.spawn(follow(log.clone(), topic(stream), EVENTS, limit));
            }
        }
        // Each stream changes hands half-way, and back for the last.
        let hands = [[first.clone(), second.clone()], [second, first]];
        for (stream, [early, late]) in iter::zip(0.., hands) {
            followers.spawn(async move {
                append(&early, &topic(stream), 1..=EVENTS / 2).await;
                append(&late, &topic(stream), EVENTS / 2 + 1..EVENTS).await;
                append(&early, &topic(stream), [EVENTS]).await;
                events(1..=EVENTS)
            });
        }
        let time = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            loop {
                tick.tick().await;
                clock.advance(SECOND / 4);
            }
        });
        for seen in followers.join_all().await {
            assert_eq!(seen, events(1..=EVENTS));
        }
        time.abort();
    }

    async fn a_thousand_followers_of_what_another_process_appends_share_one_read(engine: TestEngine) {
        const FOLLOWERS: usize = 1_000;
        let (_database, storage, clock) = migrated(engine).await;
        let (first, second) = (running(&storage, &clock), running(&storage, &clock));
        append(&first, &topic(1), [1]).await;
        let begun = Arc::new(Barrier::new(FOLLOWERS + 1));
        let mut followers = JoinSet::new();
        for _ in 0..FOLLOWERS {
            let (log, begun) = (second.clone(), Arc::clone(&begun));
            followers.spawn(async move {
                assert_eq!(log.read(&topic(1), 0, 100).await.unwrap(), events([1]));
                begun.wait().await;
                loop {
                    log.changed(&topic(1), 1).await;
                    let next = log.read(&topic(1), 1, 100).await.unwrap();
                    if !next.is_empty() {
                        return next;
                    }
                }
            });
        }
        begun.wait().await;
        append(&first, &topic(1), [2]).await;
        let before = second.reads();
        let mut seen = 0;
        while seen < FOLLOWERS {
            clock.advance(SECOND);
            // Whoever did not wait yet looks with the next second.
            while let Ok(Some(next)) =
                tokio::time::timeout(Duration::from_millis(50), followers.join_next()).await
            {
                assert_eq!(next.unwrap(), events([2]));
                seen += 1;
            }
        }
        let reads = second.reads() - before;
        assert!((1..=10).contains(&reads), "the database was asked {reads} times");
    }

    async fn who_waits_is_woken_by_an_event_past_the_cursor_by_a_wake_or_by_the_poll(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, run) = (running(&storage, &clock), topic(1));
        append(&log, &run, 1..=2).await;
        log.changed(&run, 1).await;

        let mut changed = log.changed(&run, 3);
        assert!(is_pending(&mut changed).await);
        append(&log, &run, 3..=3).await;
        log.wake(&topic(2));
        assert!(is_pending(&mut changed).await, "event 3 is not past 3, and the wake was another's");
        append(&log, &run, 4..=4).await;
        changed.await;

        let mut woken = log.changed(&run, 4);
        assert!(is_pending(&mut woken).await);
        log.wake(&run);
        woken.await;

        let mut polled = log.changed(&run, 4);
        assert!(is_pending(&mut polled).await);
        clock.advance(Duration::from_millis(999));
        assert!(is_pending(&mut polled).await);
        clock.advance(Duration::from_millis(1));
        polled.await;
    }

    async fn topics_that_nobody_waits_on_are_forgotten(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let log = running(&storage, &clock);
        for stream in 0..50 {
            append(&log, &topic(stream), 1..=3).await;
        }
        let topics: Vec<_> = (40..60).map(topic).collect();
        let mut waiting: Vec<_> = topics.iter().flat_map(|topic| [log.changed(topic, 9), log.changed(topic, 9)]).collect();
        for changed in &mut waiting {
            assert!(is_pending(changed).await);
        }
        assert_eq!(log.live_topics(), 60);
        waiting.truncate(20);
        assert_eq!(log.live_topics(), 50, "ten were waited on and never appended to");
        clock.advance(SECOND);
        assert_eq!(log.live_topics(), 10);
        drop(waiting);
        assert_eq!(log.live_topics(), 0);
        log.wake(&topic(1));
        log.remove(&topic(1)).await.unwrap();
        log.read(&topic(2), 1, 9).await.unwrap();
        assert_eq!(log.live_topics(), 0);
    }

    async fn followers_of_a_live_topic_are_served_from_memory_for_a_second(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, run) = (running(&storage, &clock), topic(1));
        append(&log, &run, 1..=2).await;
        clock.advance(SECOND / 2);
        append(&log, &run, 3..=5).await;
        storage.close().await;

        assert_eq!(log.read(&run, 1, 2).await.unwrap(), events(2..=3));
        for after in [0, 5] {
            let error = log.read(&run, after, 9).await.expect_err("who begins, or has all, asks the database");
            assert!(matches!(error, EventLogError::Unavailable(_)), "{error:?}");
        }
        clock.advance(SECOND / 2);
        log.read(&run, 1, 9).await.expect_err("event 2 is a second old");
        assert_eq!(log.read(&run, 2, 9).await.unwrap(), events(3..=5));
        clock.advance(SECOND / 2);
        log.read(&run, 2, 9).await.expect_err("all are a second old");
        let error = log.append(&run, event(6)).await.unwrap_err();
        assert!(matches!(error, EventLogError::Unavailable(_)), "{error:?}");
    }

    async fn without_its_background_the_log_appends_nothing_and_still_reads(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        append(&running(&storage, &clock), &topic(1), 1..=2).await;
        let (log, background) = SqlEventLog::new(storage, clock);
        // More than the queue takes: some wait for room.
        let large: Arc<str> = "x".repeat(3 << 20).into();
        let waiting = queued(&log, (3..9).map(|seq| (topic(1), Event { seq, data: Arc::clone(&large) }))).await;
        drop(background);
        for appending in waiting {
            let error = appending.await.unwrap_err();
            assert!(matches!(error, EventLogError::Unavailable(_)), "{error:?}");
        }
        let error = log.append(&topic(1), event(3)).await.unwrap_err();
        assert!(matches!(error, EventLogError::Unavailable(_)), "{error:?}");
        assert_eq!(log.read(&topic(1), 0, 9).await.unwrap(), events(1..=2));
        log.remove(&topic(1)).await.unwrap();
        assert_eq!(log.read(&topic(1), 0, 9).await.unwrap(), []);
    }

    async fn the_background_writes_what_is_queued_and_ends_when_the_log_is_dropped(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, background) = SqlEventLog::new(storage.clone(), Arc::<ManualClock>::clone(&clock));
        assert_eq!(format!("{background:?}"), "Background { name: \"event log\", .. }");
        drop(queued(&log, events(1..=3).into_iter().map(|event| (topic(1), event))).await);
        drop(log);
        background.future.await;
        assert_eq!(running(&storage, &clock).read(&topic(1), 0, 9).await.unwrap(), events(1..=3));
    }

    async fn more_than_the_queue_takes_and_events_larger_than_it_pass(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, background) = SqlEventLog::new(storage, clock);
        let large: Arc<str> = "x".repeat(9 << 20).into();
        let all: Vec<_> = (1..=3)
            .map(|stream| (topic(stream), Event { seq: 1, data: Arc::clone(&large) }))
            .chain((4..2_004).map(|stream| (topic(stream), event(1))))
            .collect();
        let queued = queued(&log, all.iter().cloned()).await;
        tokio::spawn(background.future);
        for appending in queued {
            appending.await.unwrap();
        }
        for (topic, event) in all {
            assert_eq!(log.read(&topic, 0, 9).await.unwrap(), [event]);
        }
    }

    async fn u_0000_is_refused(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let log = running(&storage, &clock);
        for (topic, event) in [(topic(1), text(1, "a\0b")), (topic("a\0b"), event(1))] {
            let error = log.append(&topic, event).await.unwrap_err();
            assert!(matches!(error, EventLogError::Backend(_)), "{error:?}");
        }
        append(&log, &topic(1), 1..=1).await;
        assert_eq!((log.read(&topic(1), 0, 9).await.unwrap(), log.batches()), (events([1]), 1));
    }

    async fn a_bad_event_fails_alone_with_what_follows_it_in_its_topic(engine: TestEngine) {
        const GOOD: i64 = 100;
        let (_database, storage, clock) = migrated(engine).await;
        let (log, background) = SqlEventLog::new(storage, clock);
        let bad = [topic(17), topic(80)];
        let good = queued(&log, (0..GOOD).flat_map(|stream| {
            (1..=3).filter(move |_| stream != 17 && stream != 80).map(move |seq| (topic(stream), event(seq)))
        }))
        .await;
        // The database numbers events from 1.
        let bad = queued(&log, bad.iter().flat_map(|topic| (0..=2).map(|seq| (topic.clone(), event(seq))))).await;
        tokio::spawn(background.future);
        for appending in bad {
            let error = appending.await.unwrap_err();
            assert!(matches!(error, EventLogError::Backend(_)), "{error:?}");
        }
        for appending in good {
            appending.await.unwrap();
        }
        for stream in 0..GOOD {
            let expected = if stream == 17 || stream == 80 { vec![] } else { events(1..=3) };
            assert_eq!(log.read(&topic(stream), 0, 9).await.unwrap(), expected);
        }
        let batches = log.batches();
        assert!(batches < 30, "{batches} transactions to find two of {}", 3 * GOOD);
        append(&log, &topic(17), 1..=1).await;
    }

    async fn nothing_past_a_gap_is_read(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, run) = (running(&storage, &clock), topic(1));
        append(&log, &run, [1, 3, 4]).await;
        for beginning in [0, -1, i64::MIN] {
            assert_eq!(log.read(&run, beginning, 9).await.unwrap(), events([1]));
        }
        assert_eq!(log.read(&run, 1, 9).await.unwrap(), []);
        let mut changed = log.changed(&run, 1);
        assert!(is_pending(&mut changed).await, "who waits for the missing event would ask for it in a loop");
        append(&log, &run, [2]).await;
        changed.await;
        assert_eq!(follow(log, run, 4, 9).await, events(1..=4));
    }

    async fn a_removed_topic_is_gone_whole_and_begins_anew(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, run) = (running(&storage, &clock), topic(1));
        append(&log, &run, 1..=5).await;
        append(&log, &topic(2), 1..=2).await;
        let mut changed = log.changed(&run, 5);
        assert!(is_pending(&mut changed).await);
        log.remove(&run).await.unwrap();
        changed.await;
        for after in [0, 2] {
            assert_eq!(log.read(&run, after, 9).await.unwrap(), []);
            assert!(is_pending(&mut log.changed(&run, after)).await);
        }
        log.append(&run, text(1, "anew")).await.unwrap();
        log.append(&run, text(2, "anew")).await.unwrap();
        for after in [0, 1] {
            let expected = [text(1, "anew"), text(2, "anew")];
            assert_eq!(log.read(&run, after, 9).await.unwrap(), expected[usize::try_from(after).unwrap()..]);
        }
        assert_eq!(log.read(&topic(2), 0, 9).await.unwrap(), events(1..=2));
        log.remove(&topic(3)).await.unwrap();
    }

    async fn what_another_process_removed_is_gone_for_who_begins_and_a_second_later_for_who_follows(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, other_process) = (running(&storage, &clock), running(&storage, &clock));
        for stream in 1..=2 {
            append(&log, &topic(stream), 1..=5).await;
            other_process.remove(&topic(stream)).await.unwrap();
        }
        assert_eq!(log.read(&topic(1), 0, 9).await.unwrap(), []);
        assert_eq!(log.read(&topic(1), 2, 9).await.unwrap(), [], "the log noticed");
        assert!(is_pending(&mut log.changed(&topic(1), 0)).await, "who waits would be told in a loop to read");
        clock.advance(SECOND);
        assert_eq!(log.read(&topic(2), 2, 9).await.unwrap(), []);
    }

    async fn an_append_beside_a_removal_leaves_the_same_in_memory_as_in_the_database(engine: TestEngine) {
        let (_database, storage, clock) = migrated(engine).await;
        let (log, other_process) = (running(&storage, &clock), running(&storage, &clock));
        let mut kept = 0;
        for round in 0..100 {
            let run = topic(round);
            append(&log, &run, 1..=3).await;
            let (appended, removed) = tokio::join!(
                async { log.append(&run, event(4)).await },
                async {
                    // Sooner or later than the other.
                    for _ in 0..round % 10 {
                        tokio::task::yield_now().await;
                    }
                    log.remove(&run).await
                },
            );
            appended.unwrap();
            removed.unwrap();
            for after in [1, 3] {
                let stored = other_process.read(&run, after, 9).await.unwrap();
                assert_eq!(log.read(&run, after, 9).await.unwrap(), stored);
                kept += stored.len();
            }
        }
        assert!(kept < 200, "no removal came after its append");
    }
}

/// The log of one process, running, with signals.
fn signalled(storage: &SqlStorage, clock: &Arc<ManualClock>) -> (SqlEventLog, JoinSet<()>) {
    let (signals, carrying) = Signals::new(storage, Arc::<ManualClock>::clone(clock), &SystemEntropy);
    let (log, writing) =
        SqlEventLog::with_signals(storage.clone(), Arc::<ManualClock>::clone(clock), signals);
    let mut loops = JoinSet::new();
    loops.spawn(carrying.future);
    loops.spawn(writing.future);
    (log, loops)
}

/// The clock stands still: nobody polls.
#[tokio::test]
async fn on_postgres_a_follower_hears_of_another_processs_events_at_once() {
    let (_database, storage, clock) = migrated(TestEngine::Postgres).await;
    let (first, _first_loops) = signalled(&storage, &clock);
    let (second, _second_loops) = signalled(&storage, &clock);
    let follower = tokio::spawn(follow(second, topic(1), 1, 10));
    append(&first, &topic(1), [1]).await;
    assert_eq!(follower.await.unwrap(), events([1]));
}

#[tokio::test]
async fn on_postgres_signals_are_heard_by_others_alone_and_say_what_they_are_about() {
    let (_database, storage, clock) = migrated(TestEngine::Postgres).await;
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut loops = JoinSet::new();
    let mut process = |name: &'static str| {
        let (signals, carrying) = Signals::new(&storage, Arc::<ManualClock>::clone(&clock), &SystemEntropy);
        let sender = sender.clone();
        signals.hear("looks", move |about| drop(sender.send((name, about.map(str::to_owned)))));
        loops.spawn(carrying.future);
        signals
    };
    let (first, _second) = (process("first"), process("second"));
    // Both have begun to listen: anything may have been raised before.
    let mut begun = [heard.recv().await, heard.recv().await].map(|heard| heard.map(|(name, _)| name));
    begun.sort_unstable();
    assert_eq!(begun, [Some("first"), Some("second")]);
    first.raise_about("looks", "run:1");
    assert_eq!(heard.recv().await, Some(("second", Some("run:1".to_owned()))));
    assert!(heard.try_recv().is_err(), "who raises hears nothing");
}
