//! OpenAI's API as the chat model: settings to configuration, without I/O; configuration to client, with this machine's certificates.

use std::sync::Arc;

use saas_agents_openai::{InvalidOpenAiConfig, OpenAi, OpenAiConfig};
use saas_core::{Clock, InternalError};

use crate::{settings::Settings, tls};

/// A client for the chat model's API that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenAiError {
    /// Its TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The client could not be made.
    #[error("no HTTP client could be made")]
    Client(#[source] InternalError),
}

/// What the settings say, if a key is set.
pub(crate) fn config(settings: &Settings) -> Result<Option<OpenAiConfig>, InvalidOpenAiConfig> {
    let Some(key) = &settings.openai_api_key else { return Ok(None) };
    OpenAiConfig::new(key.clone())?.with_base_url(settings.openai_base_url.as_str()).map(Some)
}

/// The model, over a client of its own.
pub(crate) fn open(config: &OpenAiConfig, clock: Arc<dyn Clock>) -> Result<OpenAi, OpenAiError> {
    let http = config.client_builder().tls_backend_preconfigured(tls::client()?).build();
    let http = http.map_err(|error| OpenAiError::Client(InternalError::new(error)))?;
    Ok(OpenAi::new(http, config.clone(), clock))
}
