//! What browsers may do from pages of other origins (CORS). There is nothing of it where no origin is allowed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{Router, extract::Request, response::Response};
use http::{HeaderName, HeaderValue, Method, header};
use pin_project_lite::pin_project;
use saas_kit::settings::Settings;
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use crate::{cookie::X_SESSION, description};

/// What our routes take.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// What our routes read.
const HEADERS: [HeaderName; 10] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
    X_SESSION,
];

/// Lets pages of `ALLOWED_ORIGINS` call the router; it stays as it is where there are none.
///
/// It goes around everything else: a preflight is answered before anybody asks for a token, and a page may read every answer, also that
/// the request took too long.
pub(crate) fn around(settings: &Settings, router: Router) -> Router {
    match Gate::of(settings) {
        Some(gate) => router.layer(gate),
        None => router,
    }
}

/// Takes requests of allowed origins to [`Cors`], and others past it: an origin that is not allowed learns nothing of what is.
#[derive(Debug, Clone)]
struct Gate {
    cors: CorsLayer,
    /// None stands for every one.
    origins: Option<Arc<[HeaderValue]>>,
}

impl Gate {
    fn of(settings: &Settings) -> Option<Self> {
        let allowed = settings.allowed_origins.as_ref()?;
        let cors = CorsLayer::new()
            .allow_methods(METHODS)
            .allow_headers(HEADERS)
            .expose_headers(description::header_names())
            .max_age(settings.cors_max_age.duration());
        if allowed.is_any() {
            return Some(Self { cors: cors.allow_origin(AllowOrigin::any()).vary([]), origins: None });
        }
        // An origin's ASCII form may stand in a header: none is lost here.
        let origins: Arc<[_]> =
            allowed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        let cors = cors
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_credentials(settings.cors_allow_credentials)
            .vary([header::ORIGIN]);
        Some(Self { cors, origins: Some(origins) })
    }
}

impl<S: Clone> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { cors: self.cors.layer(inner.clone()), inner, origins: self.origins.clone() }
    }
}

#[derive(Debug, Clone)]
struct Gated<S> {
    cors: Cors<S>,
    inner: S,
    origins: Option<Arc<[HeaderValue]>>,
}

impl<S> Service<Request> for Gated<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Passing<S::Future, <Cors<S> as Service<Request>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.inner.poll_ready(cx))?;
        self.cors.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let origin = request.headers().get(header::ORIGIN);
        let allowed =
            origin.is_some_and(|origin| self.origins.as_ref().is_none_or(|all| all.contains(origin)));
        let asks_nothing = request.method() == Method::OPTIONS
            && !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if allowed && !asks_nothing {
            Passing::Allowed { answer: self.cors.call(request) }
        } else {
            Passing::Past { answer: self.inner.call(request), varies: self.origins.is_some() }
        }
    }
}

pin_project! {
    #[project = PassingNow]
    enum Passing<F, C> {
        Allowed { #[pin] answer: C },
        // Somebody of an allowed origin would be answered otherwise, which caches have to know.
        Past { #[pin] answer: F, varies: bool },
    }
}

impl<F, C, E> Future for Passing<F, C>
where
    F: Future<Output = Result<Response, E>>,
    C: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            PassingNow::Allowed { answer } => answer.poll(cx),
            PassingNow::Past { answer, varies } => {
                let mut answer = ready!(answer.poll(cx))?;
                if *varies {
                    answer.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
                }
                Poll::Ready(Ok(answer))
            }
        }
    }
}
