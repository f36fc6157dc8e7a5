//! IPinfo, by the settings.

use std::{sync::Arc, time::Duration};

use saas_core::{Clock, GeoLocator, InternalError, Secret};
use saas_geo::{IpInfo, IpInfoConfig, Remembered};

use super::GeoOpenError;
use crate::{settings::Settings, tls};

/// What is told to the service's client, and for how long its answers are remembered.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    ipinfo: IpInfoConfig,
    entries: usize,
    age: Duration,
}

impl Config {
    pub(super) fn of(settings: &Settings) -> Result<Self, String> {
        let Some(token) = &settings.geoip_ipinfo_token else {
            return Err("GEOIP_IPINFO_TOKEN: is not set while GEOIP_PROVIDER is ipinfo: set the token of your account".to_owned());
        };
        let ipinfo = IpInfoConfig::new(&Secret::new(token.expose().clone()));
        let ipinfo = ipinfo.map_err(|error| format!("GEOIP_IPINFO_TOKEN: {error}"))?;
        Ok(Self {
            ipinfo: ipinfo.with_timeout(settings.geoip_http_timeout.duration()),
            entries: settings.geoip_cache_max_entries,
            age: settings.geoip_cache_ttl.duration(),
        })
    }

    pub(super) fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn GeoLocator>, GeoOpenError> {
        let http = self.ipinfo.client_builder().tls_backend_preconfigured(tls::client()?).build();
        let http = http.map_err(|error| GeoOpenError::Client(InternalError::new(error)))?;
        let service = IpInfo::new(http, self.ipinfo.clone(), Arc::clone(&clock));
        Ok(Arc::new(Remembered::new(Arc::new(service), clock, self.entries, self.age)))
    }
}
