//! The port for language models.

use std::{error::Error, fmt, fmt::Debug, pin::Pin, time::Duration};

use async_trait::async_trait;
use futures_util::Stream;
use saas_core::{ErrorKind, Fault, Report};
use serde::{Deserialize, Serialize};

use crate::Item;

/// Which model to ask, in the vendor's own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelName(String);

impl ModelName {
    /// Any name; whether there is such a model, the vendor says.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a model is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ModelRequest {
    /// Which model.
    pub model: ModelName,
    /// What it should be.
    pub instructions: String,
    /// The conversation so far, oldest first, and what it should answer.
    pub input: Vec<Item>,
    /// The most tokens that it may write.
    pub max_output_tokens: Option<u32>,
}

impl ModelRequest {
    /// Asks `model`, which should be as `instructions` say, to answer `input`.
    pub fn new(model: ModelName, instructions: impl Into<String>, input: Vec<Item>) -> Self {
        Self { model, instructions: instructions.into(), input, max_output_tokens: None }
    }

    /// Writing at most so many tokens.
    #[must_use]
    pub fn with_max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }
}

/// Tokens, as the vendor counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read.
    pub input: i64,
    /// Of those, out of the vendor's cache.
    pub cached_input: i64,
    /// Written.
    pub output: i64,
    /// Of those, thought and not shown.
    pub reasoning: i64,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// It said what it wanted to say.
    Complete,
    /// It had no room for more.
    OutOfTokens,
    /// The vendor's filter ended it.
    Filtered,
}

/// What a model says, bit by bit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelEvent {
    /// A bit of the answer's text.
    Text(String),
    /// An item of the answer, whole; to be kept and sent back as it is.
    Item(Item),
    /// The end: nothing comes after it.
    Done {
        /// How it ended.
        finish: Finish,
        /// What it took.
        usage: Usage,
    },
}

/// What a model says. Dropping it cancels the request.
pub type ModelStream = Pin<Box<dyn Stream<Item = Result<ModelEvent, ModelError>> + Send>>;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Too many requests, or a quota is used up.
    #[error("the model takes no more requests for now")]
    RateLimited {
        /// When to try again, if the vendor said.
        retry_after: Option<Duration>,
    },
    /// The vendor is away, overloaded or too slow.
    #[error("the model is not reachable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The key, the organisation or the model's name is wrong: an operator has to mend it.
    #[error(
        "the model refuses our access: check OPENAI_API_KEY, OPENAI_BASE_URL and the AGENT_MODEL settings"
    )]
    Access {
        /// The vendor's code.
        code: String,
    },
    /// The conversation does not fit.
    #[error("the conversation is too long for the model")]
    TooLong,
    /// The vendor calls the request wrong.
    #[error("the model refuses the request")]
    Refused {
        /// The vendor's code.
        code: String,
    },
    /// The answer ended without its end: what came is not the whole.
    #[error("the model's answer was cut off")]
    Truncated,
    /// The answer is not in the form that it should be.
    #[error("the model's answer cannot be read")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault for ModelError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::RateLimited { retry_after } => {
                let report = Report::new(ErrorKind::Unavailable, "model_rate_limited");
                retry_after.map_or(report, |wait| report.with_retry_after(wait))
            }
            Self::Unavailable(_) => Report::new(ErrorKind::Unavailable, "model_unavailable"),
            Self::Access { .. } => Report::new(ErrorKind::Internal, "model_access"),
            Self::TooLong => Report::new(ErrorKind::Invalid, "conversation_too_long"),
            Self::Refused { .. } => Report::new(ErrorKind::Internal, "model_refused"),
            Self::Truncated => Report::new(ErrorKind::Unavailable, "model_truncated"),
            Self::Malformed(_) => Report::new(ErrorKind::Internal, "model_malformed"),
        }
    }
}

/// A language model.
///
/// # Contract
/// The suite `chat_model`:
/// - A stream ends with exactly one `Done` or one error, and gives nothing after it.
/// - The texts, put together, are the text of the message items.
/// - Answers to requests that are asked at once do not mix.
///
/// The suite `model_vendor`, for a model that asks a vendor:
/// - A stream that breaks off ends with an error, after what was said.
/// - Nothing is asked again once a `Text` or an `Item` was given.
/// - Items are given and sent back byte for byte, those that we do not know included.
/// - Dropping the stream ends the request, and so does dropping the question before there is one.
#[async_trait]
pub trait ChatModel: Debug + Send + Sync + 'static {
    /// Asks, and answers when the model begins to.
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}
