//! The adapter.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE};
use saas_agents::{ChatModel, ModelError, ModelRequest, ModelStream};
use saas_core::{Clock, clock::within};

use crate::{
    OpenAiConfig,
    answer::{Answer, Body},
    failure::{Failure, Unreadable},
    retry::{Advice, pause},
    wire,
};

/// The [`ChatModel`] over `POST /responses` of OpenAI, or of a gateway that speaks the same API.
///
/// - Attempts are made until the first output: after rate limits, server errors, broken connections and broken streams it tries again,
///   never sooner than the vendor asks, at most as often as [`OpenAiConfig::with_attempts`] says. A vendor that asks for more than 30
///   seconds gets no further attempt. After the first output nothing is tried again.
/// - `stream` answers when the first output is there, so whatever fails before it is its error.
/// - The vendor is told to keep nothing, and learns no id of ours.
/// - Logs (at `debug`, one line for each attempt) have statuses and the vendor's request ids, never keys, prompts or answers.
#[derive(Debug, Clone)]
pub struct OpenAi {
    http: reqwest::Client,
    config: OpenAiConfig,
    clock: Arc<dyn Clock>,
}

impl OpenAi {
    /// Over a client, best one that begins as [`OpenAiConfig::client_builder`]. The client must have no time-out for whole requests: it
    /// would cut long answers off. `clock` counts the time-outs and the pauses between attempts.
    pub fn new(http: reqwest::Client, config: OpenAiConfig, clock: Arc<dyn Clock>) -> Self {
        Self { http, config, clock }
    }

    /// Asks once, up to the first output.
    async fn attempt(&self, body: Bytes) -> Result<ModelStream, Failure> {
        let request = self
            .http
            .post(self.config.endpoint().clone())
            .headers(self.config.headers())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body);
        let timeouts = self.config.timeouts();
        let response = within(&*self.clock, timeouts.first_byte, request.send())
            .await
            .ok_or_else(|| Failure::timed_out("the beginning of the answer", timeouts.first_byte))?
            .map_err(Failure::connection)?;
        let status = response.status();
        tracing::debug!(
            http.status = status.as_u16(),
            openai.request_id = request_id(&response),
            "the model's vendor answered"
        );
        let advice = Advice::read(response.headers(), &*self.clock);
        let body = Body { response, clock: Arc::clone(&self.clock), idle: timeouts.idle };
        let opened = if status.is_success() {
            opened(body).await
        } else {
            Err(Failure::status(status.as_u16(), &body.explanation().await))
        };
        opened.map_err(|failure| advised(failure, &advice))
    }
}

#[async_trait]
impl ChatModel for OpenAi {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = wire::body(&request)
            .map_err(|error| ModelError::Malformed(Box::new(Unreadable::new("the request", &error))))?;
        let body = Bytes::from(body);
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = pause(&failure, attempt, self.config.attempts(), &*self.clock);
            tracing::debug!(
                attempt,
                error = %failure.error,
                pause_ms = pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
                "an attempt to ask the model failed"
            );
            let Some(pause) = pause else { return Err(failure.error) };
            self.clock.sleep(pause).await;
            attempt += 1;
        }
    }
}

/// The answer, once its first output is there.
async fn opened(body: Body) -> Result<ModelStream, Failure> {
    let mut answer = Answer::open(body).await?;
    let first = answer.next().await.unwrap_or_else(|| Err(Failure::truncated()))?;
    Ok(stream::iter([Ok(first)]).chain(answer.into_stream()).boxed())
}

/// A failure in the light of what the vendor's headers say.
fn advised(mut failure: Failure, advice: &Advice) -> Failure {
    failure.retry_after = advice.retry_after;
    failure.transient = advice.should_retry.unwrap_or(failure.transient);
    if let ModelError::RateLimited { retry_after } = &mut failure.error {
        *retry_after = advice.retry_after;
    }
    failure
}

/// What OpenAI's support asks for ("API reference", "Debugging requests").
fn request_id(response: &reqwest::Response) -> Option<&str> {
    response.headers().get("x-request-id").and_then(|id| id.to_str().ok())
}
