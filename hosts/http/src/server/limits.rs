//! What the server puts up with.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use saas_kit::settings::{ProxyNetworks, Settings};

/// Connections to the database take descriptors for its files, too.
const DESCRIPTORS_PER_DATABASE_CONNECTION: u64 = 4;
/// What a process has open beside connections: logs, listeners, the runtime's own, calls to models.
const OTHER_DESCRIPTORS: u64 = 128;
/// An idle connection takes some 30 KiB: more of them than this is somebody's decision.
const MOST_BY_DEFAULT: u64 = 8_192;
const FEWEST_BY_DEFAULT: u64 = 16;
/// What one address gets, however few there are.
const ADDRESS_FEWEST: usize = 64;

/// The limits of one server.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) head_timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) write_timeout: Duration,
    pub(super) head_bytes: usize,
    pub(super) headers: usize,
    pub(super) streams: u32,
    pub(super) connections: usize,
    /// None where one address may have them all.
    pub(super) per_address: Option<usize>,
    /// The proxies that the limit on an address is not for.
    pub(super) proxies: Option<ProxyNetworks>,
}

impl Limits {
    /// As the settings say, and as the limit on descriptors allows.
    pub(super) fn of(settings: &Settings) -> Self {
        let room = room(getrlimit(Resource::Nofile).current, settings.database_pool_size.into());
        let connections = settings.max_connections.unwrap_or_else(|| {
            usize::try_from(room.clamp(FEWEST_BY_DEFAULT, MOST_BY_DEFAULT)).unwrap_or(usize::MAX)
        });
        if u64::try_from(connections).is_ok_and(|connections| connections > room) {
            tracing::warn!(
                limit = "MAX_CONNECTIONS",
                connections,
                room,
                "more connections are allowed than there are descriptors for: raise the limit (ulimit -n)"
            );
        }
        let per_address = settings.max_connections_per_address;
        Self {
            head_timeout: settings.request_head_timeout.duration(),
            keep_alive: settings.keep_alive_timeout.duration(),
            write_timeout: settings.write_timeout.duration(),
            head_bytes: settings.request_head_limit_bytes,
            headers: settings.request_header_limit,
            streams: settings.http2_stream_limit,
            connections,
            per_address: match per_address {
                Some(0) => None,
                Some(most) => Some(most),
                None => Some((connections / 4).max(ADDRESS_FEWEST)),
            },
            proxies: settings.trusted_proxies.clone(),
        }
    }
}

/// How many descriptors are left for connections; without a limit, any number.
fn room(descriptors: Option<u64>, pool: u64) -> u64 {
    let taken = OTHER_DESCRIPTORS + pool * DESCRIPTORS_PER_DATABASE_CONNECTION;
    descriptors.map_or(u64::MAX, |all| all.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_and_files_keep_their_descriptors() {
        assert_eq!(room(Some(1_024), 10), 1_024 - 128 - 40);
        assert_eq!(room(Some(100), 10), 0);
        assert_eq!(room(None, 10), u64::MAX);
    }
}
