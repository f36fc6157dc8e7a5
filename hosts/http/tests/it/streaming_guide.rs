//! `docs/streaming.md` shows what the server does.

use std::collections::BTreeMap;

use http::{HeaderName, header};
use saas_kit::testing::TestEngine;

use crate::{
    frames::{Open, Prompted},
    harness::{Api, Call, Session, get, on_both_engines, post},
};

on_both_engines! {
    the_guides_exchange_is_the_servers,
    the_guides_heartbeat_is_the_servers,
    the_guides_interrupted_run_is_the_servers,
}

const GUIDE: &str = include_str!("../../../../docs/streaming.md");

/// The fenced blocks with a name, by it.
pub(crate) fn blocks() -> BTreeMap<&'static str, &'static str> {
    let fenced = GUIDE.split("```").skip(1).step_by(2);
    let named = fenced.filter_map(|block| {
        let (head, text) = block.split_once('\n')?;
        Some((head.split_once(' ')?.1, text))
    });
    named.collect()
}

fn masked(text: &str, run: &str) -> String {
    text.replace(run, "[uuid]")
}

/// The request of a block, with the run's id and the token filled in.
fn request(block: &str, run: &str, ada: &Session) -> Call {
    let filled = block.replace("[uuid]", run).replace("[access token]", ada.access());
    let (head, body) = filled.split_once("\n\n").unwrap_or((&filled, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a path");
    let call = if method == "POST" { post(path) } else { get(path) };
    let call = lines.filter_map(|line| line.split_once(": ")).fold(call, |call, (name, value)| {
        call.header(HeaderName::from_bytes(name.as_bytes()).expect("a header"), value)
    });
    call.body(body.trim_end().to_owned())
}

fn run_of(stream: &Open) -> String {
    let location = stream.headers[header::LOCATION].to_str().expect("a path");
    location.trim_start_matches("/api/v1/runs/").trim_end_matches("/stream").to_owned()
}

async fn the_guides_exchange_is_the_servers(engine: TestEngine) {
    let (guide, model) = (blocks(), Prompted::new());
    let api = Api::of(model.start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, request(guide["ask"], "", &ada)).await;
    let run = run_of(&stream);
    let mut lines = guide["answer"].lines();
    assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        assert_eq!(masked(stream.headers[name].to_str().expect("ASCII"), &run), value);
    }
    let mut whole = stream.frame().await.raw;
    for _ in 0..3 {
        model.go_on(1);
        whole += &stream.frame().await.raw;
    }
    whole += &stream.rest().await;
    assert_eq!(masked(&whole, &run), guide["stream"]);
    let resumed = api.send(request(guide["resume"], &run, &ada)).await;
    assert_eq!(masked(&resumed.text(), &run), guide["rest"]);
    let again = api.send(request(guide["ask"], "", &ada)).await;
    assert_eq!(again.text(), whole, "the key of the guide names the run");
}

async fn the_guides_heartbeat_is_the_servers(engine: TestEngine) {
    let guide = blocks();
    let api = Api::of(Prompted::new().start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, request(guide["ask"], "", &ada)).await;
    stream.frame().await;
    // Otherwise they would find, time having jumped, that the run's lease is over.
    drop(api.test.workers);
    let mut waiting = Box::pin(stream.block());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    api.test.clock.advance(std::time::Duration::from_secs(15));
    assert_eq!(waiting.await.as_deref(), Some(guide["heartbeat"]));
}

async fn the_guides_interrupted_run_is_the_servers(engine: TestEngine) {
    let (guide, model) = (blocks(), Prompted::new());
    let api = Api::of(model.start(engine, [("SHUTDOWN_DEADLINE_SECONDS", "1")]).await);
    let ada = api.register("ada@example.com").await;
    let mut stream = Open::at(&api, request(guide["ask"], "", &ada)).await;
    model.go_on(1);
    stream.frame().await;
    stream.frame().await;
    api.test.workers.stop().await;
    let run = run_of(&stream);
    assert_eq!(masked(&stream.rest().await, &run), guide["interrupted"]);
}
