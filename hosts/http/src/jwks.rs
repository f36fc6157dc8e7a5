//! The public keys that verify our access tokens (RFC 7517).

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_kit::Saas;

/// Lists the keys; answers 304 to who has them already.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "operations",
    responses(
        (status = 200, description = "The key set.", body = serde_json::Value, content_type = "application/json"),
        (status = 304, description = "It has not changed.")
    )
)]
pub(crate) async fn jwks(State(saas): State<Saas>, headers: HeaderMap) -> Response {
    let keys = saas.auth().access_tokens().keys();
    let jwks = keys.jwks();
    let values: Vec<&str> =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).collect();
    let unchanged = !values.is_empty() && jwks.matches(&values.join(","));
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (StatusCode::OK, jwks.body().to_vec()).into_response()
    };
    let headers = response.headers_mut();
    let max_age = saas.settings().auth_jwks_max_age.duration().as_secs();
    if !unchanged {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in [
        (header::ETAG, jwks.etag()),
        (header::LAST_MODIFIED, jwks.last_modified()),
        (header::CACHE_CONTROL, &format!("public, max-age={max_age}")),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}
