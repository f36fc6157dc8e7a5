//! Where Resend is and how we show who we are.

use std::{collections::BTreeMap, fmt, time::Duration};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use saas_core::Secret;
use url::Url;

/// What [`Resend`](crate::Resend) is told.
///
/// ```
/// use saas_core::Secret;
/// use saas_mail::ResendConfig;
///
/// let config = ResendConfig::new(Secret::new("re_example".to_owned()))?.with_template("verify_email", "our-own-words");
/// assert!(!format!("{config:?}").contains("re_example"));
/// # Ok::<(), saas_mail::InvalidResendConfig>(())
/// ```
#[derive(Clone)]
pub struct ResendConfig {
    api_key: Secret<String>,
    endpoint: Url,
    templates: BTreeMap<&'static str, String>,
    timeout: Duration,
}

/// A value that cannot be used. It is not in the message: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResendConfig {
    /// The key is empty, or has characters that cannot stand in a header.
    #[error("the API key is empty or has characters that no key has")]
    ApiKey,
    /// The base URL is none, or not over HTTP.
    #[error("the base URL is not an http or https URL with a host")]
    BaseUrl,
}

impl ResendConfig {
    /// Where the API is ("API Reference", "Introduction").
    pub const DEFAULT_BASE_URL: &'static str = "https://api.resend.com";

    /// With a key, white space around it left out; a mail may take 10 s.
    pub fn new(api_key: Secret<String>) -> Result<Self, InvalidResendConfig> {
        let key = api_key.expose().trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidResendConfig::ApiKey);
        }
        let endpoint = endpoint(Self::DEFAULT_BASE_URL)?;
        Ok(Self { api_key, endpoint, templates: BTreeMap::new(), timeout: Duration::from_secs(10) })
    }

    /// At another address, with or without a slash at its end.
    pub fn with_base_url(mut self, base_url: &str) -> Result<Self, InvalidResendConfig> {
        self.endpoint = endpoint(base_url)?;
        Ok(self)
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.endpoint.scheme() == "https"
    }

    /// With a template that Resend keeps, by its id or alias, for the letters of that name ("Templates").
    #[must_use]
    pub fn with_template(mut self, letter: &'static str, id: impl Into<String>) -> Self {
        self.templates.insert(letter, id.into());
        self
    }

    /// With another time in which a mail has to be taken, connecting included.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The beginning of an HTTP client that suits: it says who it is, without which Resend refuses every request ("Introduction",
    /// "User-Agent"), follows no redirect (the mail would follow it), and tries once. Whoever builds it adds the TLS configuration,
    /// `tls_backend_preconfigured`, so that no default of the process is needed.
    pub fn client_builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .user_agent(concat!("saas-mail/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
    }

    pub(super) const fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn template(&self, letter: &str) -> Option<&str> {
        self.templates.get(letter).map(String::as_str)
    }

    /// Who we are.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let bearer = Secret::new(format!("Bearer {}", self.api_key.expose().trim()));
        // `new` has seen that it can stand in a header.
        if let Ok(mut value) = HeaderValue::from_str(bearer.expose()) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }
}

/// `{base}/emails`.
fn endpoint(base_url: &str) -> Result<Url, InvalidResendConfig> {
    let mut url = Url::parse(base_url.trim()).map_err(|_| InvalidResendConfig::BaseUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(InvalidResendConfig::BaseUrl);
    }
    url.path_segments_mut().map_err(|()| InvalidResendConfig::BaseUrl)?.pop_if_empty().push("emails");
    url.set_fragment(None);
    Ok(url)
}

impl fmt::Debug for ResendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResendConfig")
            .field("api_key", &self.api_key)
            .field("host", &self.endpoint.host_str())
            .field("templates", &self.templates)
            .field("timeout", &self.timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_end_in_a_slash() {
        for (base, expected) in [
            ("https://api.resend.com", "https://api.resend.com/emails"),
            ("https://api.resend.com/", "https://api.resend.com/emails"),
            ("http://127.0.0.1:4010/resend", "http://127.0.0.1:4010/resend/emails"),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), expected);
        }
        for bad in ["", "api.resend.com", "ftp://x.example", "mailto:a@b.c"] {
            assert_eq!(endpoint(bad), Err(InvalidResendConfig::BaseUrl), "{bad}");
        }
    }

    #[test]
    fn a_key_that_fits_in_no_header_is_refused_at_once() {
        for bad in ["", " \n", "re_a b", "re_\u{fc}"] {
            assert!(ResendConfig::new(Secret::new(bad.to_owned())).is_err(), "{bad:?}");
        }
        let config = ResendConfig::new(Secret::new("re_1\n".to_owned())).unwrap();
        assert_eq!(config.headers()["authorization"], "Bearer re_1");
        assert!(!format!("{config:?} {:?}", config.headers()).contains("re_1"));
    }
}
