//! An address that others use to reach the product.

use std::fmt;

use url::Url;

use super::SettingValue;

/// An `http` or `https` address without credentials, query, fragment or a slash at the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The address, in the form that the URL standard gives it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host in it, without the port.
    pub fn host(&self) -> &str {
        let authority = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let end = if authority.starts_with('[') {
            authority.find(']').map(|at| at + 1)
        } else {
            authority.find(':')
        };
        &authority[..end.unwrap_or(authority.len())]
    }

    /// Its origin, as a browser spells it.
    pub fn origin(&self) -> String {
        Url::parse(&self.0).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SettingValue for PublicUrl {
    const KIND: &'static str = "web address";

    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("begins with neither http:// nor https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has credentials in it".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a query or a fragment".to_owned());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{PublicUrl, SettingValue};

    #[test]
    fn the_origin_is_spelled_as_browsers_do() {
        for (text, origin) in [
            ("https://App.example.com:443/saas/", "https://app.example.com"),
            ("http://localhost:8000", "http://localhost:8000"),
            ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().origin(), origin);
        }
    }

    #[test]
    fn an_address_loses_its_last_slash_and_nothing_else() {
        for (text, kept) in [
            ("https://App.example.com/", "https://app.example.com"),
            ("https://example.com/app/", "https://example.com/app"),
            ("http://localhost:8000", "http://localhost:8000"),
            ("https://example.com:443", "https://example.com"),
        ] {
            assert_eq!(PublicUrl::parse(text).map(|url| url.as_str().to_owned()), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn an_address_knows_its_host() {
        for (text, host) in [
            ("https://app.example.com", "app.example.com"),
            ("http://localhost:8000/app", "localhost"),
            ("http://[::1]:8000/app", "[::1]"),
        ] {
            assert_eq!(PublicUrl::parse(text).as_ref().map(PublicUrl::host), Ok(host));
        }
    }

    #[test]
    fn what_is_no_plain_web_address_is_refused_without_repeating_it() {
        for text in [
            "example.com",
            "ftp://example.com",
            "https://",
            "https://user:hunter2@example.com",
            "https://example.com/?token=hunter2",
            "https://example.com/#hunter2",
            "https://user:hunter2@:99999",
        ] {
            let refused = PublicUrl::parse(text);
            assert!(refused.as_ref().is_err_and(|what| !what.contains("hunter2")), "{text}: {refused:?}");
        }
    }
}
