//! `Forwarded` and `X-Forwarded-For`: what the last proxy wrote is found whatever its client put before it.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

#[path = "../../hosts/http/src/edge/forwarded.rs"]
#[allow(dead_code)]
mod forwarded;

fuzz_target!(|data: &[u8]| {
    let _ = (forwarded::address(data), forwarded::over_tls(data));
    let with = |bytes: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(header::FORWARDED, HeaderValue::from_bytes(bytes).ok()?);
        Some(headers)
    };
    if let Some(headers) = with(data) {
        assert!(forwarded::hops(&headers).count() <= data.len() + 1);
    }
    let Some(headers) = with(&[data, b", for=192.0.2.7;proto=https"].concat()) else { return };
    let last = forwarded::hops(&headers).next().expect("the proxy's own element");
    assert_eq!(last.client, Some(std::net::IpAddr::from([192, 0, 2, 7])));
    assert_eq!(last.over_tls, Some(true));
});
