//! [`GeoLocator`] over IPinfo. Its reference was read ("Developers", "IP to Geolocation"); it was not tried live.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_core::{Clock, GeoError, GeoLocator, Place, Secret, clock::within};
use serde::Deserialize;
use url::Url;

/// An answer is a few fields.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What [`IpInfo`] is told.
#[derive(Clone)]
pub struct IpInfoConfig {
    authorization: HeaderValue,
    base: Url,
    timeout: Duration,
}

/// A value that cannot be used. It is not in the message: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIpInfoConfig {
    /// The token is empty, or has characters that cannot stand in a header.
    #[error("the token is empty or has characters that no token has")]
    Token,
    /// The base URL is none, or not over HTTP.
    #[error("the base URL is not an http or https URL with a host")]
    BaseUrl,
}

impl IpInfoConfig {
    /// Where the API is.
    pub const DEFAULT_BASE_URL: &'static str = "https://ipinfo.io";

    /// With a token, white space around it left out; an answer may take 2 s.
    pub fn new(token: &Secret<String>) -> Result<Self, InvalidIpInfoConfig> {
        let token = token.expose().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidIpInfoConfig::Token);
        }
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| InvalidIpInfoConfig::Token)?;
        authorization.set_sensitive(true);
        let base = Url::parse(Self::DEFAULT_BASE_URL).map_err(|_| InvalidIpInfoConfig::BaseUrl)?;
        Ok(Self { authorization, base, timeout: Duration::from_secs(2) })
    }

    /// At another address, with or without a slash at its end.
    pub fn with_base_url(mut self, base_url: &str) -> Result<Self, InvalidIpInfoConfig> {
        let base = Url::parse(base_url.trim()).map_err(|_| InvalidIpInfoConfig::BaseUrl)?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(InvalidIpInfoConfig::BaseUrl);
        }
        self.base = base;
        Ok(self)
    }

    /// With another time in which an answer has to come, connecting included.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The beginning of an HTTP client that suits: it follows no redirect and tries once. Whoever builds it adds the TLS configuration,
    /// `tls_backend_preconfigured`, so that no default of the process is needed.
    pub fn client_builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .user_agent(concat!("saas-geo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
    }
}

impl fmt::Debug for IpInfoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may have a password in it.
        f.debug_struct("IpInfoConfig")
            .field("host", &self.base.host_str())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The [`GeoLocator`] over `GET /{ip}/json`. Best behind a [`Remembered`](crate::Remembered).
#[derive(Clone)]
pub struct IpInfo {
    http: reqwest::Client,
    config: IpInfoConfig,
    clock: Arc<dyn Clock>,
}

/// What an answer says, as far as it is read. `bogon` is said of addresses that are nobody's.
#[derive(Deserialize)]
struct Answer {
    ip: String,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
}

/// What went wrong without a word of the service's, which may repeat an address.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Trouble {
    #[error("no connection came about")]
    Connect,
    #[error("the connection broke off")]
    BrokeOff,
    #[error("the answer is none of IPinfo's (status {0})")]
    Malformed(u16),
    #[error("no answer came in time")]
    TimedOut,
}

impl Trouble {
    fn of(error: &reqwest::Error) -> GeoError {
        GeoError::unavailable(if error.is_connect() { Self::Connect } else { Self::BrokeOff })
    }
}

impl IpInfo {
    /// Over a client, best one that begins as [`IpInfoConfig::client_builder`]. `clock` counts the time-out.
    pub fn new(http: reqwest::Client, config: IpInfoConfig, clock: Arc<dyn Clock>) -> Self {
        Self { http, config, clock }
    }

    async fn ask(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        let mut url = self.config.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([address.to_string().as_str(), "json"]);
        }
        let request = self
            .http
            .get(url)
            .header(header::AUTHORIZATION, self.config.authorization.clone())
            .header(header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(|error| Trouble::of(&error))?;
        let (status, wait) = (response.status(), wait(response.headers()));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(GeoError::Refused),
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::TOO_MANY_REQUESTS => return Err(GeoError::Later { retry_after: wait }),
            status if status.is_server_error() => return Err(GeoError::Later { retry_after: wait }),
            _ => {}
        }
        let malformed = || GeoError::unavailable(Trouble::Malformed(status.as_u16()));
        if status != StatusCode::OK {
            return Err(malformed());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::of(&error))? {
            if bytes.len() + chunk.len() > LARGEST_ANSWER {
                return Err(malformed());
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        // An answer about somebody else is none.
        if answer.ip.parse() != Ok(address) {
            return Err(malformed());
        }
        Ok(Place::new(answer.country.as_deref(), answer.region.as_deref(), answer.city.as_deref()))
    }
}

impl fmt::Debug for IpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpInfo").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl GeoLocator for IpInfo {
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        let asked = within(&*self.clock, self.config.timeout, self.ask(address.to_canonical())).await;
        asked.unwrap_or_else(|| Err(GeoError::unavailable(Trouble::TimedOut)))
    }
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
