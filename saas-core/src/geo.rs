//! Where a network address is, roughly, and the port that says so.

use std::{
    error::Error,
    fmt::{self, Debug},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, Fault, Report, text::clip};

/// Where an address is: what a person recognizes a sign-in of theirs by. It is personal data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The country, in two letters (ISO 3166-1).
    pub country: Option<String>,
    /// The region in it.
    pub region: Option<String>,
    /// The city.
    pub city: Option<String>,
}

impl Place {
    /// The longest name kept, in characters.
    pub const NAME_MAX: usize = 100;

    /// A place as a source gives it: names are cut and cleaned, and `-` and nothing count as nothing. `None` where nothing is left.
    pub fn new(country: Option<&str>, region: Option<&str>, city: Option<&str>) -> Option<Self> {
        let name = |text: &str| {
            let text = text.trim();
            (!text.is_empty() && text != "-").then(|| clip(text, Self::NAME_MAX))
        };
        let is_code = |code: &&str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        let place = Self {
            country: country.map(str::trim).filter(is_code).map(str::to_ascii_uppercase),
            region: region.and_then(name),
            city: city.and_then(name),
        };
        (place.country.is_some() || place.region.is_some() || place.city.is_some()).then_some(place)
    }
}

/// `Cambridge, England, GB`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> =
            [&self.city, &self.region, &self.country].into_iter().flatten().map(String::as_str).collect();
        f.write_str(&known.join(", "))
    }
}

impl Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place([redacted])")
    }
}

/// Why it is not known where an address is. It shows no address and no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeoError {
    /// The source does not know us: its credentials are wrong.
    #[error("the location service refused our credentials")]
    Refused,
    /// The source cannot answer now.
    #[error("the location service cannot answer now")]
    Later {
        /// No sooner than then, if it said so.
        retry_after: Option<Duration>,
    },
    /// The source cannot be reached, did not answer in time, or is damaged.
    #[error("the location source does not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl GeoError {
    /// A source that does not answer.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl Fault for GeoError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Refused => Report::new(ErrorKind::Forbidden, "geo_refused"),
            Self::Later { retry_after } => {
                let report = Report::new(ErrorKind::Unavailable, "geo_later");
                retry_after.map_or(report, |wait| report.with_retry_after(wait))
            }
            Self::Unavailable(_) => Report::new(ErrorKind::Unavailable, "geo_unavailable"),
        }
    }
}

/// Says where addresses are.
///
/// It is called by jobs, never while somebody waits, and with addresses of the public Internet alone ([`is_public`]), whose end may be
/// zeros: where somebody is does not depend on it.
///
/// # Contract
/// - An address that the source knows is where the source says.
/// - An address that it does not know is `None`.
/// - An IPv4 address that is written as IPv6 is the IPv4 one.
/// - Of addresses that are asked for beside each other each gets its own place.
/// - Its `Debug` shows no secret of the source's.
///
/// One with a service on the other side also keeps these:
///
/// - What the service cannot answer now, or not to us, is an error that says which, and never a place or `None`.
/// - After that the next address is found once the service answers again.
/// - No error shows an address or a secret.
#[async_trait]
pub trait GeoLocator: Debug + Send + Sync + 'static {
    /// Where the address is; `None` where the source does not know.
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError>;
}

/// Whether an address is one of the public Internet's: no source knows others, and none is to hear of them (RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let protocols = a == 192 && b == 0 && c == 0;
    !(a == 0
        || a >= 240
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || shared
        || benchmarks
        || protocols)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let documentation = (a == 0x2001 && b == 0xdb8) || a == 0x3fff;
    // 2000::/3 is all that has been given out; 2001::/23 is for protocols.
    a & 0xe000 == 0x2000 && !documentation && !(a == 0x2001 && b < 0x200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_what_is_known_and_nothing_that_could_harm() {
        let place = Place::new(Some("gb"), Some("England"), Some("Cam\u{1b}bridge"));
        assert_eq!(place.map(|place| place.to_string()).as_deref(), Some("Cam\u{fffd}bridge, England, GB"));
        let place = Place::new(Some("Great Britain"), Some(" - "), Some(&"x".repeat(300)));
        assert_eq!(
            place.map(|place| (place.country, place.region, place.city.map(|city| city.len()))),
            Some((None, None, Some(100)))
        );
        assert_eq!(Place::new(Some("-"), Some("-"), None), None);
        assert!(Place::new(Some("GB"), None, None).is_some_and(|place| !format!("{place:?}").contains("GB")));
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_asked_for() {
        for public in
            ["8.8.8.8", "2a00:1450::1", "::ffff:8.8.8.8", "172.15.0.1", "100.128.0.1", "2001:4860:4860::8888"]
        {
            assert!(public.parse().is_ok_and(is_public), "{public}");
        }
        for other in [
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            assert!(other.parse().is_ok_and(|address| !is_public(address)), "{other}");
        }
    }
}
