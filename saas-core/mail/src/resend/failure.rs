//! What Resend's refusals mean ("API Reference", "Errors").

use std::time::Duration;

use http::StatusCode;
use saas_core::{MailError, Refusal};

use super::wire::explanation;

/// What went wrong without a word of Resend's.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no connection came about")]
    Connect,
    #[error("the connection broke off")]
    BrokeOff,
    #[error("the answer is none of Resend's")]
    Malformed,
    #[error("there is no Resend at that address (status {0})")]
    NotResend(u16),
}

impl Trouble {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() { Self::Connect } else { Self::BrokeOff }
    }
}

impl From<Trouble> for MailError {
    fn from(trouble: Trouble) -> Self {
        Self::unavailable(trouble)
    }
}

/// An answer that is no success. Resend's message stays out of it: it may repeat an address.
pub(super) fn judged(status: StatusCode, wait: Option<Duration>, answer: &[u8]) -> MailError {
    let said = explanation(answer);
    let number = status.as_u16();
    let code = if said.name.is_empty() { number.to_string() } else { format!("{number} {}", said.name) };
    let refused = |what| MailError::refused(what, &code);
    match (number, said.name.as_str()) {
        // The quotas of a day and of a month are a 429, too.
        (408 | 425 | 429 | 500..=599, _) | (409, "concurrent_idempotent_requests") => {
            MailError::later(wait, &code)
        }
        // A sender's domain that is not verified, a key for tests: for whoever has the key to mend.
        (401 | 403, _) => refused(Refusal::Credentials),
        (400, _) if said.message.contains("API key") => refused(Refusal::Credentials),
        (400 | 422, _) if said.message.contains("`to`") => refused(Refusal::Recipient),
        (404 | 405, _) => Trouble::NotResend(number).into(),
        (400..=499, _) => refused(Refusal::Content),
        _ => Trouble::NotResend(number).into(),
    }
}
