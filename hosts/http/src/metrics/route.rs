//! `GET /metrics`, and who may see it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use saas_kit::{Saas, settings::Settings};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::MetricsHandle;
use crate::{
    Problem, bearer,
    problem::described::{MetricsNotFound, MetricsTokenRequired},
    router::unknown_route,
};

/// What the route answers from.
#[derive(Debug, Clone)]
pub(crate) struct Exposition {
    saas: Saas,
    metrics: Option<MetricsHandle>,
}

impl Exposition {
    pub(crate) fn new(saas: &Saas, metrics: Option<MetricsHandle>) -> Self {
        Self { saas: saas.clone(), metrics }
    }

    /// On an address of their own metrics are open to who reaches it. On the main one they are not there when they have another, and in a
    /// hardened environment only under a token.
    fn is_hidden(&self) -> bool {
        let settings = self.saas.settings();
        let private = self.metrics.as_ref().is_some_and(|metrics| metrics.private);
        !private && !is_on_the_main_address(settings)
    }

    /// Whether a request has the token, where one is set.
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.saas.settings().metrics_token else { return true };
        let sent = bearer::token(headers).unwrap_or_default();
        // Of digests, so that not even the length can be timed.
        Sha256::digest(sent).as_slice().ct_eq(Sha256::digest(token.expose()).as_slice()).into()
    }
}

/// Whether `/metrics` is to be had where users' programs go.
pub(crate) fn is_on_the_main_address(settings: &Settings) -> bool {
    settings.metrics_address.is_none()
        && (settings.metrics_token.is_some() || !settings.environment.is_hardened())
}

pub(crate) fn routes() -> OpenApiRouter<Exposition> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Tells what was counted and measured, for Prometheus.
///
/// In staging and production it is there only on an address of its own (`METRICS_ADDRESS`), or to who sends the server's `METRICS_TOKEN`
/// as `Authorization: Bearer <token>`.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operations",
    responses(
        (status = 200, description = "Prometheus' text format 0.0.4.", body = String, content_type = "text/plain; version=0.0.4",
            example = "# HELP saas_uptime_seconds Seconds since the product was opened.\n# TYPE saas_uptime_seconds gauge\nsaas_uptime_seconds 12.5\n"),
        MetricsTokenRequired,
        MetricsNotFound,
    )
)]
async fn metrics(State(exposition): State<Exposition>, headers: HeaderMap) -> Response {
    if exposition.is_hidden() {
        return unknown_route().await.into_response();
    }
    if !exposition.lets_in(&headers) {
        return Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send the token of METRICS_TOKEN as Authorization: Bearer <token>",
        )
        .into_response();
    }
    let Some(metrics) = &exposition.metrics else {
        return Problem::new(
            StatusCode::NOT_FOUND,
            "metrics_not_installed",
            "this program counts nothing: call saas_http::metrics::install, and give the router its handle",
        )
        .into_response();
    };
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")];
    (headers, metrics.render(&exposition.saas)).into_response()
}
