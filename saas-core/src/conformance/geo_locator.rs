//! The contract of [`GeoLocator`].

use std::{any::Any, net::IpAddr, sync::Arc};

use super::at_once;
use crate::{GeoLocator, Place};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`GeoLocator`](crate::GeoLocator): takes the path of an `async fn() -> GeoLocatorSubject`, makes a test of each line of its
    /// contract.
    geo_locator_conformance, saas_core, geo_locator, GeoLocatorSubject,
    [
        an_address_that_the_source_knows_is_where_it_says,
        an_address_that_it_does_not_know_is_none,
        an_ipv4_address_that_is_written_as_ipv6_is_the_ipv4_one,
        of_addresses_asked_for_beside_each_other_each_gets_its_own_place,
        its_debug_shows_no_secret,
    ]
}

/// A locator and what its source knows.
#[derive(Debug)]
pub struct GeoLocatorSubject {
    locator: Arc<dyn GeoLocator>,
    known: Vec<(IpAddr, Place)>,
    unknown: IpAddr,
    secrets: Vec<&'static str>,
    _kept: Box<dyn Any + Send>,
}

impl GeoLocatorSubject {
    /// A locator whose source knows these addresses, two at least and an IPv4 one among them, in different places, and not that one; `kept`
    /// is dropped after the test.
    ///
    /// # Panics
    /// Where the addresses are not that.
    pub fn new(
        locator: Arc<dyn GeoLocator>,
        known: Vec<(IpAddr, Place)>,
        unknown: IpAddr,
        kept: impl Any + Send,
    ) -> Self {
        assert!(known.len() >= 2 && known[0].1 != known[1].1, "two addresses in two places");
        Self { locator, known, unknown, secrets: Vec::new(), _kept: Box::new(kept) }
    }

    /// With what the locator was given and may show nobody.
    #[must_use]
    pub fn with_secrets(self, secrets: Vec<&'static str>) -> Self {
        Self { secrets, ..self }
    }
}

async fn an_address_that_the_source_knows_is_where_it_says(subject: GeoLocatorSubject) {
    for (address, place) in &subject.known {
        for _ in 0..2 {
            assert_eq!(subject.locator.locate(*address).await.unwrap().as_ref(), Some(place), "{address}");
        }
    }
}

async fn an_address_that_it_does_not_know_is_none(subject: GeoLocatorSubject) {
    for _ in 0..2 {
        assert_eq!(subject.locator.locate(subject.unknown).await.unwrap(), None);
    }
}

async fn an_ipv4_address_that_is_written_as_ipv6_is_the_ipv4_one(subject: GeoLocatorSubject) {
    let mut found = 0;
    for (address, place) in &subject.known {
        if let IpAddr::V4(address) = address {
            found += 1;
            let mapped = IpAddr::V6(address.to_ipv6_mapped());
            assert_eq!(subject.locator.locate(mapped).await.unwrap().as_ref(), Some(place));
        }
    }
    assert!(found > 0, "the subject knows no IPv4 address");
}

async fn of_addresses_asked_for_beside_each_other_each_gets_its_own_place(subject: GeoLocatorSubject) {
    let count = subject.known.len();
    let found = at_once(32, |index| subject.locator.locate(subject.known[index % count].0)).await;
    for (index, place) in found.into_iter().enumerate() {
        assert_eq!(place.unwrap().as_ref(), Some(&subject.known[index % count].1));
    }
}

async fn its_debug_shows_no_secret(subject: GeoLocatorSubject) {
    let shown = format!("{:?}", subject.locator);
    for secret in subject.secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
}
