//! `EventLog`.

use std::{
    collections::HashMap,
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use saas_core::{
    Cut, Event, EventLog, EventLogError, Topic, TopicState,
    conformance::event_log::{EventLogSubject as Subject, LINES, check},
};
use saas_kit::{SystemClock, testing::TestEngine};
use saas_sql::{SqlEventLog, SqlStorage};

use crate::{
    conformance::{broken::assert_noticed, migrated, on_each_engine},
    engines::open,
};

/// The log of one process, running.
fn running(storage: SqlStorage) -> SqlEventLog {
    let (log, background) = SqlEventLog::new(storage, Arc::<SystemClock>::default());
    tokio::spawn(background.future);
    log
}

/// Two processes with their logs, in front of each whatever `wrap` makes.
async fn processes(engine: TestEngine, wrap: impl Fn(SqlEventLog) -> Arc<dyn EventLog>) -> Subject {
    let (database, storage) = migrated(engine).await;
    let other = open(&database).await;
    let (log, elsewhere) = (wrap(running(storage)), wrap(running(other)));
    Subject::new(log, elsewhere, Arc::<SystemClock>::default(), database)
}

async fn subject(engine: TestEngine) -> Subject {
    processes(engine, |log| Arc::new(log)).await
}

on_each_engine!(saas_core::event_log_conformance);

/// The SQL log, but for one line of the contract.
#[derive(Debug)]
struct Broken {
    line: &'static str,
    log: SqlEventLog,
    last_texts: Mutex<HashMap<(Topic, i64), Event>>,
}

#[async_trait]
impl EventLog for Broken {
    async fn append(&self, topic: &Topic, event: Event) -> Result<(), EventLogError> {
        let late = Duration::from_millis(50);
        match self.line {
            "of_two_events_with_one_number_the_first_is_kept" => {
                self.last_texts.lock().unwrap().insert((topic.clone(), event.seq), event.clone());
            }
            // Promises, then writes.
            "what_was_appended_is_there_for_every_process" => {
                let (log, topic) = (self.log.clone(), topic.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    log.append(&topic, event).await
                });
                return Ok(());
            }
            "what_was_appended_before_is_there_too" if event.seq == 7 => tokio::time::sleep(late).await,
            _ => {}
        }
        self.log.append(topic, event).await
    }

    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        let limit = match self.line {
            "read_gives_the_events_of_its_topic_after_a_number_in_order_up_to_a_limit" => {
                limit.saturating_add(1)
            }
            _ => limit,
        };
        let read = self.log.read(topic, after, limit).await;
        let mut events = match (self.line, read) {
            // Skips what is gone, and says nothing.
            ("who_reads_from_before_what_was_trimmed_is_told", Err(EventLogError::Trimmed { oldest })) => {
                self.log.read(topic, oldest - 1, limit).await?
            }
            (_, read) => read?,
        };
        if self.line == "nothing_past_a_gap_is_read" {
            let last = events.last().map_or(after, |event| event.seq);
            events.extend(self.log.read(topic, last + 1, limit).await?);
        }
        let last_texts = self.last_texts.lock().unwrap();
        for event in &mut events {
            if let Some(last) = last_texts.get(&(topic.clone(), event.seq)) {
                *event = last.clone();
            }
        }
        Ok(events)
    }

    async fn changed(&self, topic: &Topic, after: i64) {
        if self.line == "changed_returns_soon_after_an_event_of_any_process" {
            future::pending::<()>().await;
        }
        self.log.changed(topic, after).await;
    }

    fn wake(&self, topic: &Topic) {
        if self.line != "wake_ends_the_waiting_on_its_topic" {
            self.log.wake(topic);
        }
    }

    async fn remove(&self, topic: &Topic) -> Result<(), EventLogError> {
        if self.line == "remove_takes_the_whole_topic_and_it_begins_anew" {
            return Ok(());
        }
        self.log.remove(topic).await
    }

    async fn trim(&self, cuts: &[Cut]) -> Result<u64, EventLogError> {
        let mut cuts = cuts.to_vec();
        if self.line == "trim_takes_the_oldest_events_of_the_topics_named_and_tells_how_many" {
            for cut in &mut cuts {
                cut.through += 1;
            }
        }
        let removed = self.log.trim(&cuts).await?;
        // Forgets what it trimmed: the topic begins where somebody says so again.
        if self.line == "what_was_trimmed_stays_trimmed_and_the_topic_goes_on" {
            for cut in &cuts {
                let rest = match self.log.read(&cut.topic, 0, 99).await {
                    Err(EventLogError::Trimmed { oldest }) => {
                        self.log.read(&cut.topic, oldest - 1, 99).await?
                    }
                    rest => rest?,
                };
                self.log.remove(&cut.topic).await?;
                for event in rest {
                    self.log.append(&cut.topic, event).await?;
                }
            }
        }
        Ok(removed)
    }

    async fn topics(
        &self,
        family: &str,
        after: Option<&Topic>,
        limit: u32,
    ) -> Result<Vec<TopicState>, EventLogError> {
        let mut topics = self.log.topics(family, after, limit).await?;
        if self.line == "topics_are_those_of_a_family_in_order_with_what_they_hold" {
            for state in &mut topics {
                state.oldest = 1;
            }
        }
        Ok(topics)
    }
}

#[tokio::test]
async fn a_log_that_breaks_a_line_is_noticed() {
    // Beside each other: some wait for what never comes.
    join_all(LINES.iter().map(|line| async move {
        let wrap = |log| Arc::new(Broken { line, log, last_texts: Mutex::default() }) as Arc<dyn EventLog>;
        let subject = processes(TestEngine::Sqlite, wrap).await;
        assert_noticed(line, check(line, subject)).await;
    }))
    .await;
}
