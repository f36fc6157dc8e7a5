//! What stands around every route: the request's id, the access log, time-outs, panics, and the rendering of problems.
//!
//! One service written by hand: as layers of closures it would cost a small request more than its handler does.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use saas_core::RequestId;
use saas_kit::{Saas, settings::Settings};
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, ServiceExt};
use tracing::Instrument;
use uuid::fmt::Hyphenated;

use crate::{Problem, metrics::Requests};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What stands around the routes, and what that needs.
#[derive(Debug)]
struct Shell {
    saas: Saas,
    commands: TaskTracker,
    requests: Requests,
}

/// Puts the shell around a router. `commands` counts the commands in work, for who drains.
pub(crate) fn around(saas: &Saas, router: Router, commands: TaskTracker) -> Router {
    router.layer(Around(Arc::new(Shell { saas: saas.clone(), commands, requests: Requests::new() })))
}

#[derive(Debug, Clone)]
struct Around(Arc<Shell>);

impl<S> Layer<S> for Around {
    type Service = Shelled<S>;

    fn layer(&self, inner: S) -> Shelled<S> {
        Shelled { inner, shell: Arc::clone(&self.0) }
    }
}

/// A route with the shell around it.
#[derive(Debug, Clone)]
struct Shelled<S> {
    inner: S,
    shell: Arc<Shell>,
}

impl<S> Service<Request> for Shelled<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // `oneshot` asks the inner service itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (inner, shell) = (self.inner.clone(), Arc::clone(&self.shell));
        Box::pin(async move {
            let answer = AssertUnwindSafe(shell.serve(inner, request)).catch_unwind().await;
            // Outside of everything: nothing is left that could render a problem.
            Ok(answer.unwrap_or_else(|_| Problem::internal().render(None)))
        })
    }
}

impl Shell {
    async fn serve<S>(&self, inner: S, mut request: Request) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let (clock, settings) = (self.saas.clock(), self.saas.settings());
        let id =
            request_id(&request).unwrap_or_else(|| RequestId::generate(&**clock, &**self.saas.entropy()));
        let mut text = [0; Hyphenated::LENGTH];
        let id_text = &*id.as_uuid().as_hyphenated().encode_lower(&mut text);
        request.extensions_mut().insert(id);
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
        let method = method(request.method());
        let span = tracing::info_span!(
            "request",
            request.id = id_text,
            http.request.method = method,
            http.route = route,
            user.id = tracing::field::Empty
        );
        let begun = clock.monotonic();
        let _in_flight = self.requests.begin();
        let mut response = if let Some(problem) = refused(&request, settings) {
            problem.into_response()
        } else {
            let limit = limit(route, settings.request_timeout.duration());
            let answer =
                tokio::time::timeout(limit, self.answer(inner, request)).instrument(span.clone()).await;
            answer.unwrap_or_else(|_| timed_out().into_response())
        };
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            // A 405 has to keep its Allow header (RFC 9110 section 15.5.6).
            let allow = response.headers_mut().remove(header::ALLOW);
            response = problem.render(Some(id));
            if let Some(allow) = allow {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        let headers = response.headers_mut();
        protect(headers);
        if let Ok(value) = HeaderValue::from_str(id_text) {
            headers.insert(REQUEST_ID, value);
        }
        let took = clock.monotonic().saturating_sub(begun);
        self.requests.served(method, route, response.status(), took);
        let duration_ms = millis(took);
        span.in_scope(|| {
            tracing::info!(
                http.response.status_code = response.status().as_u16(),
                duration_ms,
                "request served"
            );
        });
        response
    }

    /// The handler's answer. A command goes on when its caller leaves: a connection that ends between commit and answer changes nothing.
    async fn answer<S>(&self, inner: S, request: Request) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let safe = request.method().is_safe();
        let handled = AssertUnwindSafe(inner.oneshot(request)).catch_unwind();
        let answer = async move {
            match handled.await {
                Ok(Ok(response)) => response,
                Err(payload) => panicked(payload),
            }
        };
        if safe {
            return answer.await;
        }
        let command = self.commands.spawn(answer.instrument(tracing::Span::current()));
        command.await.unwrap_or_else(|_| Problem::internal().into_response())
    }
}

/// The one route that answers only when an agent has said all gets ten times as long; its run goes on in any case.
fn limit(route: &str, usual: Duration) -> Duration {
    if route.ends_with("/api/v1/chat") { usual * 10 } else { usual }
}

/// What a request's head is refused for. What is larger than `REQUEST_HEAD_LIMIT_BYTES` the server refuses by itself.
fn refused(request: &Request, settings: &Settings) -> Option<Problem> {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri > settings.request_uri_limit_bytes {
        let detail = format!("the URI is longer than {} bytes", settings.request_uri_limit_bytes);
        return Some(Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail));
    }
    let most = settings.request_header_limit;
    (request.headers().len() > most).then(|| {
        let detail = format!("the request has more than {most} header fields");
        Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers", detail)
    })
}

/// What no answer of ours is to be taken for, whoever shows it.
const PROTECTION: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What holds unless a handler says otherwise: an answer shows nothing, and is nobody's to keep.
const DEFAULTS: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The headers of every answer.
fn protect(headers: &mut HeaderMap) {
    headers.reserve(PROTECTION.len() + DEFAULTS.len() + 1);
    for (name, value) in PROTECTION {
        headers.insert(name, value);
    }
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
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

/// The panic hook has printed where; the payload stays out of the answer and the log.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
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
