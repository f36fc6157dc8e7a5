//! Where the vendor is and how we show who we are.

use std::{fmt, time::Duration};

use http::HeaderValue;
use saas_core::Secret;
use url::Url;

/// What [`OpenAi`](crate::OpenAi) is told about the vendor, or about a gateway that speaks the same API.
///
/// ```
/// use saas_agents_openai::OpenAiConfig;
/// use saas_core::Secret;
///
/// let config = OpenAiConfig::new(Secret::new("sk-example".to_owned()))?.with_base_url("https://llm.example.com/v1/")?.with_attempts(2);
/// assert!(!format!("{config:?}").contains("sk-example"));
/// # Ok::<(), saas_agents_openai::InvalidOpenAiConfig>(())
/// ```
#[derive(Clone)]
pub struct OpenAiConfig {
    api_key: Secret<String>,
    endpoint: Url,
    organization: Option<HeaderValue>,
    project: Option<HeaderValue>,
    attempts: u32,
    timeouts: Timeouts,
}

/// How long one attempt may take, step by step. There is none for a whole answer: as long as something comes, it may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands; counted by the HTTP client that [`OpenAiConfig::client_builder`] makes.
    pub connect: Duration,
    /// From sending the request, connecting included, until the head of the response is there.
    pub first_byte: Duration,
    /// Between two pieces of the response. A model that thinks says nothing for minutes.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_mins(1),
            idle: Duration::from_mins(5),
        }
    }
}

/// A value that cannot be used. It is not in the message: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOpenAiConfig {
    /// The key is empty, or has characters that cannot stand in a header.
    #[error("the API key is empty or has characters that no key has")]
    ApiKey,
    /// The base URL is none, or not over HTTP.
    #[error("the base URL is not an http or https URL with a host")]
    BaseUrl,
    /// The organization has characters that cannot stand in a header.
    #[error("the organization has characters that cannot stand in a header")]
    Organization,
    /// The project has characters that cannot stand in a header.
    #[error("the project has characters that cannot stand in a header")]
    Project,
}

impl OpenAiConfig {
    /// Where the vendor's API is ("API reference", "Introduction").
    pub const DEFAULT_BASE_URL: &'static str = "https://api.openai.com/v1";

    /// With a key, white space around it left out; three attempts in all, and the default [`Timeouts`].
    pub fn new(api_key: Secret<String>) -> Result<Self, InvalidOpenAiConfig> {
        let key = api_key.expose().trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidOpenAiConfig::ApiKey);
        }
        Ok(Self {
            api_key,
            endpoint: endpoint(Self::DEFAULT_BASE_URL)?,
            organization: None,
            project: None,
            attempts: 3,
            timeouts: Timeouts::default(),
        })
    }

    /// At another address, with or without a slash at its end. A query is kept: some gateways want one.
    pub fn with_base_url(mut self, base_url: &str) -> Result<Self, InvalidOpenAiConfig> {
        self.endpoint = endpoint(base_url)?;
        Ok(self)
    }

    /// For an organization (`OpenAI-Organization`; "API reference", "Authentication").
    pub fn with_organization(mut self, organization: &str) -> Result<Self, InvalidOpenAiConfig> {
        self.organization =
            Some(HeaderValue::from_str(organization).map_err(|_| InvalidOpenAiConfig::Organization)?);
        Ok(self)
    }

    /// For a project (`OpenAI-Project`; "API reference", "Authentication").
    pub fn with_project(mut self, project: &str) -> Result<Self, InvalidOpenAiConfig> {
        self.project = Some(HeaderValue::from_str(project).map_err(|_| InvalidOpenAiConfig::Project)?);
        Ok(self)
    }

    /// Trying so many times in all; zero counts as one.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// With other time-outs.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The beginning of an HTTP client that suits: it has the time-out for connecting, follows no redirect (the conversation would follow
    /// it), and leaves retries to [`OpenAi`](crate::OpenAi). Whoever builds it adds the TLS configuration, `tls_backend_preconfigured`,
    /// so that no default of the process is needed; that is also the place for proxies and certificates.
    pub fn client_builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .user_agent(concat!("saas-agents-openai/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeouts.connect)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
    }

    pub(crate) fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Who we are.
    pub(crate) fn headers(&self) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        let bearer = Secret::new(format!("Bearer {}", self.api_key.expose().trim()));
        // `new` has seen that it can stand in a header.
        if let Ok(mut value) = HeaderValue::from_str(bearer.expose()) {
            value.set_sensitive(true);
            headers.insert(http::header::AUTHORIZATION, value);
        }
        if let Some(organization) = &self.organization {
            headers.insert("openai-organization", organization.clone());
        }
        if let Some(project) = &self.project {
            headers.insert("openai-project", project.clone());
        }
        headers
    }
}

/// `{base}/responses`.
fn endpoint(base_url: &str) -> Result<Url, InvalidOpenAiConfig> {
    let mut url = Url::parse(base_url.trim()).map_err(|_| InvalidOpenAiConfig::BaseUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(InvalidOpenAiConfig::BaseUrl);
    }
    url.path_segments_mut().map_err(|()| InvalidOpenAiConfig::BaseUrl)?.pop_if_empty().push("responses");
    url.set_fragment(None);
    Ok(url)
}

/// Neither the key nor what else may be secret: a password or a query in the URL.
impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("api_key", &self.api_key)
            .field("host", &self.endpoint.host_str())
            .field("attempts", &self.attempts)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_end_in_a_slash_and_have_a_query() {
        for (base, expected) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1/responses"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1/responses"),
            ("http://127.0.0.1:4010", "http://127.0.0.1:4010/responses"),
            ("https://x.example/openai?api-version=1#y", "https://x.example/openai/responses?api-version=1"),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), expected);
        }
        for bad in ["", "api.openai.com", "ftp://x.example", "mailto:a@b.c"] {
            assert_eq!(endpoint(bad), Err(InvalidOpenAiConfig::BaseUrl), "{bad}");
        }
    }

    #[test]
    fn a_key_that_fits_in_no_header_is_refused_at_once() {
        for bad in ["", " \n", "sk-a b", "sk-\u{fc}"] {
            assert!(OpenAiConfig::new(Secret::new(bad.to_owned())).is_err(), "{bad:?}");
        }
        let config = OpenAiConfig::new(Secret::new("sk-1\n".to_owned())).unwrap();
        assert_eq!(config.headers()["authorization"], "Bearer sk-1");
        assert!(!format!("{config:?} {:?}", config.headers()).contains("sk-1"));
    }
}
