//! Runs whose process is gone: they end, with what they said, and the conversation goes on.

use std::time::Duration;

use saas_agents::RunStatus;
use saas_core::Clock;
use saas_kit::testing::{TestEngine, TestWorkers};
use saas_sql::execute;

use super::{
    server::{Server, claim},
    stage::{Chat, LEASE, assert_whole, let_pass, message, rest, until_said, while_time_passes},
};

on_both_engines! {
    async fn a_run_whose_process_is_gone_is_interrupted_with_what_it_said(engine: TestEngine) {
        for words in ["", "Hel"] {
            let mut chat = Chat::start(engine).await;
            let (run, call, events) = chat.begun("hello", words).await;
            let waiting = tokio::spawn(rest(events));
            let queued = chat.ask("and then").await;
            drop(chat.take_workers());
            call.dropped().await;

            let next = chat.replica(2).await;
            let clock = chat.test.clock.clone();
            clock.advance(LEASE.saturating_sub(Duration::from_secs(3)));
            let _workers = TestWorkers::start(&next);
            let_pass(&clock, Duration::from_secs(2)).await;
            assert_eq!(chat.run(run.id).await.status, RunStatus::Running, "its lease is not over");
            let seen = while_time_passes(&chat.test.clock, waiting).await.unwrap();
            assert!(seen.last().unwrap().data.contains(r#""status":"interrupted","code":"interrupted""#));
            assert_whole(&chat.frames(&run).await);
            let run = chat.run(run.id).await;
            assert_eq!((run.status, run.answer.as_str(), run.attempt), (RunStatus::Interrupted, words, 1));

            let call = chat.call().await;
            let expected: Vec<String> = match words {
                "" => vec!["user: hello".into(), "user: and then".into()],
                _ => vec!["user: hello".into(), format!("assistant: {words}"), "user: and then".into()],
            };
            assert_eq!(call.asked(), expected, "what waited behind it took its turn");
            call.answer("then");
            chat.test.saas = next;
            chat.ended(&queued).await;
            let partial = (!words.is_empty()).then(|| format!("2 assistant, partial: {words}"));
            assert_eq!(chat.messages().await.get(1).filter(|_| partial.is_some()), partial.as_ref());
        }
    }

    async fn what_a_late_process_says_after_its_run_was_ended_nobody_hears(engine: TestEngine) {
        let (mut chat, late) = late(engine).await;
        let run = late.agents.start(&chat.ada, message("c", "hello")).await.unwrap();
        let call = chat.call().await;
        let mut events = late.agents.follow(&chat.ada, run.id, 0).await.unwrap();
        call.say("Hel");
        let mut heard = until_said(&mut events, "Hel").await;
        chat.replace_server(2).await;
        chat.test.clock.advance(LEASE);
        let frames = while_time_passes(&chat.test.clock, chat.frames(&run)).await;
        assert_whole(&frames);
        assert_eq!(frames.len(), 3);

        call.say("lo");
        call.answer("!");
        while late.agents.running() > 0 {
            tokio::task::yield_now().await;
        }
        heard.extend(rest(events).await);
        assert_eq!(heard, frames, "who follows the late process hears no more than the others");
        assert_eq!(chat.count("SELECT COUNT(*) FROM saas_events WHERE data LIKE '%lo%' OR data LIKE '%!%'").await, 0);
        let stored = chat.run(run.id).await;
        assert_eq!((stored.status, stored.answer.as_str(), stored.usage.output), (RunStatus::Interrupted, "Hel", 0));
        let messages = ["1 user: before", "2 assistant: answer", "3 user: hello", "4 assistant, partial: Hel"];
        assert_eq!(chat.messages().await, messages);
        chat.assert_goes_on(&["user: before", "assistant: answer", "user: hello", "assistant: Hel"]).await;
    }

    async fn a_late_process_hears_that_its_run_was_ended(engine: TestEngine) {
        let (mut chat, late) = late(engine).await;
        let run = late.agents.start(&chat.ada, message("c", "hello")).await.unwrap();
        let call = chat.call().await;
        chat.replace_server(2).await;
        chat.test.clock.advance(LEASE);
        while_time_passes(&chat.test.clock, chat.frames(&run)).await;
        late.agents.stop_cancelled().await.unwrap();
        call.dropped().await;
        while late.agents.running() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(chat.run(run.id).await.status, RunStatus::Interrupted);
    }

    async fn a_run_that_is_late_and_that_nobody_took_goes_on(engine: TestEngine) {
        let (mut chat, late) = late(engine).await;
        let run = late.agents.start(&chat.ada, message("c", "hello")).await.unwrap();
        let call = chat.call().await;
        let mut events = late.agents.follow(&chat.ada, run.id, 0).await.unwrap();
        chat.test.clock.advance(4 * LEASE);
        call.say("Good ");
        until_said(&mut events, "Good ").await;
        call.answer("day.");
        assert!(rest(events).await.last().unwrap().terminal);
        let run = chat.run(run.id).await;
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, "Good day."));
        chat.test.drain_jobs().await;
    }

    async fn a_jump_of_the_clock_interrupts_no_run_of_a_process_that_lives(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, mut events) = chat.begun("hello", "a").await;
        for round in 0..5 {
            // The wall's clock alone: its own timers say that nothing is due.
            chat.test.clock.set_wall(chat.test.clock.now() + 4 * LEASE);
            let other = chat.ask_in(&format!("d{round}"), "and you?").await;
            chat.call().await.answer("fine");
            assert_eq!(chat.ended(&other).await.status, RunStatus::Completed);
        }
        call.say("b");
        until_said(&mut events, "b").await;
        call.answer("c");
        let run = chat.ended(&run).await;
        assert_eq!((run.status, run.answer.as_str(), run.attempt), (RunStatus::Completed, "abc", 1));
    }

    async fn a_run_that_another_process_enqueued_is_found(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let other = chat.replica(2).await;
        let run = super::stage::ask(&other, &chat.ada, "c", "hello").await;
        other.close().await;
        drop(other);
        let call = while_time_passes(&chat.test.clock.clone(), chat.call()).await;
        assert_eq!(call.asked(), ["user: hello"]);
        call.answer("Good day.");
        assert_eq!(chat.ended(&run).await.status, RunStatus::Completed);
    }

    async fn a_run_whose_process_went_before_it_began_is_begun_by_another(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        chat.take_workers().stop().await;
        let run = chat.ask("hello").await;
        let storage = crate::engines::open(&chat.test.database).await;
        let clock = chat.test.clock.clone();
        assert_eq!(claim(&storage, &clock, 9).await.len(), 1);
        storage.close().await;
        chat.replace_server(2).await;
        clock.advance(LEASE);
        let call = while_time_passes(&clock, chat.call()).await;
        call.answer("Good day.");
        let run = while_time_passes(&clock, chat.ended(&run)).await;
        assert_eq!((run.status, run.attempt), (RunStatus::Completed, 1));
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant: Good day."]);
    }

    async fn runs_that_have_no_job_are_found(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (running, call, _) = chat.begun("hello", "Hel").await;
        drop(chat.take_workers());
        call.dropped().await;
        let (behind, waiting) = (chat.ask("and then").await, chat.ask_in("d", "hello").await);
        // As an earlier release leaves them, which knew no jobs of runs.
        let mut tx = chat.test.begin().await;
        execute!(tx.conn(), "DELETE FROM saas_jobs WHERE kind = 'agents.run'").unwrap();
        tx.commit().await.unwrap();
        chat.replace_server(2).await;
        let clock = chat.test.clock.clone();
        let mut asked = Vec::new();
        for _ in 0..2 {
            let call = while_time_passes(&clock, chat.call()).await;
            asked.push(call.asked().join(", "));
            call.answer("Good day.");
        }
        asked.sort();
        assert_eq!(asked, ["user: hello", "user: hello, assistant: Hel, user: and then"]);
        for run in [&behind, &waiting] {
            assert_eq!(while_time_passes(&clock, chat.ended(run)).await.status, RunStatus::Completed);
        }
        let running = chat.run(running.id).await;
        assert_eq!((running.status, running.answer.as_str()), (RunStatus::Interrupted, "Hel"));
        assert_whole(&chat.frames(&running).await);
    }

    async fn a_run_that_lasts_longer_than_its_lease_keeps_it(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, mut events) = chat.begun("hello", "a").await;
        let other = chat.replica(2).await;
        let _workers = TestWorkers::start(&other);
        let clock = chat.test.clock.clone();
        let_pass(&clock, 4 * LEASE).await;
        call.say("b");
        until_said(&mut events, "b").await;
        call.answer("c");
        let run = chat.ended(&run).await;
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, "abc"));
    }
}

/// A chat in which something was said, and a server beside it that keeps no lease: the others think that it is gone. The chat's own has stopped.
async fn late(engine: TestEngine) -> (Chat, Server) {
    let mut chat = Chat::start(engine).await;
    let (warm, call, _) = chat.begun("before", "").await;
    call.answer("answer");
    chat.ended(&warm).await;
    let late = Server::start(&chat);
    chat.take_workers().stop().await;
    (chat, late)
}
