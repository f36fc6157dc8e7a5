//! The list as a service.

use std::{sync::Arc, time::Duration};

use saas_auth::{BreachedPasswords, conformance::breached_passwords::BreachedPasswordsSubject as Subject};
use saas_auth_breached::{BreachedRange, BreachedRangeConfig};
use saas_core::{clock::ManualClock, fault::chain};

use crate::{
    password,
    range_server::{Manner, RangeServer},
    sha1,
};

fn client(url: &str, clock: &Arc<ManualClock>) -> BreachedRange {
    let config = BreachedRangeConfig::new(url).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let http = config.client_builder().tls_backend_preconfigured(tls).build().unwrap();
    BreachedRange::new(http, config, clock.clone())
}

async fn subject() -> Subject {
    let (server, clock) = (RangeServer::start().await, Arc::new(ManualClock::default()));
    // A port that nobody listens on.
    let away = client("http://127.0.0.1:1", &clock);
    Subject::new(Arc::new(client(&server.url(), &clock)), Some(Arc::new(away)), server)
}

saas_auth::breached_passwords_conformance!(subject);

#[tokio::test]
async fn the_service_is_told_five_digits_and_asked_to_pad() {
    let (server, clock) = (RangeServer::start().await, Arc::new(ManualClock::default()));
    let list = client(&server.url(), &clock);
    assert!(list.is_breached(&password("password")).await.unwrap());
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(request.starts_with("GET /range/5BAA6 HTTP/1.1\r\n"), "{request}");
    let request = request.to_lowercase();
    assert!(
        request.contains("add-padding: true") && request.contains("user-agent: saas-auth-breached/"),
        "{request}"
    );
    assert!(!request.contains("1e4c9"), "the sixth digit stays here: {request}");
}

#[tokio::test]
async fn a_line_of_padding_is_nobodys_password() {
    let (server, clock) = (RangeServer::start().await, Arc::new(ManualClock::default()));
    let list = client(&server.url(), &clock);
    let text = "zebra gulps blue ink";
    let suffix = &sha1(text)[5..];
    for (count, breached) in [("0", false), ("1", true)] {
        server.behave(Manner::Says(200, format!("{}:5\r\n{suffix}:{count}", "0".repeat(35))));
        assert_eq!(list.is_breached(&password(text)).await.unwrap(), breached, "a count of {count}");
        clock.advance(BreachedRangeConfig::REMEMBERED_FOR);
    }
}

#[tokio::test]
async fn what_was_fetched_is_remembered_until_it_is_old() {
    let (server, clock) = (RangeServer::start().await, Arc::new(ManualClock::default()));
    let list = client(&server.url(), &clock);
    for _ in 0..3 {
        assert!(list.is_breached(&password("password")).await.unwrap());
    }
    assert_eq!(server.requests().len(), 1);
    clock.advance(BreachedRangeConfig::REMEMBERED_FOR);
    assert!(list.is_breached(&password("password")).await.unwrap());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn what_is_no_range_is_an_error_and_is_not_remembered() {
    let (server, clock) = (RangeServer::start().await, Arc::new(ManualClock::default()));
    let list = client(&server.url(), &clock);
    let digest = sha1("password");
    for (status, body, told) in [
        (429, "", "429"),
        (503, "", "503"),
        (500, "oh", "500"),
        (301, "", "301"),
        (404, "", "404"),
        (204, "", "204"),
        (200, "", "no range"),
        (200, "<html>log in to this network</html>", "no range"),
        (200, "1E4C9B93F3F0682250B6CF8331B7EE68FD:1", "no range"),
        (200, "1E4C9B93F3F0682250B6CF8331B7EE68FD8:many", "no range"),
    ] {
        server.behave(Manner::Says(status, body.to_owned()));
        let error = list.is_breached(&password("password")).await.unwrap_err();
        let shown = chain(&error);
        assert!(shown.contains(told), "{shown}");
        assert!(!shown.contains("127.0.0.1") && !shown.contains(&digest[..5]), "{shown}");
    }
    server.behave(Manner::Floods);
    assert!(list.is_breached(&password("password")).await.is_err(), "a body without end ends");
    server.behave(Manner::Answers);
    assert!(list.is_breached(&password("password")).await.unwrap(), "it is asked again");
}

#[tokio::test]
async fn a_service_that_says_nothing_is_not_waited_for() {
    let (server, clock) = (RangeServer::start().await, Arc::new(ManualClock::default()));
    let list = client(&server.url(), &clock);
    server.behave(Manner::Hangs);
    let typed = password("password");
    let asked = list.is_breached(&typed);
    let passing = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(2));
    };
    let (answer, ()) = tokio::join!(asked, passing);
    assert!(chain(&answer.unwrap_err()).contains("within 2s"));
}
