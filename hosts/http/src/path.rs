//! Path parameters.

use axum::extract::{
    FromRequestParts, Path as AxumPath,
    path::{ErrorKind, FailedToDeserializePathParams},
    rejection::PathRejection,
};
use http::request::Parts;
use saas_core::FieldError;
use saas_kit::Saas;
use serde::de::DeserializeOwned;

use crate::Problem;

/// The parameters in a path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Saas> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, saas: &Saas) -> Result<Self, Problem> {
        match AxumPath::from_request_parts(parts, saas).await {
            Ok(AxumPath(parameters)) => Ok(Self(parameters)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(unreadable(error)),
            // The route takes no parameters: our fault.
            Err(_) => Err(Problem::internal()),
        }
    }
}

/// axum's own words would repeat the value.
fn unreadable(error: FailedToDeserializePathParams) -> Problem {
    let name = match error.into_kind() {
        ErrorKind::InvalidUtf8InPathParam { key }
        | ErrorKind::ParseErrorAtKey { key, .. }
        | ErrorKind::DeserializeError { key, .. } => key,
        _ => String::new(),
    };
    Problem::fields(vec![FieldError::new(name, "invalid", "this part of the path cannot be read")])
}
