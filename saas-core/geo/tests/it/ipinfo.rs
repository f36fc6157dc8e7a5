//! IPinfo, against a server that speaks as its reference says.

use std::sync::Arc;

use saas_core::{
    Clock, GeoError, GeoLocator, Secret,
    clock::ManualClock,
    conformance::{geo_locator::GeoLocatorSubject, geo_service::GeoServiceSubject},
};
use saas_geo::{InvalidIpInfoConfig, IpInfo, IpInfoConfig};

use crate::{
    ipinfo_server::{IpInfoServer, TOKEN},
    place,
};

pub(crate) fn client(server: &IpInfoServer, clock: Arc<dyn Clock>) -> IpInfo {
    client_with(server, TOKEN, clock)
}

fn client_with(server: &IpInfoServer, token: &str, clock: Arc<dyn Clock>) -> IpInfo {
    let config =
        IpInfoConfig::new(&Secret::new(token.to_owned())).unwrap().with_base_url(&server.url).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let http = config.client_builder().tls_backend_preconfigured(tls).build().unwrap();
    IpInfo::new(http, config, clock)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

async fn subject() -> GeoLocatorSubject {
    let server = IpInfoServer::start().await;
    let known = vec![
        ("8.8.8.8".parse().unwrap(), place("US", "California", "Mountain View")),
        ("89.160.20.112".parse().unwrap(), place("SE", "Östergötland", "Linköping")),
    ];
    GeoLocatorSubject::new(Arc::new(client(&server, clock())), known, "192.0.2.7".parse().unwrap(), server)
        .with_secrets(vec![TOKEN])
}

saas_core::geo_locator_conformance!(subject);

mod service {
    use super::*;

    async fn subject() -> GeoServiceSubject {
        let server = Arc::new(IpInfoServer::start().await);
        GeoServiceSubject::new(
            Arc::new(client(&server, clock())),
            server,
            "8.8.8.8".parse().unwrap(),
            vec![TOKEN],
            (),
        )
    }

    saas_core::geo_service_conformance!(subject);
}

#[tokio::test]
async fn an_answer_about_another_address_and_a_wrong_token_are_errors() {
    let server = IpInfoServer::start().await;
    let other = client(&server, clock()).locate("1.2.3.4".parse().unwrap()).await;
    assert!(matches!(other, Err(GeoError::Unavailable(_))), "{other:?}");
    let wrong = client_with(&server, "another", clock()).locate("8.8.8.8".parse().unwrap()).await;
    assert!(matches!(wrong, Err(GeoError::Refused)), "{wrong:?}");
}

#[test]
fn a_token_that_no_header_can_hold_is_refused() {
    for token in ["", "  ", "a b", "a\r\nb"] {
        let error = IpInfoConfig::new(&Secret::new(token.to_owned())).err();
        assert_eq!(error, Some(InvalidIpInfoConfig::Token), "{token:?}");
    }
    let config = IpInfoConfig::new(&Secret::new(" t ".to_owned())).unwrap();
    for url in ["", "ftp://x", "https://"] {
        assert!(config.clone().with_base_url(url).is_err(), "{url}");
    }
}
