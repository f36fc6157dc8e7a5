use http::HeaderValue;
use saas_kit::settings::SettingValue as _;

use super::*;

fn proxies(networks: Option<&str>, hops: usize, header: ForwardedHeader) -> Proxies {
    let networks = networks.map(|text| ProxyNetworks::parse(text).expect("the networks are well written"));
    Proxies { networks, hops, header }
}

/// The client and the scheme that this peer and these headers stand for.
fn told(proxies: &Proxies, peer: &str, lines: &[(&str, &str)]) -> (String, Option<bool>) {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let told = proxies.ask(peer.parse().expect("an address"), &headers);
    (told.client.to_string(), told.over_tls)
}

const XFF: &str = "x-forwarded-for";

fn client(proxies: &Proxies, peer: &str, forwarded: &[&str]) -> String {
    let lines: Vec<_> = forwarded.iter().map(|value| (XFF, *value)).collect();
    told(proxies, peer, &lines).0
}

#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
    let proxies = proxies(Some("10.0.0.0/8"), usize::MAX, ForwardedHeader::XForwardedFor);
    let lines =
        [(XFF, "192.0.2.1"), ("forwarded", "for=192.0.2.1;proto=https"), ("x-forwarded-proto", "https")];
    assert_eq!(told(&proxies, "203.0.113.7", &lines), ("203.0.113.7".to_owned(), None));
    assert_eq!(client(&proxies, "::ffff:203.0.113.7", &["192.0.2.1"]), "203.0.113.7");
}

#[test]
fn through_one_proxy_the_client_is_who_it_names_and_not_what_the_client_wrote() {
    let proxies = proxies(Some("10.0.0.1"), usize::MAX, ForwardedHeader::XForwardedFor);
    for forwarded in [
        &["198.51.100.1"][..],
        &["192.0.2.1, 198.51.100.1"],
        &["10.0.0.1, 198.51.100.1"],
        &["192.0.2.1", "198.51.100.1"],
        &["\", 198.51.100.1"],
        &["192.0.2.1,,,198.51.100.1:4711"],
    ] {
        assert_eq!(client(&proxies, "10.0.0.1", forwarded), "198.51.100.1", "{forwarded:?}");
    }
    assert_eq!(client(&proxies, "::ffff:10.0.0.1", &["[2001:db8::1]:80"]), "2001:db8::1");
}

#[test]
fn through_two_proxies_each_is_believed_on_who_called_it() {
    let proxies = proxies(Some("10.0.0.0/8,fd00::/8"), usize::MAX, ForwardedHeader::XForwardedFor);
    assert_eq!(client(&proxies, "10.0.0.1", &["192.0.2.1, 198.51.100.1, fd00::2"]), "198.51.100.1");
    // The outer one was passed by: its place is where the client is.
    assert_eq!(client(&proxies, "10.0.0.1", &["192.0.2.1, 203.0.113.7"]), "203.0.113.7");
    // Somebody inside calls.
    assert_eq!(client(&proxies, "10.0.0.1", &["10.0.0.9, fd00::2"]), "10.0.0.9");
}

#[test]
fn what_names_no_address_leaves_the_last_one_that_was_vouched_for() {
    let proxies = proxies(Some("10.0.0.0/8"), usize::MAX, ForwardedHeader::XForwardedFor);
    for forwarded in ["", "unknown", "198.51.100.1, unknown", "198.51.100.1,", "198.51.100.1, 1.2.3", "_x"] {
        assert_eq!(client(&proxies, "10.0.0.1", &[forwarded]), "10.0.0.1", "{forwarded}");
    }
    assert_eq!(client(&proxies, "10.0.0.1", &["198.51.100.1, nonsense, 10.0.0.2"]), "10.0.0.2");
    assert_eq!(client(&proxies, "10.0.0.1", &[]), "10.0.0.1");
}

#[test]
fn a_number_of_hops_is_gone_and_no_further() {
    let one = proxies(None, 1, ForwardedHeader::XForwardedFor);
    assert_eq!(client(&one, "203.0.113.9", &["192.0.2.1, 198.51.100.1"]), "198.51.100.1");
    let two = proxies(None, 2, ForwardedHeader::XForwardedFor);
    assert_eq!(client(&two, "203.0.113.9", &["192.0.2.1, 198.51.100.1, 203.0.113.8"]), "198.51.100.1");
    // With networks beside it, both must allow the step.
    let both = proxies(Some("10.0.0.0/8"), 1, ForwardedHeader::XForwardedFor);
    assert_eq!(client(&both, "10.0.0.1", &["192.0.2.1, 10.0.0.2"]), "10.0.0.2");
    assert_eq!(client(&both, "203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
}

#[test]
fn only_the_header_of_the_setting_is_read() {
    let lines =
        [(XFF, "192.0.2.1"), ("forwarded", "for=198.51.100.1;proto=https"), ("x-forwarded-proto", "http")];
    let by = |header| told(&proxies(Some("10.0.0.1"), usize::MAX, header), "10.0.0.1", &lines);
    assert_eq!(by(ForwardedHeader::XForwardedFor), ("192.0.2.1".to_owned(), Some(false)));
    assert_eq!(by(ForwardedHeader::Forwarded), ("198.51.100.1".to_owned(), Some(true)));
}

#[test]
fn how_the_client_came_is_what_the_hop_that_names_it_says() {
    let proxies = proxies(Some("10.0.0.0/8"), usize::MAX, ForwardedHeader::Forwarded);
    let over_tls = |line| told(&proxies, "10.0.0.1", &[("forwarded", line)]).1;
    assert_eq!(over_tls("for=198.51.100.1;proto=https, for=10.0.0.2;proto=http"), Some(true));
    // A client's own word lies behind the hop that was not trusted.
    assert_eq!(over_tls("for=192.0.2.1;proto=https, for=198.51.100.1;proto=http"), Some(false));
    assert_eq!(over_tls("for=198.51.100.1"), None);
}

proptest::proptest! {
    #[test]
    fn whatever_a_client_sends_the_client_is_its_own_address(
        wrote in proptest::collection::vec("[ -~]{0,40}", 0..4),
        client in proptest::prelude::any::<IpAddr>(),
    ) {
        let outside = client.to_canonical();
        let proxies = proxies(Some("10.0.0.1"), usize::MAX, ForwardedHeader::XForwardedFor);
        proptest::prop_assume!(!proxies.trust(outside));
        let word = outside.to_string();
        let mut lines: Vec<_> = wrote.iter().map(|line| (XFF, line.as_str())).collect();
        lines.push((XFF, &word));
        proptest::prop_assert_eq!(told(&proxies, "10.0.0.1", &lines).0, word.clone());
    }
}
