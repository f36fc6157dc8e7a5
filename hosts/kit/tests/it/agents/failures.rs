//! Runs whose log, storage or model fails under them: each ends, and says so.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use futures_util::stream;
use saas_agents::{AgentsError, ChatModel, ModelError, ModelRequest, ModelStream, Run, RunEvents, RunStatus};
use saas_core::{Fault, Reach, Storage};
use saas_kit::testing::TestEngine;
use saas_sql::{SqlStorage, sql, sqlx};

use super::{
    server::Server,
    stage::{Call, Chat, assert_whole, message, rest, until_said, while_time_passes},
};

/// How often storing an outcome is tried.
const FINISH_TRIES: usize = 7;

/// A server whose ports can fail, and a run of its that has said "Hel".
async fn begun(engine: TestEngine) -> (Chat, Server, Run, Call, RunEvents) {
    let mut chat = Chat::start(engine).await;
    let (run, call, _) = chat.begun("before", "").await;
    call.answer("answer");
    chat.ended(&run).await;
    // The workers of the other server are not to take what this one begins; those of the next one do nothing while the clock stands still.
    let server = Server::start(&chat);
    chat.take_workers().stop().await;
    let run = server.agents.start(&chat.ada, message("c", "hello")).await.unwrap();
    let call = chat.call().await;
    let mut events = server.agents.follow(&chat.ada, run.id, 0).await.unwrap();
    call.say("Hel");
    until_said(&mut events, "Hel").await;
    chat.replace_server(2).await;
    (chat, server, run, call, events)
}

async fn assert_goes_on(mut chat: Chat, run: &Run) {
    assert_whole(&chat.frames(run).await);
    let messages = ["1 user: before", "2 assistant: answer", "3 user: hello", "4 assistant, partial: Hel"];
    assert_eq!(chat.messages().await, messages);
    chat.assert_goes_on(&["user: before", "assistant: answer", "user: hello", "assistant: Hel"]).await;
}

/// What has the database refuse every end of a run, and what undoes that.
fn no_run_ends(engine: TestEngine) -> (&'static str, &'static str) {
    match engine {
        TestEngine::Sqlite => (
            "CREATE TRIGGER saas_test BEFORE UPDATE ON saas_runs WHEN NEW.status <> 'running' \
             BEGIN SELECT RAISE(ABORT, 'a test'); END",
            "DROP TRIGGER saas_test",
        ),
        TestEngine::Postgres => (
            "CREATE FUNCTION saas_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a test'; END $$; \
             CREATE TRIGGER saas_test BEFORE UPDATE ON saas_runs FOR EACH ROW WHEN (NEW.status <> 'running') EXECUTE FUNCTION saas_test()",
            "DROP TRIGGER saas_test ON saas_runs",
        ),
    }
}

async fn alter(storage: &SqlStorage, statements: &'static str) {
    let mut tx = storage.begin(Reach::Platform("test")).await.unwrap();
    sql!(tx.conn(), |c| async { sqlx::raw_sql(statements).execute(c).await.map(drop) }).unwrap();
    tx.commit().await.unwrap();
}

/// A model with a bug.
#[derive(Debug)]
struct PanickingModel;

#[async_trait]
impl ChatModel for PanickingModel {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let asked = request.input.last().and_then(saas_agents::Item::text).unwrap_or_default();
        assert_ne!(asked, "panic", "a bug of the model's");
        Ok(Box::pin(stream::pending()))
    }
}

on_both_engines! {
    async fn a_run_whose_log_fails_ends_as_failed_and_its_followers_hear_of_it(engine: TestEngine) {
        let (chat, server, run, call, events) = begun(engine).await;
        let follower = tokio::spawn(rest(events));
        server.faults.append.store(true, Ordering::SeqCst);
        call.say("lo");
        call.dropped().await;
        let rest = follower.await.unwrap();
        assert_eq!(rest.len(), 1, "nobody heard what could not be written");
        assert!(rest[0].terminal && rest[0].data.contains(r#""status":"failed","code":"event_log_unavailable""#));
        let stored = chat.run(run.id).await;
        assert_eq!((stored.status, stored.final_seq), (RunStatus::Failed, Some(3)));
        assert_goes_on(chat, &run).await;
    }

    async fn a_run_whose_log_fails_before_it_said_anything_ends_with_its_terminal_frame_alone(engine: TestEngine) {
        let (mut chat, server, _, call, _) = begun(engine).await;
        // Whoever begins late looks late, and may take what this server is to begin.
        drop(chat.take_workers());
        server.faults.append.store(true, Ordering::SeqCst);
        let other = server.agents.start(&chat.ada, message("d", "hello")).await.unwrap();
        let frames = rest(server.agents.follow(&chat.ada, other.id, 0).await.unwrap()).await;
        assert_whole(&frames);
        assert_eq!((frames.len(), chat.run(other.id).await.status), (1, RunStatus::Failed));
        server.faults.append.store(false, Ordering::SeqCst);
        server.agents.start(&chat.ada, message("d", "again")).await.unwrap();
        assert_eq!(chat.call().await.asked(), ["user: hello", "user: again"]);
        drop(call);
    }

    async fn a_log_that_cannot_be_read_fails_the_follower_and_not_the_run(engine: TestEngine) {
        let (chat, server, run, call, mut events) = begun(engine).await;
        server.faults.read.store(true, Ordering::SeqCst);
        let error = events.next().await.expect_err("the log is away");
        assert!(matches!(error, AgentsError::Events(_)), "{error:?}");
        assert_eq!(error.report().code, "unavailable");
        call.answer("lo");
        while server.agents.running() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(chat.run(run.id).await.answer, "Hello");
        server.faults.read.store(false, Ordering::SeqCst);
        let rest = rest(events).await;
        assert_eq!(rest, chat.frames(&run).await[2..], "it goes on where it stood");
    }

    async fn an_outcome_that_cannot_be_stored_is_tried_again_before_anybody_hears_of_it(engine: TestEngine) {
        let (chat, server, run, call, events) = begun(engine).await;
        let mut follower = tokio::spawn(rest(events));
        server.faults.begin.store(FINISH_TRIES - 1, Ordering::SeqCst);
        call.answer("lo");
        let ended = while_time_passes(&chat.test.clock, &mut follower).await.unwrap();
        assert_eq!(ended.len(), 2);
        let run = chat.run(run.id).await;
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, "Hello"));
    }

    async fn a_run_whose_end_cannot_be_stored_is_interrupted_though_its_server_lives(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, events) = chat.begun("hello", "Hel").await;
        // Another run keeps the server's heartbeat going.
        let other = chat.ask_in("d", "hello").await;
        let others_call = chat.call().await;
        let storage = crate::engines::open(&chat.test.database).await;
        let (refuse, permit) = no_run_ends(engine);
        alter(&storage, refuse).await;
        call.answer("lo");
        while chat.saas().agents().running() > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(chat.run(run.id).await.status, RunStatus::Running);
        alter(&storage, permit).await;
        let frames = while_time_passes(&chat.test.clock, rest(events)).await;
        assert!(frames.last().unwrap().terminal);
        let stored = chat.run(run.id).await;
        assert_eq!((stored.status, stored.answer.as_str()), (RunStatus::Interrupted, "Hello"));
        assert_eq!(chat.run(other.id).await.status, RunStatus::Running, "the other one's lease was kept");
        others_call.answer("Good day.");
        assert_eq!(chat.ended(&other).await.status, RunStatus::Completed);
        storage.close().await;
    }

    async fn a_model_that_panics_ends_its_run_and_no_other(engine: TestEngine) {
        let test = saas_kit::testing::TestSaas::with_ports(engine, [], |builder| builder.chat_model(Arc::new(PanickingModel))).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let ada = test.actor(&tokens).await;
        let agents = test.saas.agents();
        let stuck = agents.start(&ada, message("c", "wait")).await.unwrap();
        let run = agents.start(&ada, message("d", "panic")).await.unwrap();
        let events = agents.follow(&ada, run.id, 0).await.unwrap();
        let frames = while_time_passes(&test.clock, rest(events)).await;
        assert_whole(&frames);
        assert_eq!(agents.run(&ada, run.id).await.unwrap().status, RunStatus::Interrupted);
        assert_eq!(agents.run(&ada, stuck.id).await.unwrap().status, RunStatus::Running);
    }
}
