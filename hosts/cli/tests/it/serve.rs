//! `saas serve`.
#![cfg(feature = "sqlite")]

use crate::harness::{Place, Server};

#[test]
fn it_serves_until_it_is_told_to_stop() {
    for signal in ["TERM", "INT"] {
        let place = Place::empty();
        let server = Server::start(&place);
        let (code, said) = server.stop(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("\"message\":\"stopped\""), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_exits_1_and_wrong_settings_exit_2() {
    let place = Place::empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let done = place.run_with(&["serve"], &[("PORT", &port)]);
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stderr.contains(&format!("saas: cannot listen on 127.0.0.1:{port}")), "{done}");
    assert_eq!(place.run_with(&["serve"], &[("PORT", "no port")]).code, 2);
}
