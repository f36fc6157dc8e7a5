//! Whom the quotas of networks are counted for.

use saas_core::{Actor, Network};

/// The scope of a client's network: an IPv4 address, or a /64 of IPv6.
pub(super) const ADDRESS: &str = "address";

/// The scope of the network around it.
pub(super) const SUBNET: &str = "subnet";

/// Where somebody is, and what is around it, in bytes to count by. All whose address is not known are one.
pub(super) fn places(actor: &Actor) -> (Vec<u8>, Option<Vec<u8>>) {
    match actor.client.ip.map(Network::of) {
        Some(network) => (network.to_string().into_bytes(), Some(network.around().to_string().into_bytes())),
        None => (b"unknown".to_vec(), None),
    }
}
