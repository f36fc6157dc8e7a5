//! Answers that do not come, or not whole.

use crate::{
    server::{Reply, Server},
    support::asked,
};

const TEXT: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Once\"}\n\n";

/// What comes of a reply, and how many requests it took.
async fn outcome(reply: Reply) -> (Vec<String>, usize) {
    let server = Server::start([reply]).await;
    let (told, _) = asked(&server.url).await;
    (told, server.requests())
}

fn told(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test]
async fn a_stream_without_its_end_is_truncated() {
    let expected = told(&["text: Once", "broken: Truncated"]);
    assert_eq!(outcome(Reply::stream([TEXT])).await, (expected.clone(), 1));
    assert_eq!(outcome(Reply::stream([TEXT]).broken()).await, (expected.clone(), 1));
    // The end is there, but the empty line that would make it an event is not.
    let cut = "data: {\"type\":\"response.completed\"}\n";
    assert_eq!(outcome(Reply::stream([TEXT, cut])).await, (expected, 1));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_malformed_and_not_asked_for_again() {
    let refused = told(&["refused: Malformed"]);
    assert_eq!(outcome(Reply::stream(["data: {\"type\":\n\n"])).await, (refused.clone(), 1));
    assert_eq!(outcome(Reply::json(200, "{malformed json: <<<")).await, (refused.clone(), 1));
    let page =
        Reply::stream(["<html>Sign in to the network</html>"]).with_header("content-type", "text/html");
    assert_eq!(outcome(page).await, (refused, 1));
    let later = outcome(Reply::stream([TEXT, "data: oops\n\n"])).await;
    assert_eq!(later, (told(&["text: Once", "broken: Malformed"]), 1));
}

#[tokio::test]
async fn an_event_without_bounds_is_malformed() {
    let piece = "x".repeat(1 << 20);
    let endless = std::iter::once("data: ".to_owned()).chain(std::iter::repeat_n(piece, 17));
    assert_eq!(outcome(Reply::stream(endless).held()).await, (told(&["refused: Malformed"]), 1));
}

#[tokio::test]
async fn what_a_person_has_to_mend_is_not_tried_again() {
    for (status, code, expected) in [
        (401, "invalid_api_key", r#"refused: Access { code: "invalid_api_key" }"#),
        (403, "unsupported_country", r#"refused: Access { code: "unsupported_country" }"#),
        (404, "model_not_found", r#"refused: Access { code: "model_not_found" }"#),
        (404, "", r#"refused: Refused { code: "x" }"#),
        (400, "invalid_prompt", r#"refused: Refused { code: "invalid_prompt" }"#),
        (400, "context_length_exceeded", "refused: TooLong"),
        (429, "insufficient_quota", "refused: RateLimited { retry_after: None }"),
    ] {
        assert_eq!(outcome(Reply::error(status, code)).await, (told(&[expected]), 1), "{status} {code}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_conversation() {
    let elsewhere = Server::start([Reply::stream([TEXT])]).await;
    let reply = Reply::json(307, "").with_header("location", &elsewhere.url);
    assert_eq!(outcome(reply).await, (told(&[r#"refused: Refused { code: "http_307" }"#]), 1));
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn errors_in_the_stream_are_told_by_their_codes() {
    let failed = |code: &str| {
        format!(
            "data: {{\"type\":\"response.failed\",\"response\":{{\"status\":\"failed\",\"error\":{{\"code\":\"{code}\",\"message\":\"?\"}}}}}}\n\n"
        )
    };
    let flat = |code: &str| format!("data: {{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"?\"}}\n\n");
    let nested = |code: &str| {
        format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"y\",\"code\":\"{code}\"}}}}\n\n"
        )
    };
    for (code, expected, requests) in [
        ("rate_limit_exceeded", "RateLimited { retry_after: None }", 3),
        ("server_error", "Unavailable", 3),
        ("insufficient_quota", "RateLimited { retry_after: None }", 1),
        ("context_length_exceeded", "TooLong", 1),
        ("invalid_prompt", r#"Refused { code: "invalid_prompt" }"#, 1),
        ("model_not_found", r#"Access { code: "model_not_found" }"#, 1),
    ] {
        for event in [failed(code), flat(code), nested(code)] {
            let before = outcome(Reply::stream([&event])).await;
            assert_eq!(before, (vec![format!("refused: {expected}")], requests), "{event}");
            let after = outcome(Reply::stream([TEXT, &event, TEXT])).await;
            assert_eq!(after, (vec!["text: Once".to_owned(), format!("broken: {expected}")], 1), "{event}");
        }
    }
}
