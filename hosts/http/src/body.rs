//! JSON bodies: bounded, and with errors that name the field and never repeat its value.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use saas_core::FieldError;
use saas_kit::{Saas, settings::Settings};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::Problem;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Saas> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, saas: &Saas) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "send the body as application/json, with that Content-Type";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let bytes = collect(request.into_body(), saas.settings()).await?;
        parse(&bytes).map(Self)
    }
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn collect(body: Body, settings: &Settings) -> Result<Vec<u8>, Problem> {
    let limit = settings.request_body_limit_bytes;
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    // One that says so is not read at all.
    if usize::try_from(body.size_hint().lower()).is_ok_and(|length| length > limit) {
        return Err(too_large());
    }
    let deadline = settings.request_body_timeout.duration();
    match tokio::time::timeout(deadline, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "incomplete_body",
            "the body ended before it was complete",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timed_out",
            "the body did not arrive in time: send the request again",
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let unparseable = || Problem::new(StatusCode::BAD_REQUEST, "invalid_json", "the body is not JSON");
    // serde would take an array for a record, its items for the fields in the order in which we declare them.
    if !begins_an_object(bytes) {
        let json = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        return Err(if json { wrong_field(".") } else { unparseable() });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        match error.inner().classify() {
            Category::Data => wrong_field(&error.path().to_string()),
            _ => unparseable(),
        }
    })?;
    deserializer.end().map_err(|_| unparseable())?;
    Ok(value)
}

fn begins_an_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{')
}

/// serde's own words would repeat the value, which may be a password.
fn wrong_field(path: &str) -> Problem {
    let whole = path == "." || path == "?";
    let message = if whole {
        "the body must be a JSON object in which no field stands twice"
    } else {
        "this field has the wrong type"
    };
    let field = if whole { String::new() } else { path.to_owned() };
    Problem::fields(vec![FieldError::new(field, "invalid_type", message)])
}
