//! What was asked just now is not asked again.

use std::{sync::Arc, time::Duration};

use saas_core::{
    GeoLocator,
    clock::ManualClock,
    conformance::geo_service::{GeoService, Manner},
};
use saas_geo::Remembered;

use crate::{ipinfo::client, ipinfo_server::IpInfoServer};

#[tokio::test]
async fn an_answer_is_remembered_for_its_time_and_a_failure_is_not() {
    let (server, clock) = (IpInfoServer::start().await, Arc::new(ManualClock::default()));
    let inner = client(&server, clock.clone());
    let locator = Remembered::new(Arc::new(inner), clock.clone(), 100, Duration::from_mins(15));
    let (known, unknown) = ("8.8.8.8".parse().unwrap(), "9.9.9.9".parse().unwrap());
    server.behave(Manner::Fails).await;
    assert!(locator.locate(known).await.is_err());
    server.behave(Manner::Answers).await;
    for _ in 0..3 {
        assert!(locator.locate(known).await.unwrap().is_some());
        assert!(locator.locate(unknown).await.unwrap().is_none());
    }
    assert_eq!(server.asked().len(), 3, "one failure, one place, one nothing");
    clock.advance(Duration::from_mins(15));
    assert!(locator.locate(known).await.unwrap().is_some());
    assert_eq!(server.asked().len(), 4);
}
