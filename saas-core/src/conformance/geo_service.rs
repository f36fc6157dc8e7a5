//! The contract of [`GeoLocator`], as far as it is about the service on the other side: for locators that have one.

use std::{any::Any, fmt::Debug, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{Fault, GeoError, GeoLocator, fault::chain};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`GeoLocator`](crate::GeoLocator) that has a service on the other side: takes the path of an
    /// `async fn() -> GeoServiceSubject`, makes a test of each line of its contract that is about the service.
    geo_service_conformance, saas_core, geo_service, GeoServiceSubject,
    [
        what_the_service_cannot_answer_is_an_error_that_says_which,
        after_that_the_next_address_is_found,
        no_error_shows_an_address_or_a_secret,
    ]
}

/// How a service behaves. Where it says something, it repeats the address that it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It answers.
    Answers,
    /// It does not know us.
    RefusesUs,
    /// It was asked too often, and says for how long if it can.
    Later(Duration),
    /// It has a failure of its own.
    Fails,
    /// It says what is no answer.
    Rambles,
    /// It ends the connection in the middle of the exchange.
    BreaksOff,
}

/// The service: a server of the test's own, which speaks its protocol.
#[async_trait]
pub trait GeoService: Debug + Send + Sync + 'static {
    /// Behaves so from now on.
    async fn behave(&self, manner: Manner);
}

/// A locator and its service, which answers.
#[derive(Debug)]
pub struct GeoServiceSubject {
    locator: Arc<dyn GeoLocator>,
    service: Arc<dyn GeoService>,
    known: IpAddr,
    secrets: Vec<&'static str>,
    _kept: Box<dyn Any + Send>,
}

impl GeoServiceSubject {
    /// A locator and its service, an address that it knows, and what the locator was given and may show nobody; `kept` is dropped after the
    /// test.
    pub fn new(
        locator: Arc<dyn GeoLocator>,
        service: Arc<dyn GeoService>,
        known: IpAddr,
        secrets: Vec<&'static str>,
        kept: impl Any + Send,
    ) -> Self {
        Self { locator, service, known, secrets, _kept: Box::new(kept) }
    }

    async fn failure(&self, manner: Manner) -> GeoError {
        self.service.behave(manner).await;
        self.locator.locate(self.known).await.expect_err("a service in trouble knows nothing")
    }
}

const WAIT: Duration = Duration::from_secs(17);

const TROUBLES: [Manner; 5] =
    [Manner::RefusesUs, Manner::Later(WAIT), Manner::Fails, Manner::Rambles, Manner::BreaksOff];

async fn what_the_service_cannot_answer_is_an_error_that_says_which(subject: GeoServiceSubject) {
    for manner in TROUBLES {
        let error = subject.failure(manner).await;
        let right = match manner {
            Manner::RefusesUs => matches!(error, GeoError::Refused),
            Manner::Later(wait) => {
                matches!(error, GeoError::Later { .. })
                    && error.report().retry_after.is_none_or(|told| told == wait)
            }
            _ => matches!(error, GeoError::Unavailable(_) | GeoError::Later { retry_after: None }),
        };
        assert!(right, "{manner:?}: {error:?}");
    }
}

async fn after_that_the_next_address_is_found(subject: GeoServiceSubject) {
    for manner in TROUBLES {
        subject.failure(manner).await;
        subject.service.behave(Manner::Answers).await;
        assert!(subject.locator.locate(subject.known).await.unwrap().is_some(), "after {manner:?}");
    }
}

async fn no_error_shows_an_address_or_a_secret(subject: GeoServiceSubject) {
    for manner in TROUBLES {
        let error = subject.failure(manner).await;
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains(&subject.known.to_string()), "{manner:?}: {shown}");
        for secret in &subject.secrets {
            assert!(!shown.contains(secret), "{manner:?}: {shown}");
        }
    }
}
