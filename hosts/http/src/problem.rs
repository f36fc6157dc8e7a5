//! Errors on the wire: RFC 9457 `application/problem+json`.

use std::{borrow::Cow, error::Error, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use saas_core::{ErrorKind, Fault, FieldError, RequestId, fault::chain};
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) mod described;

use described::ProblemMembers;

/// The member that says how many seconds ago the user may have proved who they are.
const MAX_AGE: &str = "max_age";

/// An error answer. The routers of this crate render it once more at their edge, where the request's id is known.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    authenticate: bool,
    members: Map<String, Value>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemField {
    /// The field's name; empty for the body as a whole.
    #[schema(example = "email")]
    field: String,
    /// A stable code.
    #[schema(example = "invalid", pattern = "^[a-z_]+$")]
    code: String,
    /// What is wrong and how to mend it.
    #[schema(example = "the address needs the form name@domain")]
    message: String,
}

/// An error (RFC 9457). Go by `code`: it never changes once released.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemBody {
    /// A URN of the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:saas:problem:invalid_credentials", pattern = "^urn:saas:problem:[a-z_]+$")]
    kind: String,
    /// The status in words.
    #[schema(example = "Unauthorized")]
    title: String,
    /// The status.
    #[schema(example = 401, minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, for people.
    #[schema(example = "the e-mail address or the password is wrong")]
    detail: String,
    /// What happened, for programs.
    #[schema(example = "invalid_credentials", pattern = "^[a-z_]+$")]
    code: String,
    /// The id to name when asking for help; it is in the logs.
    #[schema(required, value_type = Option<Uuid>, example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    request_id: Option<String>,
    /// The wrong fields.
    errors: Vec<ProblemField>,
    /// More, for some codes.
    #[serde(flatten)]
    #[schema(value_type = ProblemMembers)]
    members: Map<String, Value>,
}

impl Problem {
    /// A problem with a status, a stable code and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            authenticate: status == StatusCode::UNAUTHORIZED,
            members: Map::new(),
        }
    }

    /// A 422 that names the wrong fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "some fields are not valid")
        }
    }

    /// A 500 that shows nothing.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "an internal error occurred")
    }

    /// With a member of its own.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// With a time to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// That the user has to prove again who they are, no longer ago than this (RFC 9470).
    #[must_use]
    pub fn with_step_up(self, max_age: Duration) -> Self {
        self.with_member(MAX_AGE, max_age.as_secs().into())
    }

    /// The body in full.
    fn body(self, request_id: Option<RequestId>) -> ProblemBody {
        let field = |error: FieldError| ProblemField {
            field: error.field.into_owned(),
            code: error.code.to_owned(),
            message: error.message,
        };
        ProblemBody {
            kind: format!("urn:saas:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.into_owned(),
            code: self.code.to_owned(),
            request_id: request_id.map(|id| id.to_string()),
            errors: self.errors.into_iter().map(field).collect(),
            members: self.members,
        }
    }

    /// The answer in full.
    pub(crate) fn render(self, request_id: Option<RequestId>) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let authenticate =
            self.authenticate.then(|| authenticate(self.members.get(MAX_AGE).and_then(Value::as_u64)));
        // A map of strings and numbers always serializes.
        let json = serde_json::to_vec(&self.body(request_id)).unwrap_or_default();
        let mut response = (status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(authenticate) = authenticate {
            headers.insert(header::WWW_AUTHENTICATE, authenticate);
        }
        if let Some(wait) = retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// What is to be shown: a token, or one of a user who proved a short time ago who they are (RFC 9470 section 3).
fn authenticate(max_age: Option<u64>) -> HeaderValue {
    let plain = HeaderValue::from_static("Bearer");
    let Some(max_age) = max_age else { return plain };
    let text = format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{max_age}\"");
    HeaderValue::from_str(&text).unwrap_or(plain)
}

/// In full, so that it says what it is in a program of your own, too.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.clone().render(None);
        response.extensions_mut().insert(self);
        response
    }
}

/// The one place where kinds become statuses.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Stale => StatusCode::PRECONDITION_FAILED,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<E: Fault> From<E> for Problem {
    fn from(error: E) -> Self {
        let report = error.report();
        let status = status(report.kind);
        let detail: Cow<'static, str> = if status.is_server_error() {
            log(&error, status);
            match report.kind {
                ErrorKind::Unavailable => "the service is busy or a part of it is away: try again soon",
                _ => "an internal error occurred",
            }
            .into()
        } else {
            error.to_string().into()
        };
        let retry_after = report
            .retry_after
            .or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1)));
        let problem =
            Self { errors: report.fields.to_vec(), retry_after, ..Self::new(status, report.code, detail) };
        match report.step_up {
            Some(max_age) => problem.with_step_up(max_age),
            None => problem,
        }
    }
}

/// The whole chain, once; the request's id stands on the span.
fn log(error: &(dyn Error + 'static), status: StatusCode) {
    let error = chain(error);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(error, "the request could not be served now");
    } else {
        tracing::error!(error, "the request failed");
    }
}
