//! The range service, by the settings.

use std::sync::Arc;

use saas_auth_breached::{BreachedRange, BreachedRangeConfig, InvalidBreachedRangeConfig};
use saas_core::{Clock, InternalError};

use super::BreachedListError;
use crate::{settings::Settings, tls};

pub(super) fn config(settings: &Settings) -> Result<BreachedRangeConfig, InvalidBreachedRangeConfig> {
    let config = BreachedRangeConfig::new(settings.breached_passwords_url.as_str())?;
    Ok(config.with_timeout(settings.breached_passwords_timeout.duration()))
}

pub(super) fn open(
    config: &BreachedRangeConfig,
    clock: Arc<dyn Clock>,
) -> Result<BreachedRange, BreachedListError> {
    // What speaks plain HTTP alone must not need this machine's certificates.
    let tls = if config.is_encrypted() { tls::client()? } else { tls::client_that_trusts_nobody()? };
    let http = config.client_builder().tls_backend_preconfigured(tls).build();
    let http = http.map_err(|error| BreachedListError::Client(InternalError::new(error)))?;
    Ok(BreachedRange::new(http, config.clone(), clock))
}
