//! One run at a time in a conversation, the others in their order behind it; and the same request twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream;
use saas_agents::{
    AgentsError, ChatModel, Finish, IdempotencyKey, ModelError, ModelEvent, ModelRequest, ModelStream,
    RunStatus, StartRun, Usage,
};
use saas_core::{ErrorKind, Fault};
use saas_kit::testing::{TestSaas, TestWorkers, at_once};

use super::stage::{Chat, ask, colleague, message, messages, replica, rest, while_time_passes};

/// How many runs may wait.
const ROOM: usize = 10;

/// Echoes, and counts how many answers are under way in one conversation; messages begin with the conversation's name.
#[derive(Debug, Clone, Default)]
struct CountingModel(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    active: BTreeMap<String, usize>,
    most: usize,
    calls: usize,
}

/// An answer under way.
struct Active {
    model: CountingModel,
    conversation: String,
}

impl Drop for Active {
    fn drop(&mut self) {
        *self.model.0.lock().unwrap().active.get_mut(&self.conversation).unwrap() -= 1;
    }
}

#[async_trait]
impl ChatModel for CountingModel {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let asked = request.input.last().and_then(saas_agents::Item::text).expect("there is a message");
        let conversation = asked.split(' ').next().unwrap().to_owned();
        {
            let mut counts = self.0.lock().unwrap();
            counts.calls += 1;
            let active = counts.active.entry(conversation.clone()).or_default();
            *active += 1;
            counts.most = (*active).max(counts.most);
        }
        let active = Active { model: self.clone(), conversation };
        let events = vec![
            ModelEvent::Text("echo ".to_owned()),
            ModelEvent::Text(asked),
            ModelEvent::Done { finish: Finish::Complete, usage: Usage::default() },
        ];
        Ok(Box::pin(stream::unfold((events.into_iter(), active), |(mut events, active)| async move {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            events.next().map(|event| (Ok(event), (events, active)))
        })))
    }
}

fn idempotent(key: &str, text: &str) -> StartRun {
    message("c", text).with_idempotency_key(Some(IdempotencyKey::parse(key).unwrap()))
}

on_both_engines! {
    async fn a_conversation_answers_one_message_after_the_other_in_their_order(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (first, call, _) = chat.begun("one", "").await;
        let mut waiting = Vec::new();
        for text in ["two", "three", "four"] {
            waiting.push(chat.ask(text).await);
        }
        // Another conversation is not held up.
        let other = chat.ask_in("d", "hello").await;
        let others_call = chat.call().await;
        assert_eq!(others_call.asked(), ["user: hello"]);
        others_call.answer("Good day.");
        chat.ended(&other).await;
        for run in &waiting {
            assert_eq!(chat.run(run.id).await.status, RunStatus::Queued);
        }
        assert!(chat.calls.try_recv().is_err(), "the model was asked before the turn came");
        assert_eq!(chat.messages().await, ["1 user: one"]);

        call.answer("1");
        chat.ended(&first).await;
        let mut history: Vec<String> = ["user: one", "assistant: 1"].map(str::to_owned).into();
        for (run, text) in waiting.iter().zip(["two", "three", "four"]) {
            let call = chat.call().await;
            history.push(format!("user: {text}"));
            assert_eq!(call.asked(), history);
            assert!(chat.calls.try_recv().is_err(), "two at once");
            call.answer(&format!("re {text}"));
            history.push(format!("assistant: re {text}"));
            chat.ended(run).await;
        }
    }

    async fn one_message_more_than_may_wait_is_refused(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (_, call, _) = chat.begun("first", "").await;
        let mut waiting = Vec::new();
        for number in 0..ROOM {
            waiting.push(chat.ask(&format!("{number}")).await);
        }
        let start = || chat.saas().agents().start(&chat.ada, message("c", "one more"));
        let error = start().await.expect_err("the queue is full");
        assert!(matches!(error, AgentsError::QueueFull), "{error:?}");
        let report = error.report();
        assert_eq!((report.kind, report.code), (ErrorKind::RateLimited, "queue_full"));
        assert_eq!(report.retry_after, Some(Duration::from_secs(5)));
        chat.ask_in("d", "elsewhere there is room").await;

        chat.saas().agents().cancel(&chat.ada, waiting[3].id).await.unwrap();
        waiting.push(start().await.expect("one has left the queue"));
        assert!(matches!(start().await, Err(AgentsError::QueueFull)));
        drop(call);
        for run in waiting.iter().rev() {
            chat.saas().agents().cancel(&chat.ada, run.id).await.unwrap();
        }
        for run in waiting {
            assert_eq!(chat.ended(&run).await.status, RunStatus::Cancelled);
        }
    }

    async fn messages_that_are_sent_while_the_one_before_ends_wait_for_nothing_else(engine: TestEngine) {
        let model = CountingModel::default();
        let port = Arc::new(model.clone());
        let test = TestSaas::with_ports(engine, [], |builder| builder.chat_model(port)).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let ada = test.actor(&tokens).await;
        for round in 0..15 {
            let mut runs = Vec::new();
            for number in 0..4 {
                let run = ask(&test.saas, &ada, "c", &format!("c {round}.{number}")).await;
                runs.push(run);
            }
            // The clock stands still: no heartbeat launches what was forgotten.
            for run in runs {
                rest(test.saas.agents().follow(&ada, run.id, 0).await.unwrap()).await;
            }
        }
        let counts = model.0.lock().unwrap();
        assert_eq!((counts.most, counts.calls), (1, 60));
    }

    async fn two_servers_never_answer_in_one_conversation_at_once(engine: TestEngine) {
        const MESSAGES: usize = 8;
        let model = CountingModel::default();
        let port = Arc::new(model.clone());
        let test = TestSaas::with_ports(engine, [("SQLITE_SYNCHRONOUS", "normal")], |builder| builder.chat_model(port)).await;
        let port = Arc::new(model.clone());
        let other = replica(&test.database, test.clock.clone(), 2, |builder| builder.chat_model(port)).await;
        let _workers = TestWorkers::start(&other);
        let tokens = test.register("ada@example.com").await.tokens;
        let ada = test.actor(&tokens).await;

        let servers = [test.saas.clone(), other.clone()];
        let started = at_once(4, |conversation| {
            let (servers, ada) = (servers.clone(), ada.clone());
            async move {
                let (name, mut runs) = (format!("c{conversation}"), Vec::new());
                for number in 0..MESSAGES {
                    let saas = &servers[number % 2];
                    runs.push(ask(saas, &ada, &name, &format!("{name} {number}")).await);
                }
                runs
            }
        })
        .await;
        let all = async {
            for run in started.iter().flatten() {
                rest(other.agents().follow(&ada, run.id, 0).await.unwrap()).await;
            }
        };
        while_time_passes(&test.clock, all).await;
        {
            let counts = model.0.lock().unwrap();
            assert_eq!((counts.most, counts.calls), (1, 4 * MESSAGES));
        }
        for conversation in 0..4 {
            let name = format!("c{conversation}");
            let expected: Vec<String> = (0..MESSAGES)
                .flat_map(|n| [format!("{} user: {name} {n}", 2 * n + 1), format!("{} assistant: echo {name} {n}", 2 * n + 2)])
                .collect();
            assert_eq!(messages(&test.saas, &ada, &name).await, expected);
        }
        other.close().await;
    }

    async fn a_request_that_is_sent_again_gets_its_run(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let colleague = colleague(&chat.test, &chat.ada, "bob@example.com").await;
        let agents = chat.saas().agents().clone();
        let start = async |command| agents.start(&chat.ada, command).await;
        let run = start(idempotent("k", "hello")).await.unwrap();
        let call = chat.calls.recv().await.unwrap();
        assert_eq!(start(idempotent("k", "hello")).await.unwrap().id, run.id);
        for other in [idempotent("k", "hello!"), idempotent("k", "hello").in_conversation(None)] {
            let error = start(other).await.expect_err("it is another request");
            assert!(matches!(error, AgentsError::KeyReused), "{error:?}");
        }
        call.answer("Good day.");
        rest(agents.follow(&chat.ada, run.id, 0).await.unwrap()).await;
        let again = start(idempotent("k", "hello")).await.unwrap();
        assert_eq!((again.id, again.status), (run.id, RunStatus::Completed));

        // Keys are each user's own.
        let theirs = agents.start(&colleague, idempotent("k", "hello").in_conversation(None)).await.unwrap();
        assert_ne!(theirs.id, run.id);
        assert_eq!(chat.call().await.asked(), ["user: hello"]);
        assert!(chat.calls.try_recv().is_err());
        assert_eq!(chat.messages().await, ["1 user: hello", "2 assistant: Good day."]);
    }

    async fn a_request_that_is_sent_sixteen_times_at_once_is_answered_once(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        for (number, conversation) in [Some("c"), None].into_iter().enumerate() {
            let (agents, ada) = (chat.saas().agents().clone(), chat.ada.clone());
            let conversation = conversation.map(super::stage::key);
            let key = format!("k{number}");
            let runs = at_once(16, |_| {
                let (agents, ada) = (agents.clone(), ada.clone());
                let command = idempotent(&key, "hello").in_conversation(conversation.clone());
                async move { agents.start(&ada, command).await.expect("it is the same request").id }
            })
            .await;
            assert_eq!(runs.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), 1);
            chat.call().await.answer("Good day.");
            rest(agents.follow(&ada, runs[0], 0).await.unwrap()).await;
            assert!(chat.calls.try_recv().is_err());
        }
        assert_eq!(chat.count("SELECT COUNT(*) FROM saas_runs").await, 2);
        assert_eq!(chat.count("SELECT COUNT(*) FROM saas_conversations").await, 2);
    }
}
