//! A locator that asks its source once in a while.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use quick_cache::sync::Cache;
use saas_core::{Clock, GeoError, GeoLocator, Network, Place};

/// Another locator, whose answers are remembered for a while: `None` as well, failures never.
pub struct Remembered {
    inner: Arc<dyn GeoLocator>,
    clock: Arc<dyn Clock>,
    age: Duration,
    /// What was said of a network, and until when it is believed, by the monotonic clock.
    answers: Cache<Network, (Duration, Option<Place>)>,
}

impl Remembered {
    /// Over another, at most `entries` answers, each for at most `age`.
    pub fn new(inner: Arc<dyn GeoLocator>, clock: Arc<dyn Clock>, entries: usize, age: Duration) -> Self {
        Self { inner, clock, age, answers: Cache::new(entries) }
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered")
            .field("inner", &self.inner)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl GeoLocator for Remembered {
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        let (network, now) = (Network::of(address), self.clock.monotonic());
        if let Some((until, place)) = self.answers.get(&network)
            && now < until
        {
            return Ok(place);
        }
        let place = self.inner.locate(network.address()).await?;
        self.answers.insert(network, (now + self.age, place.clone()));
        Ok(place)
    }
}
