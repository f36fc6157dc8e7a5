//! Whether the server lives, and whether it can serve.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::SecondsFormat;
use http::StatusCode;
use saas_kit::Saas;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Problem, answer::Answer, problem::described::NotReady, stopping::Stopping};

/// A sign of life.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `healthy` or `ready`.
    #[schema(pattern = "^(healthy|ready)$", example = "healthy")]
    status: &'static str,
    /// The time as the server sees it.
    #[schema(format = DateTime, example = "2026-01-01T00:00:00.000Z")]
    timestamp: String,
    /// The server's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Seconds since the product was opened.
    #[schema(minimum = 0, example = 12.5)]
    uptime: f64,
}

fn health(saas: &Saas, status: &'static str) -> Health {
    Health {
        status,
        timestamp: saas.clock().now().to_rfc3339_opts(SecondsFormat::Millis, true),
        version: env!("CARGO_PKG_VERSION"),
        uptime: (saas.uptime().as_secs_f64() * 100.0).round() / 100.0,
    }
}

/// What the service is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct About {
    /// The product's name.
    #[schema(example = "SaaS")]
    service: String,
    /// The server's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Where its health is.
    #[schema(example = "/health")]
    health: &'static str,
    /// Where its API begins.
    #[schema(example = "/api/v1")]
    api: &'static str,
}

/// Says what runs here.
#[utoipa::path(get, path = "/", operation_id = "about", tag = "operations", responses((status = 200, description = "What runs here.", body = About)))]
pub(crate) async fn root(State(saas): State<Saas>) -> Answer<About> {
    let service = saas.settings().app_name.clone();
    Answer(About { service, version: env!("CARGO_PKG_VERSION"), health: "/health", api: "/api/v1" })
}

/// Answers while the process lives; nothing else is touched.
#[utoipa::path(get, path = "/health", operation_id = "live", tag = "operations", responses((status = 200, description = "It lives.", body = Health)))]
pub(crate) async fn live(State(saas): State<Saas>) -> Answer<Health> {
    Answer(health(&saas, "healthy"))
}

/// Answers 200 when storage, migrations and signing key are there, and the server was not told to stop.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "ready",
    tag = "operations",
    responses((status = 200, description = "It can serve.", body = Health), NotReady)
)]
pub(crate) async fn ready(State(saas): State<Saas>, stopping: Stopping) -> Response {
    if stopping.has_begun() {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the server is stopping: ask another one",
        )
        .with_retry_after(std::time::Duration::from_secs(1))
        .into_response();
    }
    let readiness = saas.readiness().await;
    if readiness.is_ready() {
        return Answer(health(&saas, "ready")).into_response();
    }
    let word = |ok| Value::from(if ok { "ok" } else { "failed" });
    let checks: Map<String, Value> =
        readiness.checks.iter().map(|check| (check.name.to_owned(), word(check.ok))).collect();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "a part that serving needs is away")
        .with_member("checks", Value::Object(checks))
        .with_retry_after(std::time::Duration::from_secs(1))
        .into_response()
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use axum::{body::Body, extract::Request};
    use saas_kit::testing::{TestEngine, TestSaas};
    use tower::ServiceExt;

    use super::*;
    use crate::arrival::Arrival;

    #[tokio::test]
    async fn a_server_that_stops_is_not_ready() {
        let (test, stopping) = (TestSaas::start(TestEngine::Sqlite).await, Stopping::default());
        let router = crate::ops_router(&test.saas);
        let ask = || {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = http::Uri::from_static("/health/ready");
            let arrival = Arrival { stopping: Some(stopping.clone()), ..Arrival::default() };
            request.extensions_mut().insert(arrival);
            let router = router.clone();
            async move { router.oneshot(request).await.expect("the router always answers").status() }
        };
        assert_eq!(ask().await, StatusCode::OK);
        stopping.begin();
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
