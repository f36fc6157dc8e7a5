//! The names that the product answers to.

use std::{fmt, net::IpAddr};

use super::{PublicUrl, SettingValue, TextList};

/// Which hosts a request may be for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedHosts(Vec<Pattern>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    /// `*`.
    Any,
    /// Every name and address of the machine itself; only a default has it.
    Loopback,
    /// A name or an address, on one port or on any.
    Host { host: String, port: Option<u16> },
    /// `*.example.com`: what ends with this, which begins with a dot.
    Below(String),
}

/// A text that names no host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidHost;

impl AllowedHosts {
    /// The hosts of these addresses, and the machine's own where `loopback` says so.
    pub(super) fn of<'a>(addresses: impl IntoIterator<Item = &'a PublicUrl>, loopback: bool) -> Self {
        let mut patterns = Vec::new();
        if loopback {
            patterns.push(Pattern::Loopback);
        }
        for address in addresses {
            let pattern = Pattern::Host { host: address.host().to_owned(), port: None };
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        Self(patterns)
    }

    /// Whether a request for `authority`, a host with or without a port, is one for us.
    pub fn allow(&self, authority: &str) -> Result<bool, InvalidHost> {
        let (host, port) = split(authority).ok_or(InvalidHost)?;
        Ok(self.0.iter().any(|pattern| pattern.matches(host, port)))
    }

    /// Whether every host will do.
    pub fn is_any(&self) -> bool {
        self.0.contains(&Pattern::Any)
    }
}

impl Pattern {
    fn matches(&self, host: &str, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => is_loopback(host),
            Self::Host { host: ours, port: on } => {
                ours.eq_ignore_ascii_case(host) && (on.is_none() || *on == port)
            }
            Self::Below(suffix) => ends_with(host, suffix),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || "has an entry that is neither a host, a host with a port, nor *.example.com".to_owned();
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(parent) = text.strip_prefix("*.") {
            let (parent, None) = split(parent).ok_or_else(wrong)? else { return Err(wrong()) };
            return Ok(Self::Below(format!(".{}", parent.to_ascii_lowercase())));
        }
        let bracketed = text.parse::<std::net::Ipv6Addr>().map(|address| format!("[{address}]"));
        let text = bracketed.as_deref().unwrap_or(text);
        let (host, port) = split(text).ok_or_else(wrong)?;
        Ok(Self::Host { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Loopback => f.write_str("localhost,*.localhost,127.0.0.0/8,[::1]"),
            Self::Host { host, port: None } => f.write_str(host),
            Self::Host { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl SettingValue for AllowedHosts {
    const KIND: &'static str = "list of hosts, as app.example.com,*.example.com";

    fn parse(text: &str) -> Result<Self, String> {
        // An address of IPv6 begins as a JSON array does.
        if let Ok(pattern) = Pattern::parse(text) {
            return Ok(Self(vec![pattern]));
        }
        TextList::parse(text)?.iter().map(Pattern::parse).collect::<Result<_, _>>().map(Self)
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

/// Host and port of an authority; an address of IPv6 keeps its brackets, a name loses the dot at its end.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = authority.strip_prefix('[').and_then(|rest| rest.find(']')).map(|at| at + 2);
    let (host, rest) = authority.split_at(end.or_else(|| authority.find(':')).unwrap_or(authority.len()));
    let port = match rest.strip_prefix(':') {
        None if !rest.is_empty() => return None,
        // RFC 3986 section 3.2.3: an empty port is no port.
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']')?;
        return address.parse::<std::net::Ipv6Addr>().is_ok().then_some((host, port));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (!name.is_empty() && name.bytes().all(of_a_name)).then_some((name, port))
}

fn is_loopback(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") || ends_with(host, ".localhost") {
        return true;
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a name is below the one in `suffix`, letters of either case.
fn ends_with(host: &str, suffix: &str) -> bool {
    let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
    host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

#[cfg(test)]
mod tests {
    use super::{AllowedHosts, InvalidHost, PublicUrl, SettingValue};

    fn allows(list: &str, host: &str) -> Result<bool, InvalidHost> {
        AllowedHosts::parse(list).unwrap_or_else(|what| panic!("{list} {what}")).allow(host)
    }

    #[test]
    fn a_host_is_named_exactly_on_a_port_or_by_what_it_is_below() {
        let list = "App.example.com, *.example.org,localhost:8000,[2001:db8::1]:443,192.0.2.1";
        for host in [
            "app.example.com",
            "APP.EXAMPLE.COM:8443",
            "app.example.com.",
            "a.example.org",
            "a.b.EXAMPLE.org:1",
            "localhost:8000",
            "[2001:DB8::1]:443",
            "192.0.2.1",
        ] {
            assert_eq!(allows(list, host), Ok(true), "{host}");
        }
        for host in
            ["example.com", "app.example.com.evil.test", "example.org", "xexample.org", "localhost", "[::1]"]
        {
            assert_eq!(allows(list, host), Ok(false), "{host}");
        }
        assert_eq!(allows("[::1]", "[::1]:8000"), Ok(true));
        assert_eq!(allows("::1", "[::1]:8000"), Ok(true));
        assert_eq!(allows("*", "anything.test"), Ok(true));
    }

    #[test]
    fn what_is_no_host_is_told_from_one_that_is_not_ours() {
        for host in
            ["", ":80", "a b", "a/b", "user@a", "a:80:80", "a:x", "a:99999", "[::1", "[::1]x", "[a]", "ä"]
        {
            assert_eq!(allows("*", host), Err(InvalidHost), "{host}");
        }
    }

    #[test]
    fn without_a_list_it_is_the_public_address_and_in_development_the_machine_itself() {
        let url =
            PublicUrl::parse("https://app.example.com:8443/app").unwrap_or_else(|what| panic!("{what}"));
        let (open, hardened) = (AllowedHosts::of([&url], true), AllowedHosts::of([&url, &url], false));
        for host in
            ["localhost:8000", "x.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:8000", "[::ffff:127.0.0.1]"]
        {
            assert_eq!((open.allow(host), hardened.allow(host)), (Ok(true), Ok(false)), "{host}");
        }
        assert_eq!((open.allow("evil.test"), hardened.allow("app.example.com")), (Ok(false), Ok(true)));
        assert_eq!(hardened.shown().as_deref(), Some("app.example.com"));
    }

    #[test]
    fn a_list_with_a_slip_is_refused() {
        for text in [",", "https://app.example.com", "app.example.com/x", "*.", "*.a:80", "a*", "a:port"] {
            assert!(AllowedHosts::parse(text).is_err(), "{text}");
        }
    }
}
