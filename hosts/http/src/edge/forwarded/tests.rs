use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// The clients that a line names, the last first.
fn clients(line: &[u8]) -> Vec<Option<String>> {
    let mut headers = HeaderMap::new();
    headers.insert(header::FORWARDED, HeaderValue::from_bytes(line).expect("the line may stand in a header"));
    hops(&headers).map(|hop| hop.client.map(|client| client.to_string())).collect()
}

fn last(line: &str) -> Option<String> {
    clients(line.as_bytes()).swap_remove(0)
}

#[test]
fn the_examples_of_rfc_7239_are_read() {
    for (line, client) in [
        ("For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60")),
        ("for=192.0.2.43, for=198.51.100.17", Some("198.51.100.17")),
        ("for=\"192.0.2.43:47011\"", Some("192.0.2.43")),
        ("for=\"[2001:db8:cafe::17]:47011\"", Some("2001:db8:cafe::17")),
        ("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown", None),
        ("for=_hidden, for=_SEVKISEK", None),
        ("for=\"_gazonk\"", None),
        ("for=\"192.0.2.43:_port\"", Some("192.0.2.43")),
    ] {
        assert_eq!(last(line).as_deref(), client, "{line}");
    }
}

#[test]
fn what_is_not_understood_is_no_address() {
    for line in [
        "",
        "for",
        "for=",
        "for=\"\"",
        "for=999.0.0.1",
        "for=\"2001:db8::1\"",
        "for=\"[2001:db8::1\"",
        "for=\"[2001:db8::1]x\"",
        "for=\"[2001:db8::1]:\"",
        "for=\"[192.0.2.1]\"",
        "for=\"192.0.2.1:123456\"",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;nonsense",
        "for=\"192.0.2.1",
        "for=192.0.2.1\"",
        "for=fe80::1%eth0",
        "host=example.com",
    ] {
        assert_eq!(last(line), None, "{line}");
    }
}

#[test]
fn a_mapped_address_is_ipv4_and_an_escape_is_the_letter_behind_it() {
    assert_eq!(last("for=\"[::ffff:192.0.2.1]\"").as_deref(), Some("192.0.2.1"));
    assert_eq!(last("for=\"192\\.0.2.1\"").as_deref(), Some("192.0.2.1"));
    assert_eq!(last("for=\"192.0.2.1\\\"").as_deref(), None);
}

#[test]
fn a_quote_that_a_client_left_open_does_not_hide_what_the_proxy_wrote() {
    for line in ["for=\", for=192.0.2.1", "for=\"a\\\", for=192.0.2.1", "a;b\"=\"\"\",;=, for=192.0.2.1"] {
        assert_eq!(last(line).as_deref(), Some("192.0.2.1"), "{line}");
    }
    // And a comma in the proxy's own quotes does not end what it wrote.
    assert_eq!(last("for=192.0.2.1;ext=\"a,b;for=192.0.2.9\"").as_deref(), Some("192.0.2.1"));
}

proptest! {
    #[test]
    fn whatever_a_client_wrote_before_it_the_proxys_word_is_the_last(
        wrote in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b','), Just(b';'), Just(b'='), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..64),
        client in any::<IpAddr>(),
        port in proptest::option::of(any::<u16>()),
    ) {
        let node = match client { IpAddr::V4(v4) => v4.to_string(), IpAddr::V6(v6) => format!("[{v6}]") };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let word = format!(", proto=https;for=\"{node}{port}\";by=_us");
        let line = [wrote, word.into_bytes()].concat();
        prop_assert_eq!(clients(&line).swap_remove(0), Some(client.to_canonical().to_string()));
    }

    #[test]
    fn an_address_is_read_back_however_it_is_written(client in any::<IpAddr>(), port in any::<u16>()) {
        let with_port = std::net::SocketAddr::new(client, port).to_string();
        for text in [client.to_string(), with_port] {
            prop_assert_eq!(address(text.as_bytes()), Some(client.to_canonical()));
        }
    }

    #[test]
    fn nothing_that_may_stand_in_a_header_is_too_much(line in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b','), Just(b'['), 0x20..0x7f_u8], 0..256)) {
        prop_assert!(clients(&line).len() <= line.len() + 1);
        let _ = address(&line);
    }
}
