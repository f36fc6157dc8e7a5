//! OpenAI's API as the chat model: settings to configuration, without I/O; configuration to client, with this machine's certificates.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use saas_agents_openai::{InvalidOpenAiConfig, OpenAi, OpenAiConfig};
use saas_core::{Clock, InternalError};

use crate::settings::Settings;

/// A client for the chat model's API that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenAiError {
    /// This machine has no certificates to check a server's with.
    #[error("this machine has no root certificates: install its package of them, on Debian ca-certificates")]
    NoCertificates,
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
    let failed = |error: rustls::Error| OpenAiError::Client(InternalError::new(error));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(OpenAiError::NoCertificates);
    }
    // ring by name: no default of the process is read or set.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let http = config.client_builder().tls_backend_preconfigured(tls).build();
    let http = http.map_err(|error| OpenAiError::Client(InternalError::new(error)))?;
    Ok(OpenAi::new(http, config.clone(), clock))
}
