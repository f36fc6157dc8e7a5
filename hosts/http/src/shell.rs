//! What stands around every route: the request's id, the access log, time-outs, panics, and the rendering of problems.
//!
//! One service and one future, written by hand: as layers of closures they would cost a small request more than its handler does.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pin_project_lite::pin_project;
use saas_core::RequestId;
use saas_kit::{Saas, settings::Settings};
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::task::TaskTracker;
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use uuid::fmt::Hyphenated;

use crate::{
    Problem,
    arrival::Arrival,
    edge::{self, Edge},
    metrics::{Open, Requests},
};

mod ids;

use ids::RequestIds;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What stands around the routes, and what that needs.
#[derive(Debug)]
struct Shell {
    saas: Saas,
    commands: TaskTracker,
    requests: Requests,
    ids: RequestIds,
    edge: Edge,
}

/// Puts the shell around a router. `commands` counts the commands in work, for who drains.
pub(crate) fn around(saas: &Saas, router: Router, commands: TaskTracker) -> Router {
    around_as(saas, Edge::of(saas.settings()), router, commands)
}

/// [`around`], with another view of what is outside.
pub(crate) fn around_as(saas: &Saas, edge: Edge, router: Router, commands: TaskTracker) -> Router {
    let (saas, requests, ids) = (saas.clone(), Requests::new(), RequestIds::default());
    router.layer(Around(Arc::new(Shell { saas, commands, requests, ids, edge })))
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
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Serving<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let (about, limit) = self.shell.receive(&mut request);
        let refused =
            refused(&request, self.shell.saas.settings()).or_else(|| self.shell.edge.refused(&request));
        let answering = if let Some(problem) = refused {
            Answering::Known { problem: Some(problem) }
        } else {
            let _inside = about.span.enter();
            self.shell.begin(&mut self.inner, request)
        };
        Serving { answering, limit, late: None, about, shell: Arc::clone(&self.shell) }
    }
}

/// What is remembered of a request until it is answered.
#[derive(Debug)]
struct About {
    id: RequestId,
    method: &'static str,
    matched: Option<MatchedPath>,
    span: Span,
    begun: Duration,
    transport_security: Option<HeaderValue>,
    _in_flight: Open,
}

impl About {
    fn route(&self) -> &str {
        route(self.matched.as_ref())
    }
}

fn route(matched: Option<&MatchedPath>) -> &str {
    matched.map_or("unmatched", MatchedPath::as_str)
}

pin_project! {
    /// A request on its way to its answer.
    struct Serving<F> {
        #[pin]
        answering: Answering<F>,
        limit: Duration,
        // Set when the first look at the handler found it waiting: most answers need no timer.
        late: Option<Pin<Box<Sleep>>>,
        about: About,
        shell: Arc<Shell>,
    }
}

pin_project! {
    #[project = AnsweringNow]
    enum Answering<F> {
        // By the handler, here.
        Handled { #[pin] handler: F },
        // By the handler in a task of its own.
        Detached { command: JoinHandle<Response> },
        // Without the handler.
        Known { problem: Option<Problem> },
    }
}

impl<F> Future for Serving<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _inside = this.about.span.enter();
        let answer = match this.answering.poll(cx) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let late =
                    this.late.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + *this.limit)));
                ready!(late.as_mut().poll(cx));
                timed_out().into_response()
            }
        };
        Poll::Ready(Ok(this.shell.finish(this.about, answer)))
    }
}

impl<F> Answering<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        Poll::Ready(match self.project() {
            AnsweringNow::Handled { handler } => {
                match ready!(caught(|| handler.poll(cx).map(|Ok(answer)| answer))) {
                    Ok(answer) => answer,
                    Err(problem) => problem.into_response(),
                }
            }
            AnsweringNow::Detached { command } => {
                ready!(Pin::new(command).poll(cx)).unwrap_or_else(|_| Problem::internal().into_response())
            }
            AnsweringNow::Known { problem } => {
                problem.take().unwrap_or_else(Problem::internal).into_response()
            }
        })
    }
}

impl Shell {
    /// Gives the request its id and its span, and says how long its answer may take.
    fn receive(&self, request: &mut Request) -> (About, Duration) {
        let (clock, settings) = (self.saas.clock(), self.saas.settings());
        let id = request_id(request).unwrap_or_else(|| self.ids.next(&**clock, &**self.saas.entropy()));
        request.extensions_mut().get_or_insert_default::<Arrival>().id = Some(id);
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let method = method(request.method());
        let mut text = [0; Hyphenated::LENGTH];
        let span = tracing::info_span!(
            "request",
            request.id = &*id.as_uuid().as_hyphenated().encode_lower(&mut text),
            http.request.method = method,
            http.route = route(matched.as_ref()),
            user.id = tracing::field::Empty
        );
        let limit = limit(route(matched.as_ref()), settings.request_timeout.duration());
        let begun = clock.monotonic();
        let transport_security = self.edge.receive(request);
        let about =
            About { id, method, matched, span, begun, transport_security, _in_flight: self.requests.begin() };
        (about, limit)
    }

    /// Hands the request to its handler. A command goes on when its caller leaves: a connection that ends between commit and answer
    /// changes nothing.
    fn begin<S>(&self, inner: &mut S, request: Request) -> Answering<S::Future>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
        S::Future: Send + 'static,
    {
        let safe = request.method().is_safe();
        let handler = match catch_unwind(AssertUnwindSafe(|| inner.call(request))) {
            Ok(handler) => handler,
            Err(payload) => return Answering::Known { problem: Some(panicked(payload)) },
        };
        if safe {
            return Answering::Handled { handler };
        }
        let command = Command { handler };
        Answering::Detached { command: self.commands.spawn(command.instrument(Span::current())) }
    }

    /// Renders, protects, counts and logs, inside of the request's span.
    fn finish(&self, about: &About, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            // A 405 has to keep its Allow header (RFC 9110 section 15.5.6).
            let allow = response.headers_mut().remove(header::ALLOW);
            response = problem.render(Some(about.id));
            if let Some(allow) = allow {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        let headers = response.headers_mut();
        protect(headers);
        edge::protect(headers, about.transport_security.as_ref());
        let mut text = [0; Hyphenated::LENGTH];
        if let Ok(value) = HeaderValue::from_str(about.id.as_uuid().as_hyphenated().encode_lower(&mut text)) {
            headers.insert(REQUEST_ID, value);
        }
        let took = self.saas.clock().monotonic().saturating_sub(about.begun);
        self.requests.served(about.method, about.route(), response.status(), took);
        let duration_ms = millis(took);
        tracing::info!(http.response.status_code = response.status().as_u16(), duration_ms, "request served");
        response
    }
}

pin_project! {
    // A handler whose panic is an answer.
    struct Command<F> {
        #[pin]
        handler: F,
    }
}

impl<F> Future for Command<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let handler = self.project().handler;
        caught(|| handler.poll(cx).map(|Ok(answer)| answer))
            .map(|answer| answer.unwrap_or_else(IntoResponse::into_response))
    }
}

/// What a look at a handler came to.
fn caught(look: impl FnOnce() -> Poll<Response>) -> Poll<Result<Response, Problem>> {
    match catch_unwind(AssertUnwindSafe(look)) {
        Ok(looked) => looked.map(Ok),
        Err(payload) => Poll::Ready(Err(panicked(payload))),
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
fn panicked(_: Box<dyn Any + Send>) -> Problem {
    tracing::error!("a handler panicked");
    Problem::internal()
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
