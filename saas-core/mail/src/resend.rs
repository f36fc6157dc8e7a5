//! [`Mailer`] over Resend's API. Its reference was read, and what it answers is written down in the tests; it was not tried live.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use saas_core::{Clock, Mail, MailError, Mailer, clock::within};

use crate::timed_out::TimedOut;

mod config;
mod failure;
mod wire;

pub use config::{InvalidResendConfig, ResendConfig};
use failure::{Trouble, judged};

/// An answer is an id or an explanation.
const LARGEST_ANSWER: usize = 64 * 1024;

/// The [`Mailer`] over `POST /emails` ("API Reference", "Send Email").
///
/// - Each mail goes under its key as `Idempotency-Key`, which Resend remembers for a day ("Idempotency Keys"): what is sent again arrives
///   once. A mail that was sent with other content under its key is refused.
/// - A mail whose template has an id goes as that one's variables; the others go as we render them.
/// - It tries once. Resend lets a team ask five times a second ("Usage Limits"): more is `Later`, with Resend's own wait.
#[derive(Debug, Clone)]
pub struct Resend {
    http: reqwest::Client,
    config: ResendConfig,
    clock: Arc<dyn Clock>,
}

impl Resend {
    /// Over a client, best one that begins as [`ResendConfig::client_builder`]. `clock` counts the time-out.
    pub fn new(http: reqwest::Client, config: ResendConfig, clock: Arc<dyn Clock>) -> Self {
        Self { http, config, clock }
    }

    async fn deliver(&self, mail: &Mail) -> Result<(), MailError> {
        let body = wire::body(mail, self.config.template(mail.template))?;
        let request = self
            .http
            .post(self.config.endpoint().clone())
            .headers(self.config.headers())
            .header("idempotency-key", mail.key.as_str())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        // reqwest's own words have the address in them, which may have a password in it.
        let response = request.send().await.map_err(|error| Trouble::of(&error))?;
        let (status, wait) = (response.status(), wait(response.headers()));
        let answer = bounded(response).await?;
        if !status.is_success() {
            return Err(judged(status, wait, &answer));
        }
        // Whatever answers without an id is not Resend; under its key the mail can be sent again.
        let id = wire::id(&answer).ok_or(Trouble::Malformed)?;
        tracing::debug!(
            mail.key = mail.key.as_str(),
            mail.template = mail.template,
            resend.id = id,
            "mail handed to Resend"
        );
        Ok(())
    }
}

#[async_trait]
impl Mailer for Resend {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let limit = self.config.timeout();
        let delivered = within(&*self.clock, limit, self.deliver(mail)).await;
        delivered.unwrap_or_else(|| Err(MailError::unavailable(TimedOut(limit))))
    }
}

/// How long to wait, in whole seconds ("Usage Limits"): until a request may come, or until the window ends.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = |value: &HeaderValue| value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs);
    headers.get(RETRY_AFTER).and_then(seconds)
}

async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>, MailError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::of(&error))? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Trouble::Malformed.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
