//! What an attempt failed of, in our words.

use std::{error::Error, fmt, time::Duration};

use saas_agents::ModelError;
use serde_json::Value;

/// Why an attempt gave no answer, and whether another one may.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ModelError,
    /// Another attempt may succeed.
    pub(crate) transient: bool,
    /// When to try again, if the vendor said.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    fn transient(error: ModelError) -> Self {
        Self { error, transient: true, retry_after: None }
    }

    fn lasting(error: ModelError) -> Self {
        Self { error, transient: false, retry_after: None }
    }

    /// The vendor was not reached, or the connection broke before its answer began.
    pub(crate) fn connection(error: reqwest::Error) -> Self {
        Self::transient(ModelError::Unavailable(Box::new(error.without_url())))
    }

    pub(crate) fn timed_out(step: &'static str, after: Duration) -> Self {
        Self::transient(ModelError::Unavailable(Box::new(TimedOut { step, after })))
    }

    pub(crate) fn truncated() -> Self {
        Self::transient(ModelError::Truncated)
    }

    pub(crate) fn malformed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::lasting(ModelError::Malformed(error.into()))
    }

    /// An answer with an error status ("API reference", "Error codes"). `body` is what came with it.
    pub(crate) fn status(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = code_of(body.get("error").unwrap_or(&body));
        let text = code.clone().unwrap_or_else(|| format!("http_{status}"));
        match (status, code.as_deref()) {
            (429, Some(code)) if is_quota(code) => {
                Self::lasting(ModelError::RateLimited { retry_after: None })
            }
            (429, _) => Self::transient(ModelError::RateLimited { retry_after: None }),
            (408 | 409 | 500.., _) => {
                Self::transient(ModelError::Unavailable(Box::new(Declined { code: text })))
            }
            (401 | 403, _) => Self::lasting(ModelError::Access { code: text }),
            (413, _) => Self::lasting(ModelError::TooLong),
            (_, Some(code)) if is_access(code) => Self::lasting(ModelError::Access { code: text }),
            (_, Some(code)) if is_too_long(code) => Self::lasting(ModelError::TooLong),
            _ => Self::lasting(ModelError::Refused { code: text }),
        }
    }

    /// An error in the stream: the event `error`, or the `error` of a failed response ("API reference", "Streaming events" and "The
    /// response object").
    pub(crate) fn reported(error: &Value) -> Self {
        let Some(code) = code_of(error) else {
            return Self::transient(ModelError::Unavailable(Box::new(Declined {
                code: "unknown".to_owned(),
            })));
        };
        match code.as_str() {
            quota if is_quota(quota) => Self::lasting(ModelError::RateLimited { retry_after: None }),
            "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" | "429" => {
                Self::transient(ModelError::RateLimited { retry_after: None })
            }
            "server_error"
            | "internal_error"
            | "internal_server_error"
            | "server_overloaded"
            | "overloaded_error"
            | "service_unavailable"
            | "slow_down"
            | "timeout"
            | "vector_store_timeout"
            | "500"
            | "502"
            | "503"
            | "504" => Self::transient(ModelError::Unavailable(Box::new(Declined { code }))),
            access if is_access(access) => Self::lasting(ModelError::Access { code }),
            long if is_too_long(long) => Self::lasting(ModelError::TooLong),
            _ => Self::lasting(ModelError::Refused { code }),
        }
    }
}

fn is_quota(code: &str) -> bool {
    matches!(code, "insufficient_quota" | "billing_hard_limit_reached")
}

fn is_access(code: &str) -> bool {
    matches!(
        code,
        "model_not_found"
            | "invalid_api_key"
            | "invalid_organization"
            | "account_deactivated"
            | "unsupported_country_region_territory"
            | "401"
            | "403"
    )
}

fn is_too_long(code: &str) -> bool {
    matches!(code, "context_length_exceeded" | "string_above_max_length")
}

/// The `code`, else the `type`; numbers are codes of some gateways. What does not look like a code is left out: it may quote the request.
fn code_of(error: &Value) -> Option<String> {
    let word = |field: &str| match error.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let looks_like_one = |code: &String| {
        (1..=64).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    word("code")
        .filter(looks_like_one)
        .or_else(|| word("type").filter(looks_like_one).filter(|t| t != "error"))
}

/// The vendor said no, for a reason that passes.
#[derive(Debug, thiserror::Error)]
#[error("the vendor answered {code}")]
struct Declined {
    code: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{step} took longer than {} ms", after.as_millis())]
struct TimedOut {
    step: &'static str,
    after: Duration,
}

/// JSON that cannot be read. The parser's own words may quote what it read, so they are left out.
#[derive(Debug)]
pub(crate) struct Unreadable {
    what: &'static str,
    line: usize,
    column: usize,
}

impl Unreadable {
    pub(crate) fn new(what: &'static str, error: &serde_json::Error) -> Self {
        Self { what, line: error.line(), column: error.column() }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read, at line {} column {}", self.what, self.line, self.column)
    }
}

impl Error for Unreadable {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_status_has_its_outcome() {
        let cases: [(u16, &str, bool, &str); 13] = [
            (429, "rate_limit_exceeded", true, "RateLimited { retry_after: None }"),
            (429, "insufficient_quota", false, "RateLimited { retry_after: None }"),
            (401, "invalid_api_key", false, r#"Access { code: "invalid_api_key" }"#),
            (403, "unsupported", false, r#"Access { code: "unsupported" }"#),
            (404, "model_not_found", false, r#"Access { code: "model_not_found" }"#),
            (404, "no_such_route", false, r#"Refused { code: "no_such_route" }"#),
            (400, "context_length_exceeded", false, "TooLong"),
            (400, "invalid_prompt", false, r#"Refused { code: "invalid_prompt" }"#),
            (400, "a text that quotes: the prompt", false, r#"Refused { code: "http_400" }"#),
            (307, "", false, r#"Refused { code: "http_307" }"#),
            (408, "x", true, r#"Unavailable(Declined { code: "x" })"#),
            (409, "x", true, r#"Unavailable(Declined { code: "x" })"#),
            (503, "", true, r#"Unavailable(Declined { code: "http_503" })"#),
        ];
        for (status, code, transient, expected) in cases {
            let failure =
                Failure::status(status, json!({ "error": { "code": code } }).to_string().as_bytes());
            assert_eq!((failure.transient, format!("{:?}", failure.error).as_str()), (transient, expected));
        }
        assert!(matches!(Failure::status(502, b"<html>").error, ModelError::Unavailable(_)));
    }

    #[test]
    fn each_code_in_a_stream_has_its_outcome() {
        let cases = [
            (json!({ "code": "server_error" }), true, r#"Unavailable(Declined { code: "server_error" })"#),
            (json!({ "code": "rate_limit_exceeded" }), true, "RateLimited { retry_after: None }"),
            (
                json!({ "code": null, "type": "insufficient_quota" }),
                false,
                "RateLimited { retry_after: None }",
            ),
            (json!({ "code": "context_length_exceeded" }), false, "TooLong"),
            (json!({ "code": "invalid_prompt" }), false, r#"Refused { code: "invalid_prompt" }"#),
            (json!({ "code": 401 }), false, r#"Access { code: "401" }"#),
            (
                json!({ "type": "error", "message": "?" }),
                true,
                r#"Unavailable(Declined { code: "unknown" })"#,
            ),
            (Value::Null, true, r#"Unavailable(Declined { code: "unknown" })"#),
        ];
        for (error, transient, expected) in cases {
            let failure = Failure::reported(&error);
            assert_eq!((failure.transient, format!("{:?}", failure.error).as_str()), (transient, expected));
        }
    }
}
