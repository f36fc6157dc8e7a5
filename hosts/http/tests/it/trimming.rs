//! Streams whose beginning is not kept any more: who comes back to one is told, and where to go on.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use saas_agents::RunId;
use saas_core::{Clock, Cut, EventBounds, EventLog, Topic};
use saas_kit::testing::TestEngine;
use saas_sql::SqlEventLog;
use serde_json::{Value, json};

use crate::{
    frames::{Frame, Open, Prompted, frames},
    harness::{Answer, Api, Session, get, on_both_engines, post},
    streaming_guide,
};

on_both_engines! {
    the_stream_of_a_run_that_is_long_over_is_a_410_that_says_where_to_go_on,
    who_asks_again_under_the_key_of_a_run_that_is_long_over_gets_its_answer,
    who_comes_back_to_a_live_run_whose_beginning_is_gone_is_told,
    a_stream_whose_client_is_too_slow_breaks_off_and_resuming_is_a_410,
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DAY: Duration = Duration::from_hours(24);

fn question() -> Value {
    json!({ "message": "What is 6 * 7?", "conversation_id": "homework" })
}

/// Another process trims what a run has said.
async fn trim(api: &Api, run: &str, through: i64) {
    let clock: Arc<dyn Clock> = Arc::<saas_core::clock::ManualClock>::clone(&api.test.clock);
    let (log, _) = SqlEventLog::new(api.test.saas.storage().clone(), clock);
    let topic = Topic::new(RunId::FAMILY, run);
    log.trim(&[Cut { topic, through }]).await.expect("the database answers");
}

/// Days later, what the hourly job does.
async fn days_later(api: &Api) -> Session {
    api.test.clock.advance(2 * DAY);
    let bounds = EventBounds { family: RunId::FAMILY, newest: 1_000, idle: DAY };
    assert!(api.test.saas.agents().purge_events(&bounds).await.expect("the database answers") > 0);
    api.sign_in("ada@example.com").await
}

async fn asked_under_a_key(api: &Api, session: &Session, path: &str) -> Answer {
    let call = post(path).bearer(session.access()).json(&question()).header(IDEMPOTENCY_KEY, "5a1c");
    api.send(call).await
}

async fn the_stream_of_a_run_that_is_long_over_is_a_410_that_says_where_to_go_on(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let answer = api.send(post("/api/v1/chat/stream").bearer(ada.access()).json(&question())).await;
    let (whole, path) = (frames(&answer.text()), answer.header("location").to_owned());
    let ada = days_later(&api).await;
    let from = |id: &str| api.send(get(&path).bearer(ada.access()).header(LAST_EVENT_ID, id));
    for id in ["", "1.0", "1.1"] {
        let gone = from(id).await;
        assert_eq!(gone.problem(), (410, "events_trimmed".to_owned()), "{id}");
        let run = whole[0].run();
        let mut body = gone.json();
        body["request_id"] = json!("[uuid]");
        body["run_id"] = json!(body["run_id"].as_str().expect("the run").replace(run, "[uuid]"));
        let guide: Value = serde_json::from_str(streaming_guide::blocks()["gone"]).expect("JSON");
        assert_eq!(body, guide, "as the guide says");
    }
    assert_eq!(from("1.2").await.text(), whole[2].raw, "how it ended is still said");
    assert_eq!(from("1.3").await.text(), "");
    let run = api.send(get(path.trim_end_matches("/stream")).bearer(ada.access())).await.json();
    assert_eq!(run["response"], whole.iter().map(Frame::chunk).collect::<String>());
    let conversation = api.send(get("/api/v1/conversations/homework").bearer(ada.access())).await.json();
    assert_eq!(conversation["messages"].as_array().map(Vec::len), Some(2), "{conversation}");
}

async fn who_asks_again_under_the_key_of_a_run_that_is_long_over_gets_its_answer(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let first = asked_under_a_key(&api, &ada, "/api/v1/chat").await;
    assert_eq!(first.status, 200, "{}", first.text());
    let ada = days_later(&api).await;
    let again = asked_under_a_key(&api, &ada, "/api/v1/chat").await;
    assert_eq!((again.status, again.json()), (first.status, first.json()));
    let streamed = asked_under_a_key(&api, &ada, "/api/v1/chat/stream").await;
    assert_eq!(streamed.problem(), (410, "events_trimmed".to_owned()));
    assert_eq!(streamed.json()["run_id"], first.json()["run_id"]);
}

async fn who_comes_back_to_a_live_run_whose_beginning_is_gone_is_told(engine: TestEngine) {
    let model = Prompted::new();
    let api = Api::of(model.start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut unbroken =
        Open::at(&api, post("/api/v1/chat/stream").bearer(ada.access()).json(&question())).await;
    let first = unbroken.frame().await;
    let path = format!("/api/v1/runs/{}/stream", first.run());
    // What is said at once is one event.
    for _ in 0..2 {
        model.go_on(1);
        unbroken.frame().await;
    }
    // What the server holds in memory it gives for a second.
    api.test.clock.advance(Duration::from_secs(2));
    trim(&api, first.run(), 2).await;
    for id in ["", "1.1"] {
        let gone = api.send(get(&path).bearer(ada.access()).header(LAST_EVENT_ID, id)).await;
        assert_eq!(gone.problem(), (410, "events_trimmed".to_owned()), "{id}");
        assert_eq!(gone.json()["after"], "1.2");
    }
    let mut resumed = Open::at(&api, get(&path).bearer(ada.access()).header(LAST_EVENT_ID, "1.2")).await;
    assert_eq!(resumed.frame().await.chunk(), "two ");
    model.go_on(1);
    let rest = unbroken.rest().await;
    assert_eq!(resumed.rest().await, rest);
    let rest = frames(&rest);
    assert_eq!(
        rest.iter().map(|frame| (&*frame.id, frame.is_terminal())).collect::<Vec<_>>(),
        [("1.4", false), ("1.5", true)]
    );
}

async fn a_stream_whose_client_is_too_slow_breaks_off_and_resuming_is_a_410(engine: TestEngine) {
    let model = Prompted::new();
    let api = Api::of(model.start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut slow = Open::at(&api, post("/api/v1/chat/stream").bearer(ada.access()).json(&question())).await;
    let first = slow.frame().await;
    let path = format!("/api/v1/runs/{}/stream", first.run());
    let mut quick = Open::at(&api, get(&path).bearer(ada.access())).await;
    quick.frame().await;
    for _ in 0..2 {
        model.go_on(1);
        quick.frame().await;
    }
    api.test.clock.advance(Duration::from_secs(2));
    trim(&api, first.run(), 3).await;
    assert_eq!(slow.rest().await, streaming_guide::blocks()["too-slow"]);
    let gone = api.send(get(&path).bearer(ada.access()).header(LAST_EVENT_ID, &first.id)).await;
    assert_eq!((gone.problem(), &gone.json()["after"]), ((410, "events_trimmed".to_owned()), &json!("1.3")));
}
