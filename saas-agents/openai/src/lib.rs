//! The [`ChatModel`](saas_agents::ChatModel) port over the OpenAI Responses API: a thin client of our own, because what comes must be
//! kept and sent back byte for byte, and because gateways and mocks leave out fields that typed clients demand.
//!
//! It is not a client of the whole API: it asks for one answer as a stream, and that is all. It keeps no conversation, runs no tool and
//! reads no environment.
//!
//! ```
//! use std::sync::Arc;
//!
//! use saas_agents::ChatModel;
//! use saas_agents_openai::{OpenAi, OpenAiConfig};
//! use saas_core::{Clock, Secret};
//!
//! /// `tls` is the host's own: rustls with the provider that it chose.
//! fn model(key: Secret<String>, tls: rustls::ClientConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn ChatModel>, Box<dyn std::error::Error>> {
//!     let config = OpenAiConfig::new(key)?;
//!     let http = config.client_builder().tls_backend_preconfigured(tls).build()?;
//!     Ok(Arc::new(OpenAi::new(http, config, clock)))
//! }
//! ```

mod answer;
mod client;
mod config;
mod decoder;
mod failure;
mod retry;
pub mod sse;
mod wire;

pub use client::OpenAi;
pub use config::{InvalidOpenAiConfig, OpenAiConfig, Timeouts};
