//! Every way in which a run ends, and what it leaves.

use saas_agents::{Finish, ModelError, Run, RunStatus, Usage};
use saas_kit::testing::TestEngine;

use super::stage::{Call, Chat, USAGE, assert_whole, rest, said, while_time_passes};

/// What became of "hello" when the model had said `words` and then `end`ed.
async fn ended(engine: TestEngine, words: &str, end: impl AsyncFnOnce(&Chat, &Run, Call)) -> (Chat, Run) {
    let mut chat = Chat::start(engine).await;
    let (run, call, events) = chat.begun("hello", words).await;
    end(&chat, &run, call).await;
    let frames = [chat.frames(&run).await, rest(events).await].concat();
    let run = chat.run(run.id).await;
    let whole = chat.frames(&run).await;
    assert_whole(&whole);
    assert_eq!(frames[..whole.len()], whole);
    assert_eq!((said(&whole), run.answer.as_str()), (words.to_owned(), words));
    (chat, run)
}

/// A run that ended early is stored as far as it came, says why, and the conversation goes on.
async fn assert_cut_off(mut chat: Chat, run: Run, status: RunStatus, code: Option<&str>) {
    assert_eq!((run.status, run.error.as_deref()), (status, code));
    let frames = chat.frames(&run).await;
    let terminal: serde_json::Value = serde_json::from_str(&frames.last().unwrap().data).unwrap();
    assert_eq!((terminal["status"].as_str(), terminal["code"].as_str()), (Some(status.as_str()), code));
    assert_eq!(terminal["error"].is_string(), code.is_some());
    if run.answer.is_empty() {
        assert_eq!(chat.messages().await, ["1 user: hello"]);
        chat.assert_goes_on(&["user: hello"]).await;
    } else {
        let partial = format!("2 assistant, partial: {}", run.answer);
        assert_eq!(chat.messages().await, ["1 user: hello", &partial]);
        chat.assert_goes_on(&["user: hello", &format!("assistant: {}", run.answer)]).await;
    }
}

fn unavailable() -> ModelError {
    ModelError::Unavailable("a test".into())
}

on_both_engines! {
    async fn a_model_that_fails_before_its_first_word_fails_the_run(engine: TestEngine) {
        let (chat, run) = ended(engine, "", async |_, _, call| call.fail(unavailable())).await;
        assert_cut_off(chat, run, RunStatus::Failed, Some("model_unavailable")).await;
    }

    async fn a_model_that_refuses_the_request_fails_the_run(engine: TestEngine) {
        let chat = Chat::start(engine).await;
        chat.model.refuse(ModelError::RateLimited { retry_after: None });
        let run = chat.ask("hello").await;
        let run = chat.ended(&run).await;
        assert_whole(&chat.frames(&run).await);
        assert_cut_off(chat, run, RunStatus::Failed, Some("model_rate_limited")).await;
    }

    async fn a_model_that_fails_after_some_words_leaves_a_partial_answer(engine: TestEngine) {
        let (chat, run) = ended(engine, "Hel", async |_, _, call| call.fail(unavailable())).await;
        assert_cut_off(chat, run, RunStatus::Failed, Some("model_unavailable")).await;
    }

    async fn words_and_a_failure_at_once_lose_no_word(engine: TestEngine) {
        let chat = Chat::start(engine).await;
        let mut chat = chat;
        let run = chat.ask("hello").await;
        let call = chat.call().await;
        for word in ["H", "e", "l"] {
            call.say(word);
        }
        call.fail(ModelError::Malformed("a test".into()));
        let run = chat.ended(&run).await;
        assert_eq!(run.answer, "Hel");
        assert_cut_off(chat, run, RunStatus::Failed, Some("model_malformed")).await;
    }

    async fn a_stream_without_its_end_is_a_failure_and_no_short_answer(engine: TestEngine) {
        for words in ["", "Hel"] {
            let (chat, run) = ended(engine, words, async |_, _, call| drop(call)).await;
            assert_cut_off(chat, run, RunStatus::Failed, Some("model_truncated")).await;
        }
    }

    async fn a_filtered_answer_is_a_failure_that_was_used(engine: TestEngine) {
        let (chat, run) = ended(engine, "Hel", async |_, _, call| call.finish(Finish::Filtered)).await;
        assert_eq!(run.usage, USAGE);
        assert_cut_off(chat, run, RunStatus::Failed, Some("filtered")).await;
    }

    async fn an_answer_that_ran_out_of_tokens_is_an_answer(engine: TestEngine) {
        let (mut chat, run) = ended(engine, "Hel", async |_, _, call| call.finish(Finish::OutOfTokens)).await;
        assert_eq!((run.status, run.error.as_deref(), run.usage), (RunStatus::Completed, None, USAGE));
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant: Hel"]);
        chat.assert_goes_on(&["user: hello", "assistant: Hel"]).await;
    }

    async fn a_cancelled_run_drops_the_models_stream_and_keeps_what_was_said(engine: TestEngine) {
        for words in ["", "Hel"] {
            let (chat, run) = ended(engine, words, async |chat, run, call| {
                let answer = chat.saas().agents().cancel(&chat.ada, run.id).await.unwrap();
                assert!(answer.cancel_requested);
                call.dropped().await;
            })
            .await;
            assert_cut_off(chat, run, RunStatus::Cancelled, None).await;
        }
    }

    async fn another_server_cancels_a_run_by_the_heartbeat(engine: TestEngine) {
        let (chat, run) = ended(engine, "Hel", async |chat, run, call| {
            let other = chat.replica(2).await;
            let answer = other.agents().cancel(&chat.ada, run.id).await.unwrap();
            assert_eq!((answer.status, answer.cancel_requested), (RunStatus::Running, true));
            while_time_passes(&chat.test.clock, call.dropped()).await;
            other.close().await;
        })
        .await;
        assert_cut_off(chat, run, RunStatus::Cancelled, None).await;
    }

    async fn a_waiting_run_is_cancelled_at_once_and_the_next_one_takes_its_turn(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (first, call, _) = chat.begun("first", "1").await;
        let (second, third) = (chat.ask("second").await, chat.ask("third").await);
        let follower = tokio::spawn(rest(chat.follow(&second, 0).await));
        let cancelled = chat.saas().agents().cancel(&chat.ada, second.id).await.unwrap();
        assert_eq!((cancelled.status, cancelled.final_seq), (RunStatus::Cancelled, Some(1)));
        let frames = follower.await.unwrap();
        assert_whole(&frames);
        assert_eq!(frames.len(), 1);
        assert_eq!(chat.frames(&second).await, frames);

        call.finish(Finish::Complete);
        chat.ended(&first).await;
        let call = chat.call().await;
        assert_eq!(call.asked(), ["user: first", "assistant: 1", "user: third"]);
        call.answer("3");
        chat.ended(&third).await;
        let messages = ["1 user: first", "2 assistant: 1", "3 user: third", "4 assistant: 3"];
        assert_eq!(chat.messages().await, messages, "what was cancelled before its turn was never said");
        assert_eq!(chat.run(second.id).await.usage, Usage::default());
    }

    async fn cancelling_a_run_that_is_over_changes_nothing(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "").await;
        call.answer("Good day.");
        let frames = chat.frames(&run).await;
        for _ in 0..2 {
            let run = chat.saas().agents().cancel(&chat.ada, run.id).await.unwrap();
            assert_eq!((run.status, run.cancel_requested), (RunStatus::Completed, false));
        }
        assert_eq!(chat.frames(&run).await, frames);
        chat.assert_goes_on(&["user: hello", "assistant: Good day."]).await;
    }

    async fn a_run_that_is_cancelled_as_it_ends_ends_once(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        for _ in 0..20 {
            let run = chat.ask("hello").await;
            let call = chat.call().await;
            let (agents, ada) = (chat.saas().agents().clone(), chat.ada.clone());
            let cancel = tokio::spawn(async move { agents.cancel(&ada, run.id).await.unwrap() });
            call.answer("Good day.");
            cancel.await.unwrap();
            let frames = chat.frames(&run).await;
            assert_whole(&frames);
            assert_eq!(chat.run(run.id).await.answer, said(&frames));
        }
    }

    async fn workers_that_are_told_to_stop_let_a_run_end(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, events) = chat.begun("hello", "Good ").await;
        let stopping = tokio::spawn(chat.take_workers().stop());
        tokio::task::yield_now().await;
        call.answer("day.");
        stopping.await.unwrap();
        let run = chat.run(run.id).await;
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, "Good day."));
        assert!(rest(events).await.last().unwrap().terminal);
    }

    async fn workers_that_are_told_to_stop_store_a_stuck_run_as_interrupted(engine: TestEngine) {
        let mut chat = Chat::with_settings(engine, [("SHUTDOWN_DEADLINE_SECONDS", "0")]).await;
        let (run, call, events) = chat.begun("hello", "Hel").await;
        let follower = tokio::spawn(rest(events));
        chat.take_workers().stop().await;
        call.dropped().await;
        follower.await.unwrap();
        assert_whole(&chat.frames(&run).await);
        let run = chat.run(run.id).await;
        assert_eq!((run.status, run.error.as_deref()), (RunStatus::Interrupted, Some("interrupted")));
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant, partial: Hel"]);

        let next = chat.replica(2).await;
        let _workers = saas_kit::testing::TestWorkers::start(&next);
        chat.test.saas = next;
        assert_cut_off(chat, run, RunStatus::Interrupted, Some("interrupted")).await;
    }
}
