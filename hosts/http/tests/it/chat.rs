//! Chat over HTTP: what a stream looks like, how it is resumed, and who may.

use http::{HeaderName, StatusCode, header};
use saas_http::Server;
use saas_kit::testing::TestEngine;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{
    frames::{Frame, Open, Prompted, frames, word_by_word},
    harness::{Answer, Api, Call, Session, assert_answer, get, on_both_engines, post},
};

on_both_engines! {
    a_stream_is_the_answer_bit_by_bit_and_then_its_end,
    every_frame_says_what_the_earlier_system_said,
    a_chat_answers_with_the_whole_of_it,
    a_stream_resumes_after_any_of_its_events,
    an_id_that_no_event_has_is_a_422,
    the_same_request_under_one_key_is_one_run,
    another_request_under_the_same_key_is_a_409,
    wrong_requests_are_a_422_that_says_why,
    a_message_behind_another_waits_for_its_turn,
    too_many_waiting_messages_are_a_429,
    nobody_else_finds_the_run,
    who_may_only_read_does_not_chat,
    a_cancelled_run_keeps_what_it_said,
    a_run_that_is_over_is_not_cancelled,
    the_agents_are_listed_by_name,
    a_silent_stream_says_that_it_lives,
    the_time_limit_of_requests_does_not_cut_a_stream,
    a_run_goes_on_when_its_client_leaves,
    a_stream_ends_before_the_server_stops,
    a_run_that_does_not_end_is_interrupted_when_the_server_stops,
    a_stream_of_a_run_that_goes_on_elsewhere_is_told_to_resume_when_the_server_stops,
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

fn question() -> Value {
    json!({ "message": "What is 6 * 7?", "conversation_id": "homework" })
}

fn chat(session: &Session, path: &str, body: &Value) -> Call {
    post(path).bearer(session.access()).json(body)
}

/// Streams the answer to the usual question, whole.
async fn streamed(api: &Api, session: &Session) -> Answer {
    let answer = api.send(chat(session, "/api/v1/chat/stream", &question())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

async fn a_stream_is_the_answer_bit_by_bit_and_then_its_end(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let answer = streamed(&api, &ada).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: text/event-stream
    location: /api/v1/runs/[uuid]/stream
    x-accel-buffering: no
    x-content-type-options: nosniff
    x-request-id: [uuid]

    id: 1.1
    data: {"chunk":"","conversation_id":"homework","is_complete":false,"agent_used":"triage","run_id":"[uuid]"}

    id: 1.2
    data: {"chunk":"That makes 42. I am the scripted model: set OPENAI_API_KEY to talk to a real one.","conversation_id":"homework","is_complete":false,"agent_used":"triage","run_id":"[uuid]"}

    id: 1.3
    data: {"chunk":"","conversation_id":"homework","is_complete":true,"agent_used":"triage","run_id":"[uuid]","status":"completed"}
    "#);
    let run = frames(&answer.text())[0].run().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/runs/{run}/stream"));
    let run = api.send(get(&format!("/api/v1/runs/{run}")).bearer(ada.access())).await;
    assert_answer!(run, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "agent_used": "triage",
      "conversation_id": "homework",
      "created_at": "2026-01-01T00:00:00Z",
      "error": null,
      "finished_at": "2026-01-01T00:00:00Z",
      "model_used": "gpt-5.1",
      "response": "That makes 42. I am the scripted model: set OPENAI_API_KEY to talk to a real one.",
      "run_id": "[uuid]",
      "status": "completed",
      "usage": {
        "cached_input_tokens": 0,
        "input_tokens": 23,
        "output_tokens": 16,
        "reasoning_tokens": 0
      }
    }
    "#);
}

async fn every_frame_says_what_the_earlier_system_said(engine: TestEngine) {
    let api = word_by_word(engine).await;
    let ada = api.register("ada@example.com").await;
    let frames = frames(&streamed(&api, &ada).await.text());
    assert!(frames.len() > 10, "every word is a frame");
    for (number, frame) in (1..).zip(&frames) {
        assert_eq!(frame.id, format!("1.{number}"));
        assert_eq!(frame.data["conversation_id"], "homework");
        assert_eq!(frame.data["agent_used"], "triage");
        assert_eq!(frame.run(), frames[0].run());
        assert_eq!(frame.is_terminal(), number == frames.len());
    }
    let last = frames.last().expect("there are frames");
    assert_eq!((frames[0].chunk(), last.chunk(), &last.data["status"]), ("", "", &json!("completed")));
    let text: String = frames.iter().map(Frame::chunk).collect();
    assert!(text.starts_with("That makes 42. "), "{text}");
    let path = format!("/api/v1/runs/{}", last.run());
    assert_eq!(api.send(get(&path).bearer(ada.access())).await.json()["response"], text);
}

async fn a_chat_answers_with_the_whole_of_it(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    assert_answer!(api.send(chat(&ada, "/api/v1/chat", &question())).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "agent_used": "triage",
      "conversation_id": "homework",
      "handoff_occurred": false,
      "metadata": {
        "model_used": "gpt-5.1",
        "tools_available": []
      },
      "response": "That makes 42. I am the scripted model: set OPENAI_API_KEY to talk to a real one.",
      "run_id": "[uuid]"
    }
    "#);
    let body = json!({ "message": "Tests?", "agent_type": "code_assistant", "context": { "page": 1 } });
    let answer = api.send(chat(&ada, "/api/v1/chat", &body)).await.json();
    assert_eq!(answer["agent_used"], "code_assistant");
    assert!(answer["conversation_id"].as_str().is_some_and(|key| key.len() == 36), "a key of ours: {answer}");
}

async fn a_stream_resumes_after_any_of_its_events(engine: TestEngine) {
    let api = word_by_word(engine).await;
    let ada = api.register("ada@example.com").await;
    let answer = streamed(&api, &ada).await;
    let path = answer.header("location").to_owned();
    let again = api.send(get(&path).bearer(ada.access())).await;
    assert_eq!((again.text(), again.header("location")), (answer.text(), path.as_str()));
    let frames = frames(&answer.text());
    for seen in 0..frames.len() {
        let (id, rest) = (&frames[seen].id, &frames[seen + 1..]);
        let rest: String = rest.iter().map(|frame| frame.raw.as_str()).collect();
        let by_header = get(&path).bearer(ada.access()).header(LAST_EVENT_ID, id);
        assert_eq!(api.send(by_header).await.text(), rest, "after {id}");
        let by_query = get(&format!("{path}?after={id}")).bearer(ada.access());
        assert_eq!(api.send(by_query).await.text(), rest, "after {id}");
    }
    let both = get(&format!("{path}?after=1.1")).bearer(ada.access()).header(LAST_EVENT_ID, "1.3");
    assert_eq!(api.send(both).await.text(), frames[3..].iter().map(|frame| &*frame.raw).collect::<String>());
    let plain = get(&format!("{path}?after=2")).bearer(ada.access()).header(LAST_EVENT_ID, "");
    assert_eq!(api.send(plain).await.text(), frames[2..].iter().map(|frame| &*frame.raw).collect::<String>());
}

async fn an_id_that_no_event_has_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let path = streamed(&api, &ada).await.header("location").to_owned();
    for id in ["x", "1.", "1.x", "-1", "1.-2", "1.2.3", "+1", "9999999999999999999", "1.٣"] {
        let answer = api.send(get(&path).bearer(ada.access()).header(LAST_EVENT_ID, id)).await;
        assert_eq!(answer.problem(), (422, "invalid_request".into()), "{id}");
        assert_eq!(answer.wrong_fields(), [("after".to_owned(), "invalid".to_owned())]);
    }
    // A wrong one is refused where the other one counts, too.
    let unread = get(&format!("{path}?after=1.x")).bearer(ada.access()).header(LAST_EVENT_ID, "1.3");
    assert_eq!(api.send(unread).await.wrong_fields(), [("after".into(), "invalid".into())]);
    let answer = api.send(get(&format!("{path}?after=1.x")).bearer(ada.access())).await;
    assert_eq!(answer.wrong_fields(), [("after".to_owned(), "invalid".to_owned())]);
    for path in ["/api/v1/runs/x", "/api/v1/runs/x/stream"] {
        let answer = api.send(get(path).bearer(ada.access())).await;
        assert_eq!(answer.wrong_fields(), [("run_id".to_owned(), "invalid".to_owned())]);
    }
    let answer = api.send(post("/api/v1/runs/x/cancel").bearer(ada.access())).await;
    assert_eq!(answer.wrong_fields(), [("run_id".to_owned(), "invalid".to_owned())]);
}

async fn the_same_request_under_one_key_is_one_run(engine: TestEngine) {
    let api = word_by_word(engine).await;
    let ada = api.register("ada@example.com").await;
    let ask = |path| chat(&ada, path, &question()).header(IDEMPOTENCY_KEY, "first try");
    let first = api.send(ask("/api/v1/chat/stream")).await;
    let second = api.send(ask("/api/v1/chat/stream")).await;
    assert_eq!((first.status, first.text()), (second.status, second.text()));
    assert_eq!(first.header("location"), second.header("location"));
    let whole = api.send(ask("/api/v1/chat")).await.json();
    assert_eq!(whole["run_id"], frames(&first.text())[0].run());
    let read = api.send(get("/api/v1/conversations/homework").bearer(ada.access())).await.json();
    assert_eq!(read["messages"].as_array().map(Vec::len), Some(2), "one question, one answer");
    // A key is its user's own.
    let bob = api.register("bob@example.com").await;
    let his = api.send(chat(&bob, "/api/v1/chat", &question()).header(IDEMPOTENCY_KEY, "first try")).await;
    assert_ne!(his.json()["run_id"], whole["run_id"]);
}

async fn another_request_under_the_same_key_is_a_409(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let ask = |body: &Value| chat(&ada, "/api/v1/chat/stream", body).header(IDEMPOTENCY_KEY, "k");
    assert_eq!(api.send(ask(&question())).await.status, 200);
    for other in [
        json!({ "message": "What is 6 * 8?", "conversation_id": "homework" }),
        json!({ "message": "What is 6 * 7?", "conversation_id": "other" }),
        json!({ "message": "What is 6 * 7?" }),
        json!({ "message": "What is 6 * 7?", "conversation_id": "homework", "agent_type": "data_analyst" }),
    ] {
        let answer = api.send(ask(&other)).await;
        assert_eq!(answer.problem(), (409, "idempotency_key_reused".into()), "{other}");
    }
}

async fn wrong_requests_are_a_422_that_says_why(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let long = "x".repeat(32_001);
    for (body, code) in [
        (json!({ "message": "Hi", "agent_type": "nobody" }), "unknown_agent"),
        (json!({ "message": "" }), "invalid_message"),
        (json!({ "message": long }), "invalid_message"),
        (json!({ "message": "a\0b" }), "invalid_message"),
        (json!({}), "invalid_request"),
        (json!({ "message": 1 }), "invalid_request"),
        (json!({ "message": "Hi", "agent_type": "Not a name" }), "invalid_request"),
        (json!({ "message": "Hi", "conversation_id": "x".repeat(256) }), "invalid_request"),
        (json!({ "message": "Hi", "conversation_id": "a\u{7}b" }), "invalid_request"),
    ] {
        for path in ["/api/v1/chat", "/api/v1/chat/stream"] {
            assert_eq!(
                api.send(chat(&ada, path, &body)).await.problem(),
                (422, code.into()),
                "{path} {code}"
            );
        }
    }
    for key in ["", "ключ", &"k".repeat(256)] {
        let call = chat(&ada, "/api/v1/chat/stream", &question()).header(IDEMPOTENCY_KEY, key);
        let answer = api.send(call).await;
        assert_eq!(answer.wrong_fields(), [("Idempotency-Key".to_owned(), "invalid".to_owned())], "{key}");
    }
    let list = api.send(get("/api/v1/conversations").bearer(ada.access())).await;
    assert_eq!(list.json(), json!([]), "nothing was begun");
    let longest = json!({ "message": "x".repeat(32_000) });
    assert_eq!(api.send(chat(&ada, "/api/v1/chat", &longest)).await.status, 200);
}

async fn a_message_behind_another_waits_for_its_turn(engine: TestEngine) {
    let model = Prompted::new();
    let api = Api::of(model.start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let ask = || chat(&ada, "/api/v1/chat/stream", &question());
    let mut first = Open::at(&api, ask()).await;
    assert_eq!(first.frame().await.chunk(), "");
    let mut second = Open::at(&api, ask()).await;
    let path =
        second.headers[header::LOCATION].to_str().expect("a path").trim_end_matches("/stream").to_owned();
    assert_eq!(api.send(get(&path).bearer(ada.access())).await.json()["status"], "queued");
    model.go_on(3);
    assert!(frames(&first.rest().await).last().is_some_and(Frame::is_terminal));
    assert_eq!(second.frame().await.id, "1.1");
    model.go_on(3);
    assert!(frames(&second.rest().await).last().is_some_and(Frame::is_terminal));
}

async fn too_many_waiting_messages_are_a_429(engine: TestEngine) {
    let api = Api::of(Prompted::new().start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let ask = || chat(&ada, "/api/v1/chat/stream", &question());
    let mut running = Open::at(&api, ask()).await;
    running.frame().await;
    for _ in 0..10 {
        Open::at(&api, ask()).await;
    }
    let answer = api.send(ask()).await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((429, "queue_full".into()), "5"));
    let elsewhere = json!({ "message": "Hi", "conversation_id": "elsewhere" });
    Open::at(&api, chat(&ada, "/api/v1/chat/stream", &elsewhere)).await.frame().await;
}

/// Makes Bob one of Ada's tenant; he signs in anew.
pub(crate) async fn join(api: &Api, ada: &Session, bob: &Session, role: &str) -> Session {
    let mut tx = api.test.begin().await;
    let id = |text: &Value| text.as_str().and_then(|id| id.parse::<uuid::Uuid>().ok()).expect("an id");
    saas_sql::execute!(
        tx.conn(),
        "UPDATE saas_memberships SET tenant_id = $1, role = $2 WHERE user_id = $3",
        id(&ada.0["tenant_id"]),
        role,
        id(&bob.0["user_id"]),
    )
    .expect("Bob moves");
    tx.commit().await.expect("Bob moves");
    let bob = api.sign_in("bob@example.com").await;
    assert_eq!(bob.tenant(), ada.tenant());
    bob
}

async fn nobody_else_finds_the_run(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let bob = api.register("bob@example.com").await;
    let stream = streamed(&api, &ada).await.header("location").to_owned();
    let run = stream.trim_end_matches("/stream").to_owned();
    let assert_hidden = async |who: &Session| {
        for call in [get(&run), get(&stream), post(&format!("{run}/cancel"))] {
            let answer = api.send(call.bearer(who.access())).await;
            assert_eq!(answer.problem(), (404, "run_not_found".into()));
        }
    };
    assert_hidden(&bob).await;
    // The key is free in his tenant.
    assert_eq!(streamed(&api, &bob).await.status, 200);
    let bob = join(&api, &ada, &bob, "admin").await;
    assert_hidden(&bob).await;
    let answer = api.send(chat(&bob, "/api/v1/chat/stream", &question())).await;
    assert_eq!(answer.problem(), (404, "conversation_not_found".into()));
    let missing = "/api/v1/runs/01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(api.send(get(missing).bearer(ada.access())).await.problem(), (404, "run_not_found".into()));
}

async fn who_may_only_read_does_not_chat(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let bob = api.register("bob@example.com").await;
    let run = streamed(&api, &bob).await.header("location").trim_end_matches("/stream").to_owned();
    let bob = join(&api, &ada, &bob, "viewer").await;
    for call in [
        chat(&bob, "/api/v1/chat", &question()),
        chat(&bob, "/api/v1/chat/stream", &question()),
        post(&format!("{run}/cancel")).bearer(bob.access()),
    ] {
        assert_eq!(api.send(call).await.problem(), (403, "forbidden".into()));
    }
    for path in ["/api/v1/conversations", "/api/v1/agents"] {
        assert_eq!(api.send(get(path).bearer(bob.access())).await.status, 200);
    }
    for call in [post("/api/v1/chat").json(&question()), get(&run), get("/api/v1/agents")] {
        assert_eq!(api.send(call).await.problem(), (401, "unauthenticated".into()));
    }
}

async fn a_cancelled_run_keeps_what_it_said(engine: TestEngine) {
    let model = Prompted::new();
    let api = Api::of(model.start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, chat(&ada, "/api/v1/chat/stream", &question())).await;
    model.go_on(1);
    stream.frame().await;
    let said = stream.frame().await;
    assert_eq!(said.chunk(), "one ");
    let run = format!("/api/v1/runs/{}", said.run());
    let cancelled = api.send(post(&format!("{run}/cancel")).bearer(ada.access())).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED);
    let end = stream.frame().await;
    assert_eq!((end.is_terminal(), &end.data["status"]), (true, &json!("cancelled")));
    assert_eq!(stream.block().await, None);
    let run = api.send(get(&run).bearer(ada.access())).await.json();
    assert_eq!((&run["status"], &run["response"]), (&json!("cancelled"), &json!("one ")));
    let read = api.send(get("/api/v1/conversations/homework").bearer(ada.access())).await.json();
    let answer = &read["messages"][1];
    assert_eq!((&answer["content"], &answer["partial"]), (&json!("one "), &json!(true)));
}

async fn a_run_that_is_over_is_not_cancelled(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let run = frames(&streamed(&api, &ada).await.text())[0].run().to_owned();
    let answer = api.send(post(&format!("/api/v1/runs/{run}/cancel")).bearer(ada.access())).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (202, &json!("completed")));
}

async fn the_agents_are_listed_by_name(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let list = api.send(get("/api/v1/agents").bearer(ada.access())).await.json();
    let agents = list.as_array().expect("a list");
    let names: Vec<_> = agents.iter().map(|agent| agent["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["code_assistant", "data_analyst", "triage"]);
    for agent in agents {
        assert_eq!(agent["status"], "active");
        assert!(agent["description"].as_str().is_some_and(|text| !text.is_empty()));
        let path = format!("/api/v1/agents/{}/status", agent["name"].as_str().unwrap_or_default());
        assert_eq!(api.send(get(&path).bearer(ada.access())).await.json(), *agent);
    }
    for name in ["nobody", "Triage", "%20"] {
        let path = format!("/api/v1/agents/{name}/status");
        let answer = api.send(get(&path).bearer(ada.access())).await;
        assert_eq!(answer.problem(), (404, "agent_not_found".into()));
    }
}

async fn a_silent_stream_says_that_it_lives(engine: TestEngine) {
    let api = Api::of(Prompted::new().start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, chat(&ada, "/api/v1/chat/stream", &question())).await;
    stream.frame().await;
    let Api { test, router } = api;
    // Otherwise they would find, time having jumped, that the run's lease is over.
    drop(test.workers);
    let mut waiting = Box::pin(stream.block());
    for _ in 0..2 {
        assert!(futures_util::poll!(&mut waiting).is_pending(), "it has nothing to say");
        test.clock.advance(std::time::Duration::from_secs(14));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "it is silent for less than 15 seconds");
        test.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(waiting.await.as_deref(), Some(": heartbeat\n\n"));
        waiting = Box::pin(stream.block());
    }
    drop(router);
}

async fn the_time_limit_of_requests_does_not_cut_a_stream(engine: TestEngine) {
    let model = Prompted::new();
    let api = Api::of(model.start(engine, [("REQUEST_TIMEOUT_SECONDS", "30")]).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, chat(&ada, "/api/v1/chat/stream", &question())).await;
    stream.frame().await;
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    tokio::time::resume();
    model.go_on(3);
    let rest = frames(&stream.rest().await);
    assert_eq!(rest.iter().map(Frame::chunk).collect::<String>(), "one two three");
}

async fn a_run_goes_on_when_its_client_leaves(engine: TestEngine) {
    let model = Prompted::new();
    let api = Api::of(model.start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, chat(&ada, "/api/v1/chat/stream", &question())).await;
    model.go_on(1);
    let seen = [stream.frame().await, stream.frame().await].map(|frame| frame.raw).concat();
    let path = stream.headers[header::LOCATION].to_str().expect("a path").to_owned();
    drop(stream);
    model.go_on(2);
    let resume = get(&path).bearer(ada.access()).header(LAST_EVENT_ID, "1.2");
    let rest = Open::at(&api, resume).await.rest().await;
    let whole = api.send(get(&path).bearer(ada.access())).await.text();
    assert_eq!(seen + &rest, whole);
    assert!(frames(&whole).last().is_some_and(|end| end.data["status"] == "completed"));
}

/// A server with workers of its own that are told to stop together.
struct Stopping {
    api: Api,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Stopping {
    async fn start(engine: TestEngine, model: &Prompted, deadline: &str) -> Self {
        let settings = [("PORT", "0"), ("SHUTDOWN_DEADLINE_SECONDS", deadline)];
        let api = Api::of(model.start(engine, settings).await);
        let server = Server::bind(&api.test.saas).await.expect("a free port is there");
        let (address, saas, stop) = (server.address(), api.test.saas.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let server = tokio::spawn(async move { server.run(&saas, stopped.cancelled()).await });
        Self { api, address, stop, server }
    }

    /// Asks over TCP, and comes back with the first bytes of the answer.
    async fn ask(&self) -> (TcpStream, String) {
        let ada = self.api.register("ada@example.com").await;
        let body = question().to_string();
        let (token, length) = (ada.access(), body.len());
        let request = format!(
            "POST /api/v1/chat/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut client = TcpStream::connect(self.address).await.expect("the server listens");
        client.write_all(request.as_bytes()).await.expect("the connection takes bytes");
        let mut answer = String::new();
        while !answer.contains("id: 1.1\n") {
            let mut bytes = [0; 4096];
            let read = client.read(&mut bytes).await.expect("the connection gives bytes");
            assert!(read > 0, "{answer}");
            answer += std::str::from_utf8(&bytes[..read]).expect("the answer is ASCII");
        }
        (client, answer)
    }

    /// Tells server and workers to stop, lets the test do something once the port is closed, and waits for both.
    async fn stop(self, meanwhile: impl FnOnce()) {
        self.stop.cancel();
        let workers = tokio::spawn(self.api.test.workers.stop());
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        meanwhile();
        self.server.await.expect("the server stops");
        workers.await.expect("the workers stop");
    }
}

async fn a_stream_ends_before_the_server_stops(engine: TestEngine) {
    let model = Prompted::new();
    let server = Stopping::start(engine, &model, "60").await;
    let (mut client, mut answer) = server.ask().await;
    server.stop(|| model.go_on(3)).await;
    client.read_to_string(&mut answer).await.expect("the stream ends in order");
    assert!(answer.contains(r#""status":"completed""#) && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
}

async fn a_run_that_does_not_end_is_interrupted_when_the_server_stops(engine: TestEngine) {
    let server = Stopping::start(engine, &Prompted::new(), "2").await;
    let (mut client, mut answer) = server.ask().await;
    server.stop(|| {}).await;
    client.read_to_string(&mut answer).await.expect("the stream ends in order");
    assert!(answer.contains(r#""status":"interrupted""#) && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
}

async fn a_stream_of_a_run_that_goes_on_elsewhere_is_told_to_resume_when_the_server_stops(
    engine: TestEngine,
) {
    let model = Prompted::new();
    let server = Stopping::start(engine, &model, "2").await;
    let (mut client, mut answer) = server.ask().await;
    // The workers are not told to stop: they are another process's.
    server.stop.cancel();
    client.read_to_string(&mut answer).await.expect("the stream ends in order");
    server.server.await.expect("the server stops");
    let last_words = crate::streaming_guide::blocks()["stopping"];
    assert!(answer.ends_with(&format!("{last_words}\r\n0\r\n\r\n")), "{answer}");
    assert!(!answer.contains(r#""is_complete":true"#), "{answer}");
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location");
    model.go_on(3);
    let ada = server.api.sign_in("ada@example.com").await;
    let resume = get(location).bearer(ada.access()).header(LAST_EVENT_ID, "1.1");
    let rest = frames(&server.api.send(resume).await.text());
    assert_eq!(rest.iter().map(Frame::chunk).collect::<String>(), "one two three");
}
