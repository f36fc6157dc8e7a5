//! JSON answers.

use axum::{
    body::Body,
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
        let mut text = Vec::with_capacity(USUAL);
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => {
                let mut answer = Response::new(Body::from(text));
                let mut headers = HeaderMap::with_capacity(HEADERS);
                headers.insert(header::CONTENT_TYPE, JSON);
                *answer.headers_mut() = headers;
                answer
            }
            Err(error) => {
                tracing::error!(error = %error, "an answer is not representable as JSON");
                Problem::internal().into_response()
            }
        }
    }
}
