//! The routers.

use axum::Router;
use http::StatusCode;
use saas_kit::Saas;
use tokio_util::task::TaskTracker;
use utoipa::{Modify, OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Problem, agents, auth,
    description::Completed,
    docs,
    edge::{Edge, cors},
    health, jwks,
    metrics::{self, Exposition, MetricsHandle},
    problem::ProblemBody,
    shell,
};

#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "SaaS back end", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(ProblemBody, agents::stream::StreamFrame)),
    tags((name = "auth", description = "Registration, sign-in, sessions."),
        (name = "agents", description = "Chat, runs, conversations."),
        (name = "operations", description = "Health, keys, metrics, this description."))
)]
struct Api;

fn api() -> OpenApiRouter<Saas> {
    OpenApiRouter::with_openapi(Api::openapi()).merge(auth::routes()).merge(agents::routes())
}

fn ops() -> OpenApiRouter<Saas> {
    OpenApiRouter::new()
        .routes(routes!(health::root))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(jwks::jwks))
}

/// The API's description (OpenAPI 3.1), generated from the handlers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut openapi = api().merge(ops()).into_openapi();
    openapi.merge(metrics::routes().into_openapi());
    openapi.merge(docs::routes().into_openapi());
    Completed.modify(&mut openapi);
    openapi
}

/// What users' programs call, under `/api/v1`. It has no answer for other paths: merge or nest it.
pub fn api_router(saas: &Saas) -> Router {
    let (router, _) = api().split_for_parts();
    let router = router.method_not_allowed_fallback(wrong_method).with_state(saas.clone());
    cors::around(saas.settings(), shell::around(saas, router, TaskTracker::new()))
}

/// What the platform calls: `/health`, `/health/ready`, `/.well-known/jwks.json`, `/`; and `/metrics`, which has nothing to tell without
/// a handle: see [`ops_router_with_metrics`].
pub fn ops_router(saas: &Saas) -> Router {
    operations(saas, None)
}

/// [`ops_router`] with what was counted and measured at `/metrics`.
///
/// Who sees that follows from the settings: everybody in development and test; in staging and production who has `METRICS_TOKEN`, and
/// nobody without one. Where `METRICS_ADDRESS` is set it is to be served there, by a router whose handle is
/// [on a private address](MetricsHandle::on_private_address).
pub fn ops_router_with_metrics(saas: &Saas, metrics: MetricsHandle) -> Router {
    operations(saas, Some(metrics))
}

fn operations(saas: &Saas, metrics: Option<MetricsHandle>) -> Router {
    let router = ops_routes(saas, metrics).method_not_allowed_fallback(wrong_method);
    shell::around(saas, router, TaskTracker::new())
}

/// The operations' routes and nothing around them.
fn ops_routes(saas: &Saas, metrics: Option<MetricsHandle>) -> Router {
    let (router, _) = ops().split_for_parts();
    let (exposition, _) = metrics::routes().split_for_parts();
    router.with_state(saas.clone()).merge(exposition.with_state(Exposition::new(saas, metrics)))
}

/// The operations alone, with a problem for everything else: for an address that only the operator reaches.
pub(crate) fn private_operations(saas: &Saas, metrics: MetricsHandle) -> Router {
    let router = ops_routes(saas, Some(metrics.on_private_address()));
    let router = router.method_not_allowed_fallback(wrong_method).fallback(unknown_route);
    shell::around(saas, router, TaskTracker::new())
}

/// The API's description at `/openapi.json`, and a page at `/docs` that shows it and sends requests.
///
/// It is a router of its own because publishing the page is the embedder's decision; [`app`] has it in every environment, for the
/// description names no secret and its readers need no account. Page and description find each other and the API by relative links, so
/// mount it where [`api_router`] is mounted: both at the root, or both nested under one prefix.
pub fn docs_router(saas: &Saas) -> Router {
    let (router, _) = docs::routes().split_for_parts();
    let router =
        router.method_not_allowed_fallback(wrong_method).with_state(docs::Description::new(&openapi()));
    shell::around(saas, router, TaskTracker::new())
}

/// The whole, with a problem for every other path and method.
pub fn app(saas: &Saas) -> Router {
    tracked(saas, TaskTracker::new(), None)
}

/// [`app`] with `/metrics`, as [`ops_router_with_metrics`] has it.
pub fn app_with_metrics(saas: &Saas, metrics: MetricsHandle) -> Router {
    tracked(saas, TaskTracker::new(), Some(metrics))
}

/// [`app`], with the commands in work counted.
pub(crate) fn tracked(saas: &Saas, commands: TaskTracker, metrics: Option<MetricsHandle>) -> Router {
    let (router, _) = api().split_for_parts();
    let (docs, _) = docs::routes().split_for_parts();
    let router = router
        .with_state(saas.clone())
        .merge(ops_routes(saas, metrics))
        .merge(docs.with_state(docs::Description::new(&openapi())))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_route);
    let edge = Edge::of(saas.settings()).with_hosts(saas.settings());
    cors::around(saas.settings(), shell::around_as(saas, edge, router, commands))
}

pub(crate) async fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_route", "there is nothing at this path")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
}
