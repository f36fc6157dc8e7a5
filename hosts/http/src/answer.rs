//! JSON answers.

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use crate::Problem;

/// How many bytes, and how many headers, most answers fit in: room is made for them once.
const USUAL: usize = 2048;
const HEADERS: usize = 12;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A value as JSON.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        rendered(&self.0).map(Rendered).into_response()
    }
}

/// A value's JSON.
pub(crate) fn rendered(value: &impl Serialize) -> Result<Bytes, Problem> {
    let mut text = Vec::with_capacity(USUAL);
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => Ok(text.into()),
        Err(error) => {
            tracing::error!(error = %error, "an answer is not representable as JSON");
            Err(Problem::internal())
        }
    }
}

/// JSON that was made before.
#[derive(Debug)]
pub(crate) struct Rendered(pub(crate) Bytes);

impl IntoResponse for Rendered {
    fn into_response(self) -> Response {
        let mut answer = Response::new(Body::from(self.0));
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(header::CONTENT_TYPE, JSON);
        *answer.headers_mut() = headers;
        answer
    }
}
