//! The proxies that are believed.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{SettingValue, TextList};

/// Networks whose machines tell the truth about who called them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyNetworks(Vec<IpNet>);

impl ProxyNetworks {
    /// Whether the machine at `address` is one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl SettingValue for ProxyNetworks {
    const KIND: &'static str = "list of addresses and networks, as 10.0.0.0/8,fd00::/8";

    fn parse(text: &str) -> Result<Self, String> {
        TextList::parse(text)?.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => {
            text.parse().map_err(|_| "has an entry that is neither an IP address nor a network".to_owned())?
        }
    };
    if network.trunc() != network {
        return Err("has a network whose address goes on after its prefix".to_owned());
    }
    if network.prefix_len() == 0 {
        return Err("has a network of everybody: then anybody could say who they are".to_owned());
    }
    if matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        return Err("has a network of IPv4 that is written as IPv6".to_owned());
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, ProxyNetworks, SettingValue};

    #[test]
    fn addresses_and_networks_of_both_families_are_believed_and_no_others() {
        let proxies = ProxyNetworks::parse("10.0.0.0/8, 192.0.2.7,fd00::/8,::ffff:192.0.2.9");
        let contains = |text: &str| {
            let address: IpAddr = text.parse().unwrap_or_else(|_| panic!("{text} is an address"));
            proxies.as_ref().is_ok_and(|proxies| proxies.contain(address))
        };
        for text in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.7", "fd12::1", "192.0.2.9"] {
            assert!(contains(text), "{text}");
        }
        for text in ["11.0.0.1", "192.0.2.8", "fe80::1", "::1", "::ffff:192.0.2.8"] {
            assert!(!contains(text), "{text}");
        }
        assert_eq!(
            proxies.map(|proxies| proxies.shown().unwrap_or_default()),
            Ok("10.0.0.0/8,192.0.2.7/32,fd00::/8,192.0.2.9/32".to_owned())
        );
    }

    #[test]
    fn what_would_trust_too_many_or_is_a_slip_is_refused() {
        for text in [
            "0.0.0.0/0",
            "::/0",
            "10.0.0.1/8",
            "proxy.example.com",
            "10.0.0.0/33",
            "::ffff:10.0.0.0/104",
            ",",
        ] {
            assert!(ProxyNetworks::parse(text).is_err(), "{text}");
        }
    }
}
