//! What trusted proxies say of the client.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use saas_kit::settings::{ForwardedHeader, ProxyNetworks, Settings};

use super::forwarded::{self, Hop};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who is believed, how far, and where it is written.
#[derive(Debug)]
pub(super) struct Proxies {
    networks: Option<ProxyNetworks>,
    hops: usize,
    header: ForwardedHeader,
}

/// What they told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The last address that somebody trusted vouches for.
    pub(super) client: IpAddr,
    /// How the client came, where they told.
    pub(super) over_tls: Option<bool>,
}

impl Proxies {
    /// None where the settings trust nobody.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let (networks, hops) = (settings.trusted_proxies.clone(), settings.trusted_proxy_hops);
        (networks.is_some() || hops.is_some()).then(|| Self {
            networks,
            hops: hops.unwrap_or(usize::MAX),
            header: settings.forwarded_header,
        })
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.networks.as_ref().is_none_or(|networks| networks.contain(address))
    }

    /// Goes from the peer towards the client, one hop at a time, for as long as the one that speaks is trusted. Each hop has written who
    /// called it behind what it was told itself: so the last word is the nearest proxy's, and what a client wrote is never reached. A
    /// word that names no address ends the walk at who said it.
    pub(super) fn ask(&self, peer: IpAddr, headers: &HeaderMap) -> Told {
        let mut told = Told { client: peer.to_canonical(), over_tls: None };
        if !self.trust(told.client) {
            return told;
        }
        if self.header == ForwardedHeader::Forwarded {
            self.walk(&mut told, forwarded::hops(headers));
        } else {
            self.walk(&mut told, x_forwarded(headers));
            told.over_tls = proto(headers);
        }
        told
    }

    fn walk(&self, told: &mut Told, hops: impl Iterator<Item = Hop>) {
        for hop in hops.take(self.hops) {
            if !self.trust(told.client) {
                return;
            }
            if hop.over_tls.is_some() {
                told.over_tls = hop.over_tls;
            }
            let Some(client) = hop.client else { return };
            told.client = client;
        }
    }
}

/// What stands in `X-Forwarded-For`, the last first, on several lines or on one.
fn x_forwarded(headers: &HeaderMap) -> impl Iterator<Item = Hop> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(|word| Hop { client: forwarded::address(word.trim_ascii()), over_tls: None })
}

/// The nearest proxy's word on how its client came.
fn proto(headers: &HeaderMap) -> Option<bool> {
    let line = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?;
    forwarded::over_tls(line.as_bytes().rsplit(|byte| *byte == b',').next()?.trim_ascii())
}

#[cfg(test)]
mod tests;
