//! Answers that a caller may keep, and need not fetch again while they are the same (RFC 9110 section 13.1.2).

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// How an answer may be kept.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) etag: &'a str,
    pub(crate) cache_control: &'a str,
}

/// What a caller has already.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that `answer` reads")]
pub(crate) struct IfNoneMatch {
    /// The `ETag` of the answer that the caller has.
    #[param(rename = "If-None-Match", required = false, value_type = String)]
    etag: Option<String>,
}

/// The answer, or 304 to a caller who has it: `matches` says whether a list of entity tags holds the answer's.
pub(crate) fn answer(
    asked: &HeaderMap,
    matches: impl FnOnce(&str) -> bool,
    kept: &Kept<'_>,
    content_type: HeaderValue,
    body: impl Into<Body>,
) -> Response {
    let tags: Vec<&str> =
        asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut response = if !tags.is_empty() && matches(&tags.join(",")) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
    };
    for (name, value) in [(header::ETAG, kept.etag), (header::CACHE_CONTROL, kept.cache_control)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
