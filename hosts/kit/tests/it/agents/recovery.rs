//! Runs whose process is gone: they end, with what they said, and the conversation goes on.

use std::time::Duration;

use saas_agents::RunStatus;
use saas_kit::testing::TestWorkers;

use super::{
    server::Server,
    stage::{Chat, LEASE, assert_whole, message, rest, until_said, while_time_passes},
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
            chat.test.clock.advance(LEASE.saturating_sub(Duration::from_micros(1)));
            let workers = TestWorkers::start(&next);
            while_quiet(&chat).await;
            assert_eq!(chat.run(run.id).await.status, RunStatus::Running, "its lease is not over");
            drop(workers);
            let next = chat.replica(3).await;
            chat.test.clock.advance(Duration::from_micros(1));
            let _workers = TestWorkers::start(&next);
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

    async fn what_a_late_process_says_after_its_run_was_ended_changes_nothing(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (warm, call, _) = chat.begun("before", "").await;
        call.answer("answer");
        chat.ended(&warm).await;
        // It has no heartbeat: the others think that it is gone.
        let late = Server::start(&chat);
        let run = late.agents.start(&chat.ada, message("c", "hello")).await.unwrap();
        let call = chat.call().await;
        let mut events = late.agents.follow(&chat.ada, run.id, 0).await.unwrap();
        call.say("Hel");
        until_said(&mut events, "Hel").await;
        chat.test.clock.advance(LEASE);
        let frames = while_time_passes(&chat.test.clock, chat.frames(&run)).await;
        assert_whole(&frames);
        assert_eq!(frames.len(), 3);

        call.say("lo");
        call.answer("!");
        while late.agents.running() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(chat.frames(&run).await, frames);
        let stored = chat.run(run.id).await;
        assert_eq!((stored.status, stored.answer.as_str(), stored.usage.output), (RunStatus::Interrupted, "Hel", 0));
        let messages = ["1 user: before", "2 assistant: answer", "3 user: hello", "4 assistant, partial: Hel"];
        assert_eq!(chat.messages().await, messages);
        chat.assert_goes_on(&["user: before", "assistant: answer", "user: hello", "assistant: Hel"]).await;
    }

    async fn a_late_process_hears_that_its_run_was_ended(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (warm, call, _) = chat.begun("before", "").await;
        call.answer("answer");
        chat.ended(&warm).await;
        let late = Server::start(&chat);
        let run = late.agents.start(&chat.ada, message("c", "hello")).await.unwrap();
        let call = chat.call().await;
        chat.test.clock.advance(LEASE);
        while_time_passes(&chat.test.clock, chat.frames(&run)).await;
        late.beat().await.unwrap();
        call.dropped().await;
        assert_eq!(chat.run(run.id).await.status, RunStatus::Interrupted);
    }

    async fn a_run_that_nobody_launched_is_found(engine: TestEngine) {
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

    async fn a_run_that_lasts_longer_than_its_lease_keeps_it(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, mut events) = chat.begun("hello", "a").await;
        let began = chat.run(run.id).await.created_at;
        let other = chat.replica(2).await;
        let _workers = TestWorkers::start(&other);
        let clock = chat.test.clock.clone();
        let long = async {
            while saas_core::Clock::now(&*clock) < began + 4 * LEASE {
                tokio::task::yield_now().await;
            }
        };
        while_time_passes(&clock, long).await;
        call.say("b");
        until_said(&mut events, "b").await;
        call.answer("c");
        let run = chat.ended(&run).await;
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, "abc"));
    }
}

/// Lets the workers have their first round: they have it long before so many connections were opened.
async fn while_quiet(chat: &Chat) {
    for _ in 0..20 {
        chat.count("SELECT COUNT(*) FROM saas_runs").await;
    }
}
