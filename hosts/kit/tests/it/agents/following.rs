//! What a run says, and who follows it from where.

use std::{sync::Arc, time::Duration};

use saas_agents::{Finish, Item, RunEvent, RunEvents, RunStatus};
use saas_core::{Reach, Storage, clock::ManualClock};
use saas_sql::fetch_one;
use tokio::task::JoinSet;

use super::stage::{Chat, USAGE, assert_whole, replica, rest, until_said, while_time_passes};
use crate::engines::open;

/// What another process sees of a run when its terminal frame is there.
const STORED: &str = "SELECT r.status, r.answer, r.final_seq, m.body, m.partial, i.item FROM saas_runs r \
    JOIN saas_messages m ON m.run_id = r.id AND m.speaker = 'assistant' \
    JOIN saas_memory_items i ON i.conversation_id = m.conversation_id AND i.message_position = m.position \
    WHERE r.id = $1";
type Stored = (String, String, i64, String, bool, String);

on_both_engines! {
    async fn a_run_says_numbered_frames_and_one_terminal_frame_after_everything_is_stored(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let elsewhere = open(&chat.test.database).await;
        let (run, call, mut events) = chat.begun("hello", "Good ").await;
        call.say("day.");
        until_said(&mut events, "day.").await;
        let item = r#"{ "role":"assistant", "content":[ {"type":"output_text","text":"Good day."} ],"new":1.50 }"#;
        call.item(Item::from_json(item.to_owned()).unwrap());
        call.finish(Finish::Complete);

        let terminal = events.next().await.unwrap().unwrap();
        let mut conn = elsewhere.read(Reach::Platform("test")).await.unwrap();
        let stored = fetch_one!(&mut conn, Stored, STORED, run.id.as_uuid()).expect("all of it is stored");
        let expected = ("completed".into(), "Good day.".into(), 4, "Good day.".into(), false, item.into());
        assert_eq!(stored, expected);
        assert!(terminal.terminal);
        assert_eq!(events.next().await.unwrap(), None);

        let frames = chat.frames(&run).await;
        assert_whole(&frames);
        assert_eq!(frames.last(), Some(&terminal));
        let frames: Vec<String> = frames.iter().map(|frame| format!("{} {}", frame.id, frame.data)).collect();
        let id = run.id;
        assert_eq!(
            frames,
            [
                format!(r#"1.1 {{"chunk":"","conversation_id":"c","is_complete":false,"agent_used":"triage","run_id":"{id}"}}"#),
                format!(r#"1.2 {{"chunk":"Good ","conversation_id":"c","is_complete":false,"agent_used":"triage","run_id":"{id}"}}"#),
                format!(r#"1.3 {{"chunk":"day.","conversation_id":"c","is_complete":false,"agent_used":"triage","run_id":"{id}"}}"#),
                format!(r#"1.4 {{"chunk":"","conversation_id":"c","is_complete":true,"agent_used":"triage","run_id":"{id}","status":"completed"}}"#),
            ]
        );
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant: Good day."]);
        let run = chat.run(run.id).await;
        assert_eq!((run.usage, run.attempt, run.finished_at), (USAGE, 1, Some(run.created_at)));
    }

    async fn whoever_resumes_after_any_frame_gets_exactly_the_rest(engine: TestEngine) {
        const WORDS: usize = 8;
        let mut chat = Chat::start(engine).await;
        let (run, call, mut unbroken) = chat.begun("count", "").await;
        let mut resumed = JoinSet::new();
        for word in 0..WORDS {
            let word = format!("word{word} ");
            call.say(&word);
            until_said(&mut unbroken, &word).await;
            // So many frames are there now; those who saw fewer come back, too.
            let said = chat.run(run.id).await;
            assert_eq!((said.status, said.final_seq), (RunStatus::Running, None));
            for after in 0..=WORDS {
                let events = chat.follow(&run, i64::try_from(after).unwrap()).await;
                resumed.spawn(async move { (after, rest(events).await) });
            }
        }
        call.finish(Finish::Complete);
        let whole = chat.frames(&run).await;
        assert_whole(&whole);
        assert_eq!(whole.len(), WORDS + 2);
        while let Some(seen) = resumed.join_next().await {
            let (after, seen) = seen.unwrap();
            assert_eq!(seen, whole[after..], "after {after}");
        }
        // The memory of the log is a second long: once with it, once without.
        for _ in 0..2 {
            for after in 0..WORDS + 5 {
                let seen = rest(chat.follow(&run, i64::try_from(after).unwrap()).await).await;
                assert_eq!(seen, whole[after.min(whole.len())..], "after {after}");
            }
            assert_eq!(rest(chat.follow(&run, -1).await).await, whole);
            assert_eq!(rest(chat.follow(&run, i64::MAX).await).await, []);
            chat.test.clock.advance(Duration::from_secs(2));
        }
    }

    async fn another_server_sees_the_same_frames_live_and_afterwards(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        // A clock of its own: the leases of the first server are not touched by its polls.
        let clock = Arc::new(ManualClock::default());
        let other = replica(&chat.test.database, Arc::<ManualClock>::clone(&clock), 2, |builder| builder).await;
        let (run, call, mut events) = chat.begun("hello", "one ").await;
        let follow = |after| {
            let (other, ada) = (other.clone(), chat.ada.clone());
            async move { other.agents().follow(&ada, run.id, after).await.unwrap() }
        };
        let mut live = follow(0).await;
        let mut seen = while_time_passes(&clock, until_said(&mut live, "one ")).await;
        for word in ["two ", "three ", "four "] {
            call.say(word);
            until_said(&mut events, word).await;
            seen.extend(while_time_passes(&clock, until_said(&mut live, word)).await);
        }
        let late = tokio::spawn(rest(follow(2).await));
        call.answer("five");
        let whole = chat.frames(&run).await;
        seen.extend(while_time_passes(&clock, rest(live)).await);
        assert_eq!(seen, whole);
        assert_eq!(while_time_passes(&clock, late).await.unwrap(), whole[2..]);
        for after in [0, 1, 4, 5, 6, 7] {
            let rest = rest(follow(after).await).await;
            assert_eq!(rest, whole[usize::try_from(after).unwrap().min(whole.len())..]);
        }
        other.close().await;
    }

    async fn a_run_goes_on_without_its_followers(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, events) = chat.begun("hello", "I ").await;
        for after in 0..4 {
            let follower = tokio::spawn(rest(chat.follow(&run, after).await));
            tokio::task::yield_now().await;
            follower.abort();
        }
        drop(events);
        call.say("go ");
        call.answer("on.");
        assert_eq!(chat.ended(&run).await.answer, "I go on.");
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant: I go on."]);
    }

    async fn a_follower_that_is_cut_short_anywhere_loses_nothing(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "a").await;
        let mut events = chat.follow(&run, 0).await;
        let follower = tokio::spawn(async move {
            let mut seen = Vec::new();
            for polls in (1..12).cycle() {
                match cut_short(&mut events, polls).await {
                    Some(Some(event)) => seen.push(event),
                    Some(None) => break,
                    None => tokio::task::yield_now().await,
                }
            }
            seen
        });
        for word in ["b", "c", "d", "e"] {
            call.say(word);
            tokio::task::yield_now().await;
        }
        call.finish(Finish::Complete);
        assert_eq!(follower.await.unwrap(), chat.frames(&run).await);
    }

    async fn what_the_log_cannot_hold_is_replaced_everywhere_alike(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "").await;
        call.answer("a\0b \"quoted\"\n\u{2028}\u{1f980}");
        let run = chat.ended(&run).await;
        assert_eq!(run.answer, "a\u{fffd}b \"quoted\"\n\u{2028}\u{1f980}");
        let frames = chat.frames(&run).await;
        assert_eq!(super::stage::said(&frames), run.answer);
        assert!(frames.iter().all(|frame| !frame.data.contains(['\n', '\r', '\0'])), "a frame is one line");
        chat.assert_goes_on(&["user: hello", "assistant: a\0b \"quoted\"\n\u{2028}\u{1f980}"]).await;
    }
}

/// The next event, unless so many polls were not enough.
async fn cut_short(events: &mut RunEvents, mut polls: usize) -> Option<Option<RunEvent>> {
    let mut next = std::pin::pin!(events.next());
    std::future::poll_fn(|context| {
        use std::task::Poll;
        polls -= 1;
        match next.as_mut().poll(context) {
            Poll::Ready(event) => Poll::Ready(Some(event.expect("the log answers"))),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
