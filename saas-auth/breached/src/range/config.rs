//! Where the service is.

use std::time::Duration;

use url::Url;

/// What [`BreachedRange`](crate::BreachedRange) is told.
#[derive(Debug, Clone)]
pub struct BreachedRangeConfig {
    base: Url,
    timeout: Duration,
    remembered: usize,
}

/// An address that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address of the range service is not an http or https URL with a host")]
pub struct InvalidBreachedRangeConfig;

impl BreachedRangeConfig {
    /// Where Have I Been Pwned has it ("API v3", "Searching by range").
    pub const DEFAULT_BASE_URL: &'static str = "https://api.pwnedpasswords.com";

    /// How long a range is remembered; the list grows by the month.
    pub const REMEMBERED_FOR: Duration = Duration::from_hours(12);

    /// At an address, with or without a slash at its end; an answer may take two seconds, and 256 ranges are remembered, ten megabytes.
    pub fn new(base_url: &str) -> Result<Self, InvalidBreachedRangeConfig> {
        let mut base = Url::parse(base_url.trim()).map_err(|_| InvalidBreachedRangeConfig)?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(InvalidBreachedRangeConfig);
        }
        base.path_segments_mut().map_err(|()| InvalidBreachedRangeConfig)?.pop_if_empty().push("range");
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base, timeout: Duration::from_secs(2), remembered: 256 })
    }

    /// With another time in which an answer has to be there, connecting included.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The beginning of an HTTP client that suits: it says what it is, which the service asks for, follows no redirect, and tries once.
    /// Whoever builds it adds the TLS configuration, `tls_backend_preconfigured`, so that no default of the process is needed.
    pub fn client_builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .user_agent(concat!("saas-auth-breached/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn remembered(&self) -> usize {
        self.remembered
    }

    /// `{base}/range/{digits}`.
    pub(super) fn endpoint(&self, told: [u8; super::TOLD]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(std::str::from_utf8(&told).unwrap_or_default());
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_digits_go_behind_the_base_whether_it_ends_in_a_slash_or_not() {
        for (base, expected) in [
            (BreachedRangeConfig::DEFAULT_BASE_URL, "https://api.pwnedpasswords.com/range/5BAA6"),
            ("http://127.0.0.1:4011/mirror/", "http://127.0.0.1:4011/mirror/range/5BAA6"),
        ] {
            let config = BreachedRangeConfig::new(base).unwrap();
            assert_eq!(config.endpoint(*b"5BAA6").as_str(), expected);
        }
        for bad in ["", "api.pwnedpasswords.com", "ftp://x.example", "mailto:a@b.c"] {
            assert!(BreachedRangeConfig::new(bad).is_err(), "{bad}");
        }
    }
}
