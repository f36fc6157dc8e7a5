//! When it tries again, and when it does not: judged by a server that counts and a clock that is asked.

use std::{sync::Arc, time::Duration};

use saas_agents::ChatModel;
use saas_core::clock::ManualClock;

use crate::{
    server::{Reply, Server},
    support::{FIRST_BYTE, asked, model, request, told},
};

const CREATED: &str = "data: {\"type\":\"response.created\",\"response\":{}}\n\n";
const TEXT: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
const END: &str = "data: {\"type\":\"response.completed\"}\n\n";
const WHOLE: [&str; 2] = ["text: Hi", "Complete: 0 (0 cached), 0 (0 thought)"];

fn good() -> Reply {
    Reply::stream([CREATED, TEXT, END])
}

fn busy() -> Reply {
    Reply::error(429, "rate_limit_exceeded")
}

/// What came of it, the number of requests, the pauses in milliseconds.
async fn outcome(replies: impl IntoIterator<Item = Reply>) -> (Vec<String>, usize, Vec<u128>) {
    let server = Server::start(replies).await;
    let (told, pauses) = asked(&server.url).await;
    (told, server.requests(), pauses.iter().map(Duration::as_millis).collect())
}

#[tokio::test]
async fn it_waits_as_long_as_the_vendor_asks() {
    for (name, value, millis) in [
        ("retry-after", "7", 7000),
        ("retry-after-ms", "1500", 1500),
        ("retry-after", "Thu, 01 Jan 2026 00:00:20 GMT", 20_000),
    ] {
        let (told, requests, pauses) = outcome([busy().with_header(name, value), good()]).await;
        assert_eq!((told.as_slice(), requests), (WHOLE.map(str::to_owned).as_slice(), 2));
        assert_eq!(pauses, [millis], "{name}: {value}");
    }
}

#[tokio::test]
async fn a_vendor_that_stays_busy_is_left_after_three_attempts() {
    let got = outcome([busy().with_header("retry-after", "2")]).await;
    let expected = vec!["refused: RateLimited { retry_after: Some(2s) }".to_owned()];
    assert_eq!(got, (expected, 3, vec![2000, 2000]));
}

#[tokio::test]
async fn a_vendor_that_asks_for_minutes_is_not_waited_for() {
    let got = outcome([busy().with_header("retry-after", "31"), good()]).await;
    assert_eq!(got, (vec!["refused: RateLimited { retry_after: Some(31s) }".to_owned()], 1, vec![]));
}

#[tokio::test]
async fn failures_that_pass_are_tried_again_with_growing_pauses() {
    for reply in [
        Reply::error(500, "server_error"),
        Reply::error(503, "slow_down"),
        Reply::error(408, "x"),
        Reply::error(409, "x"),
        busy(),
        Reply::dropped(),
        Reply::stream([CREATED]),
        Reply::stream([CREATED]).broken(),
        Reply::stream([""; 0]).broken(),
    ] {
        let (told, requests, pauses) = outcome([reply.clone(), reply.clone(), good()]).await;
        assert_eq!((told.as_slice(), requests), (WHOLE.map(str::to_owned).as_slice(), 3), "{reply:?}");
        assert_eq!(pauses, [250, 500], "{reply:?}");
    }
}

#[tokio::test]
async fn the_last_failure_is_told() {
    for (reply, expected) in [
        (Reply::error(500, "server_error"), "refused: Unavailable"),
        (Reply::dropped(), "refused: Unavailable"),
        (Reply::stream([CREATED]).broken(), "refused: Truncated"),
    ] {
        let (told, requests, _) = outcome([reply]).await;
        assert_eq!((told, requests), (vec![expected.to_owned()], 3));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let gone = Server::start([good()]).await.url.clone();
    tokio::task::yield_now().await;
    let (told, pauses) = asked(&gone).await;
    assert_eq!((told, pauses.len()), (vec!["refused: Unavailable".to_owned()], 2));
}

#[tokio::test]
async fn the_vendor_has_the_last_word_on_trying_again() {
    let never = Reply::error(500, "server_error").with_header("x-should-retry", "false");
    assert_eq!(outcome([never, good()]).await.1, 1);
    let still = Reply::error(400, "odd").with_header("x-should-retry", "true");
    assert_eq!(outcome([still, good()]).await.1, 2);
}

#[tokio::test]
async fn nothing_is_tried_again_after_the_first_output() {
    let item = "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"reasoning\"}}\n\n";
    let got = outcome([Reply::stream([TEXT]).broken(), good()]).await;
    assert_eq!(got, (vec!["text: Hi".to_owned(), "broken: Truncated".to_owned()], 1, vec![]));
    let (told, requests, _) = outcome([Reply::stream([item]).broken(), good()]).await;
    let expected = [r#"item: {"type":"reasoning"}"#, "broken: Truncated"].map(str::to_owned);
    assert_eq!((told.as_slice(), requests), (expected.as_slice(), 1));
}

#[tokio::test]
async fn every_attempt_sends_the_same_request() {
    let server = Server::start([busy(), good()]).await;
    asked(&server.url).await;
    assert_eq!(server.request(0).1, server.request(1).1);
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_waited_for_and_tried_again() {
    let server = Server::start([Reply::silent()]).await;
    let clock = Arc::new(ManualClock::default());
    let model = model(&server.url, Arc::<ManualClock>::clone(&clock));
    let asking = tokio::spawn(async move { told(model.stream(request("Hello?")).await).await });
    for attempt in 1..=3 {
        server.has_requests(attempt).await;
        clock.advance(FIRST_BYTE);
        // The pause before the next attempt, in steps that are too short for a time-out.
        while attempt < 3 && server.requests() == attempt {
            clock.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(asking.await.unwrap(), ["refused: Unavailable"]);
    assert_eq!(server.requests(), 3);
}
