//! `GeoLocator`: what breaks its contract is noticed. The adapters are held against it in saas-core/geo, beside the files that they need.

use std::{
    fmt::{self, Debug},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    GeoError, GeoLocator, Place,
    conformance::{
        geo_locator::{self, GeoLocatorSubject},
        geo_service::{self, GeoService, GeoServiceSubject, Manner},
    },
};

use crate::conformance::broken::assert_noticed;

const SECRET: &str = "the-token-of-the-service";
const LONDON: &str = "81.2.69.160";
const KYOTO: &str = "2001:218::1";
const NOWHERE: &str = "8.8.8.8";

/// A locator of two addresses that behaves as its service does, but for one line of the contract.
struct Broken {
    line: &'static str,
    manner: Mutex<Manner>,
    /// What was asked for last.
    last: Mutex<Option<IpAddr>>,
}

impl Broken {
    fn new(line: &'static str) -> Self {
        Self { line, manner: Mutex::new(Manner::Answers), last: Mutex::default() }
    }

    fn breaks(&self, line: &str) -> bool {
        self.line.starts_with(line)
    }

    /// What the manner of the service means, rightly or wrongly.
    fn trouble(&self, address: IpAddr) -> Option<GeoError> {
        let manner = *self.manner.lock().unwrap();
        if self.breaks("no_error") && manner != Manner::Answers {
            return Some(GeoError::unavailable(format!("nothing is known of {address} with {SECRET}")));
        }
        match manner {
            Manner::Answers => None,
            // As if the service did not know the address.
            Manner::RefusesUs | Manner::Later(_) if self.breaks("what_the_service") => {
                Some(GeoError::unavailable("no answer"))
            }
            Manner::RefusesUs => Some(GeoError::Refused),
            Manner::Later(wait) => Some(GeoError::Later { retry_after: Some(wait) }),
            _ => Some(GeoError::unavailable("no answer")),
        }
    }
}

impl Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.breaks("its_debug") { SECRET } else { "Broken" })
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn london() -> Place {
    Place::new(Some("GB"), Some("England"), Some("London")).unwrap()
}

fn kyoto() -> Place {
    Place::new(Some("JP"), None, Some("Kyoto")).unwrap()
}

#[async_trait]
impl GeoLocator for Broken {
    async fn locate(&self, asked: IpAddr) -> Result<Option<Place>, GeoError> {
        if let Some(error) = self.trouble(asked) {
            if self.breaks("after_that") {
                // What went wrong once goes wrong for ever.
                *self.last.lock().unwrap() = Some(asked);
            }
            return Err(error);
        }
        if self.breaks("after_that") && self.last.lock().unwrap().is_some() {
            return Err(GeoError::unavailable("no answer"));
        }
        let mut asked = if self.breaks("an_ipv4_address") { asked } else { asked.to_canonical() };
        if self.breaks("of_addresses_asked_for_beside") {
            // The answer of whoever asks at the same time.
            *self.last.lock().unwrap() = Some(asked);
            tokio::task::yield_now().await;
            asked = self.last.lock().unwrap().unwrap();
        }
        let known = match asked {
            it if it == address(LONDON) => Some(london()),
            it if it == address(KYOTO) => Some(kyoto()),
            _ if self.breaks("an_address_that_it_does_not_know") => Some(london()),
            _ => None,
        };
        if self.breaks("an_address_that_the_source_knows") {
            return Ok(known.and_then(|place| Place::new(place.country.as_deref(), None, None)));
        }
        Ok(known)
    }
}

#[async_trait]
impl GeoService for Broken {
    async fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }
}

fn locator(broken: Broken) -> GeoLocatorSubject {
    let known = vec![(address(LONDON), london()), (address(KYOTO), kyoto())];
    GeoLocatorSubject::new(Arc::new(broken), known, address(NOWHERE), ()).with_secrets(vec![SECRET])
}

fn service(broken: Broken) -> GeoServiceSubject {
    let broken = Arc::new(broken);
    GeoServiceSubject::new(Arc::<Broken>::clone(&broken), broken, address(LONDON), vec![SECRET], ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locator_that_breaks_a_line_is_noticed() {
    for line in geo_locator::LINES {
        assert_noticed(line, geo_locator::check(line, locator(Broken::new(line)))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locator_that_breaks_a_line_about_its_service_is_noticed() {
    for line in geo_service::LINES {
        assert_noticed(line, geo_service::check(line, service(Broken::new(line)))).await;
    }
}

/// So that what is noticed is what is broken, and not the stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_locator_without_a_broken_line_passes() {
    for line in geo_locator::LINES {
        geo_locator::check(line, locator(Broken::new(""))).await;
    }
    for line in geo_service::LINES {
        geo_service::check(line, service(Broken::new(""))).await;
    }
}

/// A wait is told as it was, or not at all.
#[tokio::test]
async fn another_wait_than_the_services_is_noticed() {
    #[derive(Debug)]
    struct Hasty(Broken);

    #[async_trait]
    impl GeoLocator for Hasty {
        async fn locate(&self, asked: IpAddr) -> Result<Option<Place>, GeoError> {
            match self.0.locate(asked).await {
                Err(GeoError::Later { .. }) => {
                    Err(GeoError::Later { retry_after: Some(Duration::from_secs(1)) })
                }
                other => other,
            }
        }
    }

    #[async_trait]
    impl GeoService for Hasty {
        async fn behave(&self, manner: Manner) {
            self.0.behave(manner).await;
        }
    }

    let line = geo_service::LINES[0];
    let hasty = Arc::new(Hasty(Broken::new("")));
    let subject = GeoServiceSubject::new(Arc::<Hasty>::clone(&hasty), hasty, address(LONDON), Vec::new(), ());
    assert_noticed(line, geo_service::check(line, subject)).await;
}
