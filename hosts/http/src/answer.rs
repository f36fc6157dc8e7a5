//! JSON answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;

use crate::Problem;

/// How many bytes most answers fit in: room is made for them once.
const USUAL: usize = 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A value as JSON.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut text = Vec::with_capacity(USUAL);
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
            Err(error) => {
                tracing::error!(error = %error, "an answer is not representable as JSON");
                Problem::internal().into_response()
            }
        }
    }
}
