//! The routers.

use axum::Router;
use http::StatusCode;
use saas_kit::Saas;
use tokio_util::task::TaskTracker;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{Problem, agents, auth, health, jwks, shell};

#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "SaaS back end", description = "Sign-in, tenants and sessions.", license(name = "MIT OR Apache-2.0")),
    modifiers(&BearerScheme),
    tags((name = "auth", description = "Registration, sign-in, sessions."),
        (name = "agents", description = "Chat, runs, conversations."), (name = "operations", description = "Health and keys."))
)]
struct Api;

struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

fn api() -> OpenApiRouter<Saas> {
    OpenApiRouter::with_openapi(Api::openapi())
        .nest("/api/v1/auth", auth::routes())
        .nest("/api/v1", agents::routes())
}

fn ops() -> OpenApiRouter<Saas> {
    OpenApiRouter::new()
        .routes(routes!(health::root))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(jwks::jwks))
}

/// The API's description, generated from the handlers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().merge(ops()).into_openapi()
}

/// What users' programs call, under `/api/v1`. It has no answer for other paths: merge or nest it.
pub fn api_router(saas: &Saas) -> Router {
    let (router, _) = api().split_for_parts();
    shell::around(
        saas,
        router.method_not_allowed_fallback(wrong_method).with_state(saas.clone()),
        TaskTracker::new(),
    )
}

/// What the platform calls: `/health`, `/health/ready`, `/.well-known/jwks.json`, `/`.
pub fn ops_router(saas: &Saas) -> Router {
    let (router, _) = ops().split_for_parts();
    shell::around(
        saas,
        router.method_not_allowed_fallback(wrong_method).with_state(saas.clone()),
        TaskTracker::new(),
    )
}

/// The whole, with a problem for every other path and method.
pub fn app(saas: &Saas) -> Router {
    tracked(saas, TaskTracker::new())
}

/// [`app`], with the commands in work counted.
pub(crate) fn tracked(saas: &Saas, commands: TaskTracker) -> Router {
    let (router, _) = api().merge(ops()).split_for_parts();
    let router =
        router.method_not_allowed_fallback(wrong_method).fallback(unknown_route).with_state(saas.clone());
    shell::around(saas, router, commands)
}

async fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_route", "there is nothing at this path")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
}
