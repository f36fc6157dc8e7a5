//! The list as a service that gives out the part of it that a password would be in. Its reference was read, and what it answers is written
//! down in the tests; it was not tried live.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use quick_cache::sync::Cache;
use saas_auth::{BreachedPasswords, Password, password::BreachedError};
use saas_core::{Clock, clock::within};

use crate::digest::{DIGITS, digest, line};

mod config;

pub use config::{BreachedRangeConfig, InvalidBreachedRangeConfig};

/// What is told of a password: so many digits of its SHA-1, which thousands of others share.
const TOLD: usize = 5;
/// The digits that are not.
const KEPT: usize = DIGITS - TOLD;

/// A range has about two thousand lines of forty bytes with its padding.
const LARGEST_ANSWER: usize = 512 * 1024;

/// [`BreachedPasswords`] over `GET /range/{first five hash digits}` of Have I Been Pwned ("API v3", "Searching by range"), or of whoever
/// speaks like it.
///
/// - The service learns five hex digits of the password's SHA-1 and nothing else; it pads its answers, so that neither their length tells
///   whoever watches the line which digits were asked for. Lines with a count of 0 are padding.
/// - It tries once, within the time-out. What is no range is an error.
/// - Ranges that were fetched are remembered: so many of them, for so long.
pub struct BreachedRange {
    http: reqwest::Client,
    config: BreachedRangeConfig,
    clock: Arc<dyn Clock>,
    remembered: Cache<[u8; TOLD], Arc<Range>>,
}

/// The rest of the hashes that begin with the same digits, in order.
struct Range {
    hashes: Vec<[u8; KEPT]>,
    fetched: Duration,
}

/// What went wrong. Neither the address nor the digits are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("no connection came about")]
    Connect,
    #[error("the connection broke off")]
    BrokeOff,
    #[error("no answer came within {0:?}")]
    TimedOut(Duration),
    #[error("the service answers {0}")]
    Status(u16),
    #[error("the answer is no range of hashes")]
    Malformed,
}

impl BreachedRange {
    /// Over a client, best one that begins as [`BreachedRangeConfig::client_builder`]. `clock` counts the time-out.
    pub fn new(http: reqwest::Client, config: BreachedRangeConfig, clock: Arc<dyn Clock>) -> Self {
        let remembered = Cache::new(config.remembered());
        Self { http, config, clock, remembered }
    }

    /// The range, remembered or fetched.
    async fn range(&self, told: [u8; TOLD]) -> Result<Arc<Range>, Trouble> {
        let fresh = |range: &Arc<Range>| {
            self.clock.monotonic().saturating_sub(range.fetched) < BreachedRangeConfig::REMEMBERED_FOR
        };
        if let Some(range) = self.remembered.get(&told).filter(fresh) {
            return Ok(range);
        }
        let limit = self.config.timeout();
        let fetched = within(&*self.clock, limit, self.fetch(told)).await;
        let hashes = fetched.unwrap_or(Err(Trouble::TimedOut(limit)))?;
        let range = Arc::new(Range { hashes, fetched: self.clock.monotonic() });
        self.remembered.insert(told, Arc::clone(&range));
        Ok(range)
    }

    async fn fetch(&self, told: [u8; TOLD]) -> Result<Vec<[u8; KEPT]>, Trouble> {
        let request = self.http.get(self.config.endpoint(told)).header("add-padding", "true");
        // reqwest's own words have the digits in them.
        let mut response = request.send().await.map_err(|error| Trouble::of(&error))?;
        if response.status() != http::StatusCode::OK {
            return Err(Trouble::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::of(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Trouble::Malformed);
            }
            body.extend_from_slice(&chunk);
        }
        hashes(&body).ok_or(Trouble::Malformed)
    }
}

impl Trouble {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() { Self::Connect } else { Self::BrokeOff }
    }
}

/// What an answer has, without its padding, in order; `None` where it is none: there is no range without a hash.
fn hashes(body: &[u8]) -> Option<Vec<[u8; KEPT]>> {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let mut hashes = Vec::new();
    for text in body.split(|byte| *byte == b'\n') {
        let (hash, count) = line(text, KEPT)?;
        let mut digits: [u8; KEPT] = hash.try_into().ok()?;
        digits.make_ascii_uppercase();
        if count > 0 {
            hashes.push(digits);
        }
    }
    hashes.sort_unstable();
    Some(hashes)
}

#[async_trait]
impl BreachedPasswords for BreachedRange {
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError> {
        let digest = digest(password);
        let (mut told, mut kept) = ([0; TOLD], [0; KEPT]);
        told.copy_from_slice(&digest[..TOLD]);
        kept.copy_from_slice(&digest[TOLD..]);
        let range = self.range(told).await.map_err(BreachedError::new)?;
        Ok(range.hashes.binary_search(&kept).is_ok())
    }
}

impl fmt::Debug for BreachedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreachedRange").field("config", &self.config).finish_non_exhaustive()
    }
}
