//! The API's description, and a page that shows it and sends requests. Everything is in the binary, and nothing of it asks another host.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::Response,
    routing::{self, MethodRouter},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use saas_core::text::hex;
use sha2::{Digest, Sha256};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::conditional::{self, Kept};

/// The description, written once.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    json: Bytes,
    etag: Arc<str>,
}

impl Description {
    pub(crate) fn new(openapi: &utoipa::openapi::OpenApi) -> Self {
        // A tree of strings, numbers and flags always serializes.
        let json = serde_json::to_vec(openapi).unwrap_or_default();
        let etag = format!("\"{}\"", hex(&Sha256::digest(&json)));
        Self { json: json.into(), etag: etag.into() }
    }

    /// Whether a list of entity tags holds ours. A comma within another's tag does no harm: no part of it has quotes on both sides.
    fn is_in(&self, list: &str) -> bool {
        let mut tags = list.split(',').map(|tag| tag.trim_matches([' ', '\t']));
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == &*self.etag)
    }
}

pub(crate) fn routes() -> OpenApiRouter<Description> {
    OpenApiRouter::new()
        .routes(routes!(description))
        .route("/docs", asset("text/html; charset=utf-8", include_str!("docs/page.html")))
        .route("/docs/page.css", asset("text/css; charset=utf-8", include_str!("docs/page.css")))
        .route("/docs/page.js", script(include_str!("docs/page.js")))
        .route("/docs/element.js", script(include_str!("docs/element.js")))
        .route("/docs/request.js", script(include_str!("docs/request.js")))
        .route("/docs/schema.js", script(include_str!("docs/schema.js")))
        .route("/docs/token.js", script(include_str!("docs/token.js")))
        .route("/docs/words.js", script(include_str!("docs/words.js")))
}

/// Describes this API; answers 304 to who has the description already.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "operations",
    params(conditional::IfNoneMatch),
    responses(
        (status = 200, description = "The description, OpenAPI 3.1.", body = Value, content_type = "application/json",
            headers(("ETag"), ("Cache-Control")), example = json!({ "openapi": "3.1.0" })),
        (status = 304, description = "It has not changed.", headers(("ETag"), ("Cache-Control")))
    )
)]
async fn description(State(description): State<Description>, asked: HeaderMap) -> Response {
    let kept = Kept { etag: &description.etag, cache_control: "no-cache" };
    let json = HeaderValue::from_static("application/json");
    conditional::answer(&asked, |list| description.is_in(list), &kept, json, description.json.clone())
}

/// What the page may do: run its own scripts and style, show the icon that is written in it, and call its own origin. Nothing else, and
/// nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

fn asset(content_type: &'static str, body: &'static str) -> MethodRouter<Description> {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    routing::get(move || std::future::ready((headers, body)))
}

fn script(body: &'static str) -> MethodRouter<Description> {
    asset("text/javascript; charset=utf-8", body)
}
