//! Whom an address stands for.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The network that one client is taken to be: an address of IPv4, or a /64 of IPv6, which is what a subscriber has (RFC 6177).
///
/// Whatever is counted per address is counted by this: who has a /64 has 2^64 addresses, and would not notice a limit on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network that `address` is in; an IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 one.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }

    /// The first address of the network around it, which one provider or one office has: the /24 of an IPv4 address, the /48 of IPv6.
    pub fn around(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        }
    }

    /// Its first address.
    pub const fn address(self) -> IpAddr {
        self.0
    }
}

/// `192.0.2.1`, `2001:db8:1:2::/64`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Network> {
        text.parse().ok().map(Network::of)
    }

    #[test]
    fn a_64_of_ipv6_is_one_client_and_a_mapped_address_is_ipv4() {
        assert!(of("192.0.2.1").is_some());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn around_a_network_is_a_24_or_a_48() {
        let around = |text| of(text).map(|network| network.around().to_string()).unwrap_or_default();
        assert_eq!(around("192.0.2.77"), "192.0.2.0");
        assert_eq!(around("::ffff:192.0.2.77"), "192.0.2.0");
        assert_eq!(around("2001:db8:1:2:3::4"), "2001:db8:1::");
    }

    #[test]
    fn a_network_is_written_as_operators_write_it() {
        let written = |text| of(text).map(|network| network.to_string()).unwrap_or_default();
        assert_eq!(written("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(written("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
    }
}
