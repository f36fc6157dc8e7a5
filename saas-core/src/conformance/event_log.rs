//! The contract of [`EventLog`].

use std::{any::Any, sync::Arc, time::Duration};

use futures_util::future::{join, join_all};

use crate::clock::within;
use crate::{Clock, Cut, Event, EventLog, EventLogError, Topic, TopicState};

saas_core::conformance_suite! {
    ($)
    /// Tests an [`EventLog`](crate::EventLog): takes the path of an `async fn() -> EventLogSubject`, makes a test of each line of its
    /// contract.
    event_log_conformance, saas_core, event_log, EventLogSubject,
    [
        of_two_events_with_one_number_the_first_is_kept,
        what_was_appended_is_there_for_every_process,
        what_was_appended_before_is_there_too,
        read_gives_the_events_of_its_topic_after_a_number_in_order_up_to_a_limit,
        nothing_past_a_gap_is_read,
        changed_returns_soon_after_an_event_of_any_process,
        wake_ends_the_waiting_on_its_topic,
        remove_takes_the_whole_topic_and_it_begins_anew,
        trim_takes_the_oldest_events_of_the_topics_named_and_tells_how_many,
        who_reads_from_before_what_was_trimmed_is_told,
        what_was_trimmed_stays_trimmed_and_the_topic_goes_on,
        topics_are_those_of_a_family_in_order_with_what_they_hold,
    ]
}

/// Long enough that what has not happened then never does: a second is promised, and a loaded machine may be late.
const NEVER: Duration = Duration::from_secs(5);

/// How far a file system's time may be from the clock's.
const COARSE: Duration = Duration::from_secs(2);

/// A log without events, as two processes have it.
#[derive(Debug)]
pub struct EventLogSubject {
    logs: [Arc<dyn EventLog>; 2],
    clock: Arc<dyn Clock>,
    _kept: Box<dyn Any + Send>,
}

impl EventLogSubject {
    /// A new, empty log, and the same log as another process has it, each with its background running where it has one. The clock has to
    /// go by itself: it bounds how long a check waits. `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        log: Arc<dyn EventLog>,
        elsewhere: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        kept: impl Any + Send,
    ) -> Self {
        Self { logs: [log, elsewhere], clock, _kept: Box::new(kept) }
    }

    /// The process whose turn it is.
    fn log(&self, number: usize) -> &dyn EventLog {
        &*self.logs[number % 2]
    }

    async fn append(&self, topic: &Topic, seqs: impl IntoIterator<Item = i64>) {
        for seq in seqs {
            self.log(0).append(topic, event(seq)).await.unwrap();
        }
    }

    /// What either process reads after `after`: the same.
    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Vec<Event> {
        let [one, other] = [self.log(0), self.log(1)].map(|log| read(log, topic, after, limit));
        let (one, other) = join(one, other).await;
        assert_eq!(one, other, "two processes read {topic} after {after} differently");
        one
    }
}

impl EventLogSubject {
    async fn trim(&self, cuts: &[(&Topic, i64)]) -> u64 {
        let cuts: Vec<Cut> =
            cuts.iter().map(|(topic, through)| Cut { topic: (*topic).clone(), through: *through }).collect();
        self.log(0).trim(&cuts).await.unwrap()
    }

    /// In both processes, who reads after `after` is told where the topic begins now.
    async fn assert_told(&self, topic: &Topic, after: i64, begins: i64) {
        for log in [self.log(0), self.log(1)] {
            match log.read(topic, after, 9).await {
                Err(EventLogError::Trimmed { oldest }) => {
                    assert_eq!(oldest, begins, "where {topic} begins, told to who reads after {after}");
                }
                other => {
                    panic!("who reads {topic} after {after} is to be told that it is trimmed: {other:?}")
                }
            }
        }
    }

    /// All topics of a family, two at a time: the same in both processes.
    async fn topics(&self, family: &str) -> Vec<TopicState> {
        let [one, other] = [self.log(0), self.log(1)].map(|log| all_topics(log, family));
        let (one, other) = join(one, other).await;
        assert_eq!(one, other, "two processes list the topics of {family} differently");
        one
    }
}

async fn all_topics(log: &dyn EventLog, family: &str) -> Vec<TopicState> {
    let mut all: Vec<TopicState> = Vec::new();
    loop {
        let next = log.topics(family, all.last().map(|state| &state.topic), 2).await.unwrap();
        assert!(next.len() <= 2, "two topics were asked for, and {next:?} came");
        if next.is_empty() {
            return all;
        }
        all.extend(next);
        assert!(all.len() < 100, "the list of the topics of {family} does not end");
    }
}

/// Reads on until there are so many, or no more.
async fn read(log: &dyn EventLog, topic: &Topic, after: i64, limit: u32) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(after, |event| event.seq);
        let left = limit as usize - events.len();
        let next = log.read(topic, after, u32::try_from(left).unwrap()).await.unwrap();
        assert!(next.len() <= left, "{left} after {after} were asked for, and {next:?} came");
        if next.is_empty() {
            return events;
        }
        events.extend(next);
    }
}

fn topic(id: i64) -> Topic {
    Topic::new("conformance", id)
}

fn text(seq: i64, data: &str) -> Event {
    Event { seq, data: data.into() }
}

fn event(seq: i64) -> Event {
    text(seq, &format!("event {seq}"))
}

fn events(seqs: impl IntoIterator<Item = i64>) -> Vec<Event> {
    seqs.into_iter().map(event).collect()
}

async fn of_two_events_with_one_number_the_first_is_kept(subject: EventLogSubject) {
    let run = topic(1);
    subject.append(&run, 1..=2).await;
    subject.log(0).append(&run, text(2, "again")).await.unwrap();
    subject.log(1).append(&run, text(1, "theirs")).await.unwrap();
    assert_eq!(subject.read(&run, 0, 9).await, events(1..=2));
    subject.log(1).append(&run, text(3, "theirs")).await.unwrap();
    subject.log(0).append(&run, text(3, "ours")).await.unwrap();
    subject.append(&run, 4..=4).await;
    let kept = [event(1), event(2), text(3, "theirs"), event(4)];
    for after in 0..4 {
        let rest = subject.read(&run, after, 9).await;
        assert_eq!(rest, kept[usize::try_from(after).unwrap()..], "after {after}");
    }
}

async fn what_was_appended_is_there_for_every_process(subject: EventLogSubject) {
    for (seq, data) in
        (1..).zip(["{\"chunk\":\"a\"}", "", "two\nlines\r\n", "✈ 東京 \u{1F680}\u{7F}\t'\"\\", "last"])
    {
        let by = subject.log(usize::from(seq % 2 == 0));
        by.append(&topic(1), text(seq, data)).await.unwrap();
        let expected = [text(seq, data)];
        for log in [subject.log(0), subject.log(1)] {
            assert_eq!(
                log.read(&topic(1), seq - 1, 9).await.unwrap(),
                expected,
                "as soon as append returned"
            );
        }
    }
}

async fn what_was_appended_before_is_there_too(subject: EventLogSubject) {
    for round in 0..8 {
        let run = topic(round);
        let earlier = join_all((1..20).map(|seq| subject.log(0).append(&run, event(seq))));
        let last = async {
            subject.log(0).append(&run, event(20)).await.unwrap();
            read(subject.log(1), &run, 0, 99).await
        };
        let (earlier, seen) = join(earlier, last).await;
        assert!(earlier.iter().all(Result::is_ok), "{earlier:?}");
        assert_eq!(seen, events(1..=20), "event 20 was durable before another");
    }
}

async fn read_gives_the_events_of_its_topic_after_a_number_in_order_up_to_a_limit(subject: EventLogSubject) {
    let run = topic(1);
    subject.append(&run, 1..=20).await;
    subject.append(&topic(11), 1..=3).await;
    for (after, limit, expected) in [(0, 100, 1..=20), (0, 3, 1..=3), (7, 3, 8..=10), (18, u32::MAX, 19..=20)]
    {
        assert_eq!(subject.read(&run, after, limit).await, events(expected), "{limit} after {after}");
    }
    for (run, after, limit) in
        [(&run, 20, 9), (&run, 21, 9), (&run, i64::MAX, 9), (&run, 3, 0), (&topic(2), 0, 9)]
    {
        assert_eq!(subject.read(run, after, limit).await, [], "{limit} of {run} after {after}");
    }
    assert_eq!(subject.read(&topic(11), 0, 9).await, events(1..=3));
}

async fn nothing_past_a_gap_is_read(subject: EventLogSubject) {
    let run = topic(1);
    subject.append(&run, [1, 3, 4]).await;
    assert_eq!(subject.read(&run, 0, 9).await, events([1]));
    assert_eq!(subject.read(&run, 1, 9).await, [], "event 2 comes first");
    subject.append(&run, [2]).await;
    assert_eq!(subject.read(&run, 0, 9).await, events(1..=4));
    assert_eq!(subject.read(&run, 1, 9).await, events(2..=4));
}

async fn changed_returns_soon_after_an_event_of_any_process(subject: EventLogSubject) {
    let (run, clock) = (topic(1), &*subject.clock);
    subject.append(&run, 1..=1).await;
    for log in [subject.log(0), subject.log(1)] {
        within(clock, NEVER, log.changed(&run, 0)).await.expect("the event is there already");
    }
    for (writer, reader, seq) in [(0, 0, 2), (0, 1, 3), (1, 0, 4)] {
        let (writer, reader) = (subject.log(writer), subject.log(reader));
        // It may return without an event: who follows asks again.
        let follow = async {
            while reader.read(&run, seq - 1, 9).await.unwrap().is_empty() {
                reader.changed(&run, seq - 1).await;
            }
        };
        let (seen, appended) = join(within(clock, NEVER, follow), writer.append(&run, event(seq))).await;
        appended.unwrap();
        seen.unwrap_or_else(|| panic!("event {seq} is there, and who waits for it does not hear of it"));
    }
}

async fn wake_ends_the_waiting_on_its_topic(subject: EventLogSubject) {
    let (run, log) = (topic(1), subject.log(0));
    // More often than waiting ends by itself in that time.
    let woken = async {
        for _ in 0..16 {
            let waiting = join(log.changed(&run, 0), log.changed(&run, 7));
            join(waiting, async { log.wake(&run) }).await;
        }
    };
    within(&*subject.clock, NEVER, woken).await.expect("who waits on a topic is woken");
}

async fn remove_takes_the_whole_topic_and_it_begins_anew(subject: EventLogSubject) {
    let run = topic(1);
    subject.append(&run, 1..=5).await;
    subject.append(&topic(2), 1..=2).await;
    subject.log(0).remove(&run).await.unwrap();
    subject.log(0).remove(&topic(3)).await.expect("what is not there is removed");
    for after in [0, 2] {
        assert_eq!(subject.read(&run, after, 9).await, [], "after {after}");
    }
    let anew = [text(1, "anew"), text(2, "anew")];
    for event in anew.clone() {
        subject.log(0).append(&run, event).await.unwrap();
    }
    assert_eq!(subject.read(&run, 0, 9).await, anew);
    assert_eq!(subject.read(&run, 1, 9).await, anew[1..]);
    assert_eq!(subject.read(&topic(2), 0, 9).await, events(1..=2), "no other topic is removed");
    // That a topic was trimmed goes with it.
    subject.trim(&[(&topic(2), 1)]).await;
    subject.log(0).remove(&topic(2)).await.unwrap();
    assert_eq!(subject.read(&topic(2), 0, 9).await, []);
    subject.append(&topic(2), 1..=2).await;
    assert_eq!(subject.read(&topic(2), 0, 9).await, events(1..=2));
}

async fn trim_takes_the_oldest_events_of_the_topics_named_and_tells_how_many(subject: EventLogSubject) {
    let (long, short, other) = (topic(1), topic(2), topic(3));
    // More than any transaction takes at once.
    join_all((1..=1_500).map(|seq| subject.log(0).append(&long, event(seq)))).await;
    subject.append(&short, 1..=3).await;
    subject.append(&other, 1..=2).await;
    assert_eq!(subject.trim(&[]).await, 0);
    assert_eq!(subject.trim(&[(&long, 1_497), (&short, 9), (&topic(4), 5)]).await, 1_500);
    assert_eq!(subject.trim(&[(&long, 1_497), (&short, 3), (&other, 0)]).await, 0, "they are gone already");
    assert_eq!(subject.read(&long, 1_497, 9).await, events(1_498..=1_500));
    subject.append(&short, 4..=5).await;
    subject.append(&topic(4), 1..=5).await;
    assert_eq!(subject.read(&short, 3, 9).await, events(4..=5), "9 was not there to be trimmed");
    assert_eq!(subject.read(&topic(4), 0, 9).await, events(1..=5), "nothing was");
    assert_eq!(subject.read(&other, 0, 9).await, events(1..=2), "no other topic is trimmed");
    let held: Vec<_> =
        subject.topics("conformance").await.into_iter().map(|held| (held.oldest, held.newest)).collect();
    assert_eq!(held, [(1_498, 1_500), (4, 5), (1, 2), (1, 5)]);
}

async fn who_reads_from_before_what_was_trimmed_is_told(subject: EventLogSubject) {
    let (part, whole) = (topic(1), topic(2));
    subject.append(&part, 1..=9).await;
    subject.append(&whole, 1..=3).await;
    subject.trim(&[(&part, 4), (&whole, 3)]).await;
    for after in [0, 1, 3] {
        subject.assert_told(&part, after, 5).await;
    }
    for after in 4..=9 {
        assert_eq!(
            subject.read(&part, after, 9).await,
            events(after + 1..=9),
            "nothing after {after} is gone"
        );
    }
    for after in [0, 2] {
        subject.assert_told(&whole, after, 4).await;
    }
    assert_eq!(subject.read(&whole, 3, 9).await, [], "who has seen all of it lacks nothing");
    assert_eq!(subject.read(&topic(3), 0, 9).await, [], "what never was is not trimmed");
    // Who waited for what came and went hears of it.
    subject.append(&part, 10..=12).await;
    subject.trim(&[(&part, 12)]).await;
    for log in [subject.log(0), subject.log(1)] {
        within(&*subject.clock, NEVER, log.changed(&part, 9)).await.expect("waiting ends");
    }
    subject.assert_told(&part, 9, 13).await;
}

async fn what_was_trimmed_stays_trimmed_and_the_topic_goes_on(subject: EventLogSubject) {
    let run = topic(1);
    subject.append(&run, 1..=6).await;
    subject.trim(&[(&run, 4)]).await;
    subject.log(0).append(&run, text(2, "again")).await.unwrap();
    subject.log(1).append(&run, text(1, "theirs")).await.unwrap();
    for after in [0, 1, 3] {
        subject.assert_told(&run, after, 5).await;
    }
    subject.append(&run, 7..=8).await;
    assert_eq!(subject.read(&run, 4, 9).await, events(5..=8));
    subject.trim(&[(&run, 2)]).await;
    subject.assert_told(&run, 3, 5).await;
    subject.trim(&[(&run, 7)]).await;
    subject.assert_told(&run, 4, 8).await;
    assert_eq!(subject.read(&run, 7, 9).await, events([8]));
}

async fn topics_are_those_of_a_family_in_order_with_what_they_hold(subject: EventLogSubject) {
    assert_eq!(subject.topics("conformance").await, []);
    let before = subject.clock.now();
    for (id, newest) in [("b", 2), ("a", 1), ("B", 4), ("a:c", 3), ("gone", 2)] {
        subject.append(&Topic::new("conformance", id), 1..=newest).await;
    }
    for family in ["conform", "conformancex", "a"] {
        subject.append(&Topic::new(family, "a"), 1..=1).await;
    }
    subject.trim(&[(&Topic::new("conformance", "B"), 2), (&Topic::new("conformance", "gone"), 2)]).await;
    let after = subject.clock.now();
    let topics = subject.topics("conformance").await;
    let held: Vec<_> = topics.iter().map(|held| (held.topic.id(), held.oldest, held.newest)).collect();
    assert_eq!(held, [("B", 3, 4), ("a", 1, 1), ("a:c", 1, 3), ("b", 1, 2)]);
    for held in &topics {
        assert!(
            (before - COARSE..=after + COARSE).contains(&held.appended_at),
            "{} was appended to between {before} and {after}, not at {}",
            held.topic,
            held.appended_at
        );
    }
    assert_eq!(subject.log(0).topics("conformance", None, 0).await.unwrap(), []);
    assert_eq!(subject.topics("nothing").await, []);
}
