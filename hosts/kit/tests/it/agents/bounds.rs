//! How long what runs said is kept as events, and what stays of it.

use std::{sync::Arc, time::Duration};

use saas_agents::{AgentsError, Run, RunId, RunStatus};
use saas_core::{Cut, Event, EventBounds, EventLog, Topic, clock::ManualClock, id::uuid_v7};
use saas_sql::SqlEventLog;

use super::stage::{Chat, assert_whole, key, rest, until_said};

const DAY: Duration = Duration::from_hours(24);
const BOUNDS: EventBounds = EventBounds { family: RunId::FAMILY, newest: 1_000, idle: DAY };
const EVENTS: &str = "SELECT COUNT(*) FROM saas_events";
const TRIMS: &str = "SELECT COUNT(*) FROM saas_event_trims";

/// The log as another process has it.
fn elsewhere(chat: &Chat) -> SqlEventLog {
    let clock = Arc::<ManualClock>::clone(&chat.test.clock);
    let (log, background) = SqlEventLog::new(chat.saas().storage().clone(), clock);
    tokio::spawn(background.future);
    log
}

async fn purge(chat: &Chat) -> u64 {
    chat.saas().agents().purge_events(&BOUNDS).await.unwrap()
}

/// Where somebody who follows after `after` is sent.
async fn sent_on(chat: &Chat, run: &Run, after: i64) -> String {
    match chat.saas().agents().follow(&chat.ada, run.id, after).await {
        Err(AgentsError::EventsTrimmed { after }) => after,
        other => panic!("who would miss events is to be told: {other:?}"),
    }
}

on_both_engines! {
    async fn the_events_of_a_run_go_a_while_after_its_end_and_its_answer_stays(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, mut events) = chat.begun("hello", "Good ").await;
        call.answer("day.");
        until_said(&mut events, "day.").await;
        let whole = chat.frames(&run).await;
        chat.test.clock.advance(DAY);
        assert_eq!(purge(&chat).await, 0, "it has been over for a day, and not for longer");
        chat.test.clock.advance(Duration::from_secs(1));
        assert_eq!(purge(&chat).await, 3);
        assert_eq!((purge(&chat).await, chat.count(EVENTS).await), (0, 0));
        for after in 0..3 {
            assert_eq!(sent_on(&chat, &run, after).await, "1.3");
        }
        let end = rest(chat.follow(&run, 3).await).await;
        assert_eq!(end, whole[3..], "how it ended is said to who follows from there");
        assert_eq!(rest(chat.follow(&run, 4).await).await, []);
        assert_eq!(chat.run(run.id).await.answer, "Good day.");
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant: Good day."]);
        chat.assert_goes_on(&["user: hello", "assistant: day."]).await;
        chat.saas().agents().remove(&chat.ada, &key("c")).await.unwrap();
        assert_eq!((chat.count(EVENTS).await, chat.count(TRIMS).await), (0, 0), "nothing is left of the topic");
    }

    async fn the_events_of_a_run_that_is_not_over_stay_however_old_they_are(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "Good ").await;
        chat.test.clock.advance(10 * DAY);
        assert_eq!(purge(&chat).await, 0);
        call.say("day.");
        let mut events = chat.follow(&run, 0).await;
        until_said(&mut events, "Good day.").await;
        call.finish(saas_agents::Finish::Complete);
        assert_whole(&chat.frames(&run).await);
        assert_eq!(chat.run(run.id).await.status, RunStatus::Completed);
        assert_eq!(purge(&chat).await, 0, "it was over just now");
    }

    async fn of_a_run_with_too_many_events_the_newest_stay(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "Good ").await;
        let newest = EventBounds { newest: 1, ..BOUNDS };
        assert_eq!(chat.saas().agents().purge_events(&newest).await.unwrap(), 1);
        assert_eq!(sent_on(&chat, &run, 0).await, "1.1");
        call.say("day.");
        let mut events = chat.follow(&run, 1).await;
        until_said(&mut events, "Good day.").await;
        call.finish(saas_agents::Finish::Complete);
        assert!(rest(events).await.last().unwrap().terminal);
    }

    async fn who_is_too_slow_is_told_and_goes_on_where_the_stream_begins_now(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, mut events) = chat.begun("hello", "Good ").await;
        call.say("day.");
        until_said(&mut chat.follow(&run, 0).await, "Good day.").await;
        // What the process that said it holds in memory, it gives for a second.
        chat.test.clock.advance(Duration::from_secs(2));
        elsewhere(&chat).trim(&[Cut { topic: run.id.topic(), through: 3 }]).await.unwrap();
        let told = events.next().await;
        assert!(matches!(&told, Err(AgentsError::EventsTrimmed { after }) if after == "1.3"), "{told:?}");
        call.say(" Bye.");
        until_said(&mut chat.follow(&run, 3).await, " Bye.").await;
        call.finish(saas_agents::Finish::Complete);
        assert_eq!(chat.run(run.id).await.id, run.id);
    }

    async fn events_that_a_crash_left_without_a_run_go_and_what_is_no_runs_stays(engine: TestEngine) {
        let chat = Chat::start(engine).await;
        let log = elsewhere(&chat);
        let lost = uuid_v7(&**chat.saas().clock(), &**chat.saas().entropy());
        for topic in [Topic::new("run", lost), Topic::new("run", "somebody's"), Topic::new("walk", lost)] {
            log.append(&topic, Event { seq: 1, data: "said".into() }).await.unwrap();
        }
        purge(&chat).await;
        assert_eq!(chat.count(EVENTS).await, 3);
        chat.test.clock.advance(DAY + Duration::from_secs(1));
        assert_eq!(purge(&chat).await, 0);
        assert_eq!((chat.count(EVENTS).await, chat.count(TRIMS).await), (2, 0));
    }
}
