//! Query strings.

use axum::extract::{FromRequestParts, Query as AxumQuery};
use http::{StatusCode, request::Parts};
use saas_kit::Saas;
use serde::de::DeserializeOwned;

use crate::Problem;

/// A query string.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Saas> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Saas) -> Result<Self, Problem> {
        AxumQuery::try_from_uri(&parts.uri).map(|AxumQuery(query)| Self(query)).map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "the query string cannot be read: is a parameter there twice?",
            )
        })
    }
}
