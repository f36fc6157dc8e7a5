//! Where sessions are opened: settings to configuration, without I/O; configuration to a locator; and the job that asks it.

#[cfg(any(feature = "maxmind", feature = "ip2location"))]
use std::path::PathBuf;
use std::sync::Arc;

use saas_core::{Clock, GeoLocator, InternalError};

use crate::settings::{GeoChoice, Settings};

mod examine;
#[cfg(feature = "ipinfo")]
mod ipinfo;

pub(crate) use examine::{AT_ONCE, Examiner};

/// A locator that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeoOpenError {
    /// The file of `GEOIP_MAXMIND_DB_PATH` or `GEOIP_IP2LOCATION_DB_PATH`.
    #[error("{setting}: {source}")]
    File {
        /// Which of them.
        setting: &'static str,
        /// What is wrong with it.
        source: saas_geo::OpenGeoFileError,
    },
    /// The TLS of IPinfo's client could not be set up.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// That client could not be made.
    #[error("no client for IPinfo could be made")]
    Client(#[source] InternalError),
}

/// Who is asked, judged and not yet opened.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// What the builder was given.
    Own(Arc<dyn GeoLocator>),
    None,
    #[cfg(feature = "maxmind")]
    MaxMind(PathBuf),
    #[cfg(feature = "ip2location")]
    Ip2Location(PathBuf),
    #[cfg(feature = "ipinfo")]
    IpInfo(ipinfo::Config),
}

impl Source {
    /// What the settings say; the error names those that are wrong.
    pub(crate) fn of(settings: &Settings) -> Result<Self, String> {
        match settings.geoip_provider {
            GeoChoice::None => Ok(Self::None),
            #[cfg(feature = "maxmind")]
            GeoChoice::MaxMind => {
                path("GEOIP_MAXMIND_DB_PATH", settings.geoip_maxmind_db_path.as_ref()).map(Self::MaxMind)
            }
            #[cfg(feature = "ip2location")]
            GeoChoice::Ip2Location => {
                path("GEOIP_IP2LOCATION_DB_PATH", settings.geoip_ip2location_db_path.as_ref())
                    .map(Self::Ip2Location)
            }
            #[cfg(feature = "ipinfo")]
            GeoChoice::IpInfo => ipinfo::Config::of(settings).map(Self::IpInfo),
            #[cfg(not(all(feature = "maxmind", feature = "ip2location", feature = "ipinfo")))]
            other => Err(format!(
                "GEOIP_PROVIDER: this build has no {other} support: build with its feature `{other}`, or set none"
            )),
        }
    }

    /// The locator, if there is one. A file is read; a service is not connected to before it is asked.
    #[cfg_attr(
        not(any(feature = "maxmind", feature = "ip2location", feature = "ipinfo")),
        expect(clippy::unnecessary_wraps, reason = "only a file or a client can fail")
    )]
    pub(crate) fn open(&self, clock: &Arc<dyn Clock>) -> Result<Option<Arc<dyn GeoLocator>>, GeoOpenError> {
        #[cfg(not(feature = "ipinfo"))]
        let _ = clock;
        Ok(match self {
            Self::Own(locator) => Some(Arc::clone(locator)),
            Self::None => None,
            #[cfg(feature = "maxmind")]
            Self::MaxMind(path) => Some(Arc::new(
                saas_geo::MaxMind::open(path)
                    .map_err(|source| GeoOpenError::File { setting: "GEOIP_MAXMIND_DB_PATH", source })?,
            )),
            #[cfg(feature = "ip2location")]
            Self::Ip2Location(path) => Some(Arc::new(
                saas_geo::Ip2Location::open(path)
                    .map_err(|source| GeoOpenError::File { setting: "GEOIP_IP2LOCATION_DB_PATH", source })?,
            )),
            #[cfg(feature = "ipinfo")]
            Self::IpInfo(config) => Some(config.open(Arc::clone(clock))?),
        })
    }

    /// Whether nobody is asked.
    pub(crate) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

#[cfg(any(feature = "maxmind", feature = "ip2location"))]
fn path(setting: &str, path: Option<&PathBuf>) -> Result<PathBuf, String> {
    path.cloned().ok_or_else(|| {
        format!("{setting}: is not set while GEOIP_PROVIDER asks for it: name the file that you downloaded")
    })
}
