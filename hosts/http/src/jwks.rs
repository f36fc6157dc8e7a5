//! The public keys that verify our access tokens (RFC 7517).

use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use metrics::counter;
use saas_kit::Saas;
use serde_json::Value;

use crate::conditional::{self, Kept};

/// Lists the keys; answers 304 to who has them already.
///
/// Verify tokens with the key that their header names in `kid`; fetch the set again when it is not there.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "jwks",
    tag = "operations",
    params(conditional::IfNoneMatch),
    responses(
        (status = 200, description = "The key set.", body = KeySet, content_type = "application/json",
            headers(("ETag"), ("Cache-Control"), ("Last-Modified"))),
        (status = 304, description = "It has not changed.", headers(("ETag"), ("Cache-Control"), ("Last-Modified")))
    )
)]
pub(crate) async fn jwks(State(saas): State<Saas>, asked: HeaderMap) -> Response {
    counter!("jwks_requests_total").increment(1);
    let keys = saas.auth().access_tokens().keys();
    let jwks = keys.jwks();
    let max_age = saas.settings().auth_jwks_max_age.duration().as_secs();
    let kept = Kept { etag: jwks.etag(), cache_control: &format!("public, max-age={max_age}") };
    let json = HeaderValue::from_static("application/json");
    let mut response =
        conditional::answer(&asked, |list| jwks.matches(list), &kept, json, jwks.body().to_vec());
    if response.status() == StatusCode::NOT_MODIFIED {
        counter!("jwks_not_modified_total").increment(1);
    }
    if let Ok(date) = HeaderValue::from_str(jwks.last_modified()) {
        response.headers_mut().insert(header::LAST_MODIFIED, date);
    }
    response
}

/// The keys (RFC 7517 section 5).
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
struct KeySet {
    /// Those that sign or signed tokens that are still good, or will sign soon.
    #[schema(value_type = Vec<Object>, example = json!([{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "3q3WtAkLP1yEPf1zFhYtgQ",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    }]))]
    keys: Vec<Value>,
}
