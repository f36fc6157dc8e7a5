//! What stands around every route: the request's id, the access log, time-outs, panics, and the rendering of problems.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use saas_core::RequestId;
use saas_kit::Saas;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the layers need.
#[derive(Debug, Clone)]
struct Shell {
    saas: Saas,
    commands: TaskTracker,
}

/// Puts the layers around a router. `commands` counts the commands in work, for who drains.
pub(crate) fn around(saas: &Saas, router: Router, commands: TaskTracker) -> Router {
    let shell = Shell { saas: saas.clone(), commands };
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(shell.clone(), detached))
        .layer(middleware::from_fn_with_state(shell, edge))
        .layer(CatchPanicLayer::custom(panicked_at_the_edge))
}

/// The outermost layer.
async fn edge(State(shell): State<Shell>, mut request: Request, next: Next) -> Response {
    let clock = shell.saas.clock();
    let id = request_id(&request).unwrap_or_else(|| RequestId::generate(&**clock, &**shell.saas.entropy()));
    request.extensions_mut().insert(id);
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = method(request.method());
    let span = tracing::info_span!("request", request.id = %id, http.request.method = method, http.route = route, user.id = tracing::field::Empty);
    let begun = clock.monotonic();
    let limit = limit(&route, shell.saas.settings().request_timeout.duration());
    let answer = tokio::time::timeout(limit, next.run(request)).instrument(span.clone()).await;
    let mut response = answer.unwrap_or_else(|_| timed_out().into_response());
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        // A 405 has to keep its Allow header (RFC 9110 section 15.5.6).
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(Some(id));
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let duration_ms = millis(clock.monotonic().saturating_sub(begun));
    span.in_scope(|| {
        tracing::info!(http.response.status_code = response.status().as_u16(), duration_ms, "request served");
    });
    response
}

/// The one route that answers only when an agent has said all gets ten times as long; its run goes on in any case.
fn limit(route: &str, usual: Duration) -> Duration {
    if route.ends_with("/api/v1/chat") { usual * 10 } else { usual }
}

/// A caller's own id, when it has the form of ours.
fn request_id(request: &Request) -> Option<RequestId> {
    request.headers().get(REQUEST_ID)?.to_str().ok()?.parse().ok()
}

/// A word out of a closed list: methods are the caller's to invent.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn timed_out() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", "the request took too long: try again")
        .with_retry_after(Duration::from_secs(1))
}

/// A command goes on when its caller leaves: a connection that ends between commit and answer changes nothing.
async fn detached(State(shell): State<Shell>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let command = shell.commands.spawn(next.run(request).instrument(tracing::Span::current()));
    command.await.unwrap_or_else(|_| Problem::internal().into_response())
}

/// The panic hook has printed where; the payload stays out of the answer and the log.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

/// Outside of everything: nothing is left that could render a problem.
fn panicked_at_the_edge(_: Box<dyn Any + Send>) -> Response {
    Problem::internal().render(None)
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use axum::{body::Body, routing};
    use http_body_util::BodyExt;
    use saas_kit::testing::{TestEngine, TestSaas};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    const SECRET: &str = "the reason of the panic";

    async fn panics() -> StatusCode {
        panic!("{SECRET}")
    }

    async fn never_ends() -> StatusCode {
        std::future::pending().await
    }

    /// The answer's status, headers and body to a request of each kind: in place and detached.
    async fn answers(router: &Router, path: &str) -> Vec<(Response, Value)> {
        let mut answers = Vec::new();
        for method in [Method::GET, Method::POST] {
            let request = Request::builder().method(method).uri(path).body(Body::empty());
            let answer = router.clone().oneshot(request.expect("a request")).await.expect("an answer");
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.expect("the body is whole").to_bytes();
            let json = serde_json::from_slice(&body).expect("the body is JSON");
            answers.push((Response::from_parts(parts, Body::empty()), json));
        }
        answers
    }

    fn assert_problem(answer: &Response, body: &Value, code: &str) {
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[REQUEST_ID], body["request_id"].as_str().unwrap_or_default());
        assert_eq!(body["code"], code);
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_shows_nothing() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        let router = Router::new().route("/", routing::get(panics).post(panics));
        let router = around(&test.saas, router, TaskTracker::new());
        for (answer, body) in answers(&router, "/").await {
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_problem(&answer, &body, "internal");
            assert!(!format!("{answer:?} {body}").contains(SECRET));
        }
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_a_503_and_its_command_goes_on() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        let commands = TaskTracker::new();
        let router = Router::new().route("/", routing::get(never_ends).post(never_ends));
        let router = around(&test.saas, router, commands.clone());
        // From here on tokio's time jumps to the next timer whenever nothing else is to do.
        tokio::time::pause();
        for (answer, body) in answers(&router, "/").await {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
            assert_problem(&answer, &body, "timed_out");
        }
        assert_eq!(commands.len(), 1, "the POST");
    }
}
