//! The product wired together: settings choose the adapters, the services stand on them, and [`Saas`] holds it all.
//!
//! A host or an embedder's program goes through three steps. [`Saas::from_env`] reads the settings `SAAS_<NAME>` of the process
//! environment ([`Saas::builder`] takes settings from elsewhere), and a [`SaasBuilder`] any port of your own; `build` judges them and
//! touches nothing; [`Blueprint::open`] connects. Migrating is a step of its own.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use saas_kit::Saas;
//!
//! let blueprint = Saas::from_env()?.build()?;
//! blueprint.migrate().await?;
//! let saas = blueprint.open().await?;
//! let keys = saas.auth().access_tokens().keys();
//! # let _ = keys;
//! # Ok(())
//! # }
//! ```
//!
//! It serves no HTTP (`saas-http` does) and installs no log sink.

mod announced;
mod blueprint;
mod breached;
mod builder;
mod export;
mod forgotten;
mod geo;
mod hash_pool;
mod health;
pub mod jobs;
mod mail;
#[cfg(feature = "openai")]
mod openai;
mod personal;
mod ports;
mod retention;
mod root_key_file;
mod runs;
mod saas;
pub mod settings;
mod system_clock;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;
mod workers;

pub use blueprint::{Blueprint, MigrateError, OpenError};
pub use breached::BreachedListError;
pub use builder::{BuildError, SaasBuilder};
pub use export::AccountExport;
pub use geo::GeoOpenError;
pub use hash_pool::HashPool;
pub use health::{Check, Readiness};
pub use mail::MailerError;
#[cfg(feature = "openai")]
pub use openai::OpenAiError;
pub use personal::{ENVELOPED, ReencryptError, ReencryptReport};
pub use retention::retention;
pub use root_key_file::RootKeyFileError;
pub use saas::Saas;
pub use system_clock::SystemClock;
