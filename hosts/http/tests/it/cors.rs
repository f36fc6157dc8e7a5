//! Browsers on pages of other origins: what they ask before, and what they may read.

use axum::body::Body;
use http::{HeaderMap, Method, Request, header};
use saas_kit::testing::TestEngine;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Api, Call, get, on_both_engines, post, registration};

on_both_engines! {
    a_browsers_preflight_is_answered_without_a_token,
    a_page_may_read_the_answer_and_the_headers_that_the_description_names,
    a_page_may_read_what_went_wrong,
    an_origin_that_is_not_allowed_learns_nothing,
    every_origin_may_be_allowed_without_credentials,
    credentials_are_allowed_where_the_setting_says_so,
    without_origins_there_is_nothing_of_it,
}

const PAGE: &str = "https://app.example.com";
const ORIGINS: (&str, &str) = ("ALLOWED_ORIGINS", "https://app.example.com, http://localhost:3000");

/// What Chrome 142 sends before a page's `fetch(…, { method, headers })`.
fn preflight(path: &str, origin: &str, method: &str, headers: &str) -> Request<Body> {
    Request::builder()
        .method(Method::OPTIONS)
        .uri(path)
        .header("accept", "*/*")
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers)
        .header("origin", origin)
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-dest", "empty")
        .body(Body::empty())
        .expect("a request")
}

/// Status and headers: a preflight's answer has no body and names no request.
async fn answered(api: &Api, request: Request<Body>) -> (u16, HeaderMap) {
    let answer = api.router.clone().oneshot(request).await.expect("the router always answers");
    (answer.status().as_u16(), answer.headers().clone())
}

/// The words of a list, in lower case.
fn words(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect()
}

fn access_control(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("access-control-")).collect()
}

async fn a_browsers_preflight_is_answered_without_a_token(engine: TestEngine) {
    let api = Api::with_settings(engine, [ORIGINS]).await;
    for (path, method, asked) in [
        ("/api/v1/conversations/abc", "PATCH", "authorization,content-type"),
        ("/api/v1/auth/me", "GET", "authorization,cache-control,x-request-id"),
        ("/api/v1/chat/stream", "POST", "authorization,content-type,idempotency-key"),
        ("/api/v1/runs/abc/stream", "GET", "authorization,last-event-id"),
        ("/api/v1/auth/sessions/abc", "DELETE", "authorization"),
        ("/.well-known/jwks.json", "GET", "if-none-match"),
    ] {
        let (status, headers) = answered(&api, preflight(path, PAGE, method, asked)).await;
        assert_eq!((status, &headers["access-control-allow-origin"]), (200, &PAGE.parse().expect("a value")));
        assert!(
            words(&headers, "access-control-allow-methods").contains(&method.to_ascii_lowercase()),
            "{path}"
        );
        let allowed = words(&headers, "access-control-allow-headers");
        assert!(
            asked.split(',').all(|name| allowed.iter().any(|allowed| allowed == name)),
            "{path}: {allowed:?}"
        );
        assert_eq!(headers["access-control-max-age"], "7200");
        assert_eq!(words(&headers, "vary"), ["origin"]);
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }
}

fn from_page(call: Call) -> Call {
    call.header(header::ORIGIN, PAGE)
}

async fn a_page_may_read_the_answer_and_the_headers_that_the_description_names(engine: TestEngine) {
    let api = Api::with_settings(engine, [ORIGINS]).await;
    let answer =
        api.send(from_page(post("/api/v1/auth/register").json(&registration("ada@example.com")))).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert_eq!(words(&answer.headers, "vary"), ["origin"]);
    let exposed = words(&answer.headers, "access-control-expose-headers");
    let openapi = serde_json::to_value(saas_http::openapi()).expect("the description is JSON");
    let mut named = Vec::new();
    name_headers(&openapi, &mut named);
    named.sort();
    named.dedup();
    assert!(named.len() > 5, "{named:?}");
    for name in named.iter().map(|name| name.to_ascii_lowercase()) {
        assert!(exposed.contains(&name), "{name} is not in {exposed:?}");
    }
    for name in ["x-request-id", "link", "location", "etag", "retry-after"] {
        assert!(exposed.iter().any(|exposed| exposed == name), "{name}");
    }
}

/// Every header that an answer may have, wherever the description says so.
fn name_headers(value: &Value, into: &mut Vec<String>) {
    if let Some(headers) = value.get("headers").and_then(Value::as_object) {
        into.extend(headers.keys().cloned());
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| name_headers(member, into)),
        Value::Array(items) => items.iter().for_each(|item| name_headers(item, into)),
        _ => {}
    }
}

async fn a_page_may_read_what_went_wrong(engine: TestEngine) {
    let api = Api::with_settings(engine, [ORIGINS]).await;
    for (call, status) in [
        (get("/api/v1/auth/me"), 401),
        (get("/api/v1/nothing"), 404),
        (post("/api/v1/auth/me").json(&json!({})), 405),
        (post("/api/v1/auth/token").text("{"), 400),
        (get(&format!("/{}", "x".repeat(9_000))), 414),
    ] {
        let answer = api.send(from_page(call)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{status}");
    }
}

async fn an_origin_that_is_not_allowed_learns_nothing(engine: TestEngine) {
    let api = Api::with_settings(engine, [ORIGINS]).await;
    for origin in [
        "https://evil.test",
        "https://app.example.com.evil.test",
        "http://app.example.com",
        "https://app.example.com:444",
        "null",
        "",
    ] {
        let (status, headers) =
            answered(&api, preflight("/api/v1/auth/me", origin, "GET", "authorization")).await;
        assert_eq!((status, access_control(&headers)), (405, vec![]), "{origin}");
        assert_eq!(words(&headers, "vary"), ["origin"]);
        let answer = api.send(get("/health").header(header::ORIGIN, origin)).await;
        assert_eq!((answer.status.as_u16(), access_control(&answer.headers)), (200, vec![]), "{origin}");
        assert_eq!(words(&answer.headers, "vary"), ["origin"]);
    }
    let answer = api.send(get("/health")).await;
    assert_eq!((access_control(&answer.headers), answer.header("vary")), (vec![], "origin"));
    // Who only asks what there is asks no preflight.
    let options = Request::options("/health").header("origin", PAGE).body(Body::empty()).expect("a request");
    assert_eq!(answered(&api, options).await.0, 405);
}

async fn every_origin_may_be_allowed_without_credentials(engine: TestEngine) {
    let api = Api::with_settings(engine, [("ALLOWED_ORIGINS", "*")]).await;
    let answer = api.send(get("/health").header(header::ORIGIN, "https://any.test")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(!answer.headers.contains_key("vary"), "it is the same for all");
}

async fn credentials_are_allowed_where_the_setting_says_so(engine: TestEngine) {
    let api = Api::with_settings(engine, [ORIGINS, ("CORS_ALLOW_CREDENTIALS", "true")]).await;
    let answer = api.send(from_page(get("/health"))).await;
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    let answer = api.send(get("/health").header(header::ORIGIN, "https://evil.test")).await;
    assert_eq!(access_control(&answer.headers), Vec::<&str>::new());
}

async fn without_origins_there_is_nothing_of_it(engine: TestEngine) {
    let api = Api::start(engine).await;
    let answer = api.send(from_page(get("/health"))).await;
    assert_eq!((access_control(&answer.headers), answer.header("vary")), (vec![], ""));
    let (status, headers) = answered(&api, preflight("/health", PAGE, "GET", "authorization")).await;
    assert_eq!((status, access_control(&headers)), (405, vec![]));
}
