//! The bounds of event streams over SQL: what stays of a topic that is appended to, and what its readers hear.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use saas_agents::AgentsConfig;
use saas_core::{Cut, Event, EventBounds, EventLog, EventLogError, Topic, clock::ManualClock};
use saas_kit::{
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine},
};
use saas_sql::{CORE, SqlEventLog, SqlStorage};
use tokio::{sync::Barrier, task::JoinSet};

use crate::engines::open;

const SECOND: Duration = Duration::from_secs(1);

async fn migrated(engine: TestEngine) -> (TestDatabase, SqlStorage, Arc<ManualClock>) {
    let database = TestDatabase::create(engine).await;
    let storage = open(&database).await;
    let clock = Arc::new(ManualClock::default());
    storage.migrate(&[CORE], &*clock).await.unwrap();
    (database, storage, clock)
}

/// The log of one process, running, that keeps so many events of each topic of the family `run`.
fn bounded(storage: &SqlStorage, clock: &Arc<ManualClock>, newest: u32) -> SqlEventLog {
    let bounds = EventBounds { family: "run", newest, idle: SECOND };
    let clock = Arc::<ManualClock>::clone(clock);
    let (log, background) = SqlEventLog::bounded(storage.clone(), clock, None, &[bounds]);
    tokio::spawn(background.future);
    log
}

fn event(seq: i64) -> Event {
    Event { seq, data: format!("event {seq}").into() }
}

/// Appends events up to `last`, some hundreds at once.
async fn append(log: &SqlEventLog, topic: &Topic, first: i64, last: i64) {
    for begin in (first..=last).step_by(800) {
        let events = begin..=(begin + 799).min(last);
        for appended in join_all(events.map(|seq| log.append(topic, event(seq)))).await {
            appended.unwrap();
        }
    }
}

/// The numbers of the oldest and the newest event of each topic of a family.
async fn held(log: &SqlEventLog, family: &str) -> Vec<(i64, i64)> {
    let topics = log.topics(family, None, 9).await.unwrap();
    topics.iter().map(|state| (state.oldest, state.newest)).collect()
}

fn trimmed(read: Result<Vec<Event>, EventLogError>) -> i64 {
    match read {
        Err(EventLogError::Trimmed { oldest }) => oldest,
        other => panic!("the reader is to be told: {other:?}"),
    }
}

on_both_engines! {
    async fn a_bounded_topic_keeps_its_newest_events_while_it_is_appended_to(engine: TestEngine) {
        const LAST: i64 = 5_300;
        let (_database, storage, clock) = migrated(engine).await;
        let log = bounded(&storage, &clock, 2_000);
        let (run, other) = (Topic::new("run", 1), Topic::new("walk", 1));
        append(&log, &other, 1, 2_900).await;
        append(&log, &run, 1, 2_000).await;
        assert_eq!(held(&log, "run").await, [(1, 2_000)], "nothing within the bound goes");
        append(&log, &run, 2_001, LAST).await;
        let [(oldest, LAST)] = held(&log, "run").await[..] else { panic!("one topic") };
        assert!((LAST - 2_000 - 1_024..=LAST - 2_000 + 1).contains(&oldest), "it begins at {oldest}");
        assert_eq!(held(&log, "walk").await, [(1, 2_900)], "another family is not bounded");
        for after in [0, 1, oldest - 2] {
            assert_eq!(trimmed(log.read(&run, after, 9).await), oldest, "after {after}");
        }
        let rest = log.read(&run, oldest - 1, 9_000).await.unwrap();
        assert!(rest.into_iter().eq((oldest..=LAST).map(event)), "without a gap to the end");
    }

    async fn who_follows_a_bounded_topic_sees_each_event_or_is_told_that_it_is_gone(engine: TestEngine) {
        const LAST: i64 = 6_000;
        let (_database, storage, clock) = migrated(engine).await;
        let (log, elsewhere) = (bounded(&storage, &clock, 500), bounded(&storage, &clock, 500));
        let run = Topic::new("run", 1);
        let mut followers = JoinSet::new();
        for (log, limit) in [(&log, 1), (&log, 300), (&elsewhere, 7), (&elsewhere, 9_000)] {
            let (log, run) = (log.clone(), run.clone());
            followers.spawn(async move {
                let (mut at, mut told) = (0, 0);
                while at < LAST {
                    match log.read(&run, at, limit).await {
                        Ok(events) if events.is_empty() => tokio::task::yield_now().await,
                        Ok(events) => {
                            assert!(events.iter().zip(at + 1..).all(|(event, seq)| event.seq == seq), "silently skipped");
                            at += i64::try_from(events.len()).unwrap();
                        }
                        read => {
                            let oldest = trimmed(read);
                            assert!(oldest > at + 1, "{oldest} is next");
                            (at, told) = (oldest - 1, told + 1);
                        }
                    }
                }
                told
            });
        }
        append(&log, &run, 1, LAST).await;
        assert_eq!(followers.join_all().await.len(), 4);
    }

    async fn the_longest_legal_answer_stays_whole_at_the_smallest_and_the_default_bound(engine: TestEngine) {
        // The first event, before any text.
        const LONGEST: i64 = AgentsConfig::ANSWER_TEXTS as i64 + 1;
        let kept = |flags: &[(&'static str, String)]| {
            Settings::load(&Sources::empty().with_flags(flags.iter().cloned())).map(|it| it.retention_run_events_count)
        };
        let count = |count: i64| [("RETENTION_RUN_EVENTS_COUNT", count.to_string())];
        assert!(kept(&count(LONGEST - 1)).is_err(), "a bound that no longest answer fits into is refused");
        let smallest = kept(&count(LONGEST)).unwrap();
        assert!(kept(&[]).unwrap() >= smallest);
        let (_database, storage, clock) = migrated(engine).await;
        let (log, run) = (bounded(&storage, &clock, smallest), Topic::new("run", 1));
        append(&log, &run, 1, LONGEST).await;
        assert_eq!(held(&log, "run").await, [(1, LONGEST)]);
        assert_eq!(log.read(&run, 0, 1).await.unwrap(), [event(1)], "who begins misses nothing");
        append(&log, &run, LONGEST + 1, LONGEST + 1_024).await;
        assert!(trimmed(log.read(&run, 0, 1).await) > 1, "what no answer needs is bounded");
    }

    async fn followers_who_share_a_read_are_all_told(engine: TestEngine) {
        const FOLLOWERS: usize = 200;
        let (_database, storage, clock) = migrated(engine).await;
        let (first, second) = (bounded(&storage, &clock, 10), bounded(&storage, &clock, 10));
        let run = Topic::new("run", 1);
        append(&first, &run, 1, 1).await;
        let begun = Arc::new(Barrier::new(FOLLOWERS + 1));
        let mut followers = JoinSet::new();
        for _ in 0..FOLLOWERS {
            let (log, begun, run) = (second.clone(), Arc::clone(&begun), run.clone());
            followers.spawn(async move {
                assert_eq!(log.read(&run, 0, 9).await.unwrap(), [event(1)]);
                begun.wait().await;
                begun.wait().await;
                log.read(&run, 1, 9).await
            });
        }
        begun.wait().await;
        append(&first, &run, 2, 9).await;
        first.trim(&[Cut { topic: run.clone(), through: 5 }]).await.unwrap();
        begun.wait().await;
        for read in followers.join_all().await {
            assert_eq!(trimmed(read), 6);
        }
        assert_eq!(second.read(&run, 5, 1).await.unwrap(), [event(6)]);
    }
}
