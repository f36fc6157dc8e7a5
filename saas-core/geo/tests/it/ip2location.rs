//! Files written as "`IP2Location` BIN Database File Format" has it; `IP2Location`'s own reader for Python (8.11) finds the same in them.

use std::{net::IpAddr, sync::Arc};

use saas_core::{GeoLocator, conformance::geo_locator::GeoLocatorSubject};
use saas_geo::Ip2Location;

use crate::place;

/// A country's code and name, a region and a city.
type Texts = [&'static str; 4];

const NOTHING: Texts = ["-", "-", "-", "-"];

/// A DB3 file: each row holds from its address up to the next row's.
fn file(v4: &[(&str, Texts)], v6: &[(&str, Texts)]) -> Vec<u8> {
    let rows = |rows: &[(&str, Texts)]| -> Vec<(Vec<u8>, Texts)> {
        let bytes = |address: &str| match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_bits().to_le_bytes().to_vec(),
            IpAddr::V6(address) => address.to_bits().to_le_bytes().to_vec(),
        };
        rows.iter().map(|(address, texts)| (bytes(address), *texts)).collect()
    };
    let (v4, v6) = (rows(v4), rows(v6));
    let (base4, base6) = (64, 64 + v4.len() * 16);
    let mut text_at = base6 + v6.len() * 28;
    let (mut table, mut texts) = (Vec::new(), Vec::new());
    for (address, [code, name, region, city]) in v4.iter().chain(&v6) {
        table.extend_from_slice(address);
        let mut column = |written: &[&str]| {
            table.extend_from_slice(&u32::try_from(text_at).unwrap().to_le_bytes());
            for text in written {
                texts.push(u8::try_from(text.chars().count()).unwrap());
                texts.extend(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
                text_at += 1 + text.chars().count();
            }
        };
        // The name of a country stands three bytes behind its code.
        column(&[if *code == "-" { "- " } else { code }, name]);
        column(&[region]);
        column(&[city]);
    }
    let mut header = vec![3, 4, 26, 11, 1];
    for (rows, base) in [(v4.len(), base4), (v6.len(), base6)] {
        header.extend_from_slice(&u32::try_from(rows).unwrap().to_le_bytes());
        header.extend_from_slice(&u32::try_from(base + 1).unwrap().to_le_bytes());
    }
    header.resize(29, 0);
    header.push(1);
    header.resize(64, 0);
    [header, table, texts].concat()
}

fn good() -> Vec<u8> {
    file(
        &[
            ("0.0.0.0", NOTHING),
            ("8.8.8.0", ["US", "United States of America", "California", "Mountain View"]),
            ("8.8.9.0", NOTHING),
            ("89.160.20.0", ["SE", "Sweden", "Östergötland", "Linköping"]),
            ("89.160.21.0", NOTHING),
        ],
        &[("::", NOTHING), ("2001:218::", ["JP", "Japan", "Tokyo", "Tokyo"]), ("2001:219::", NOTHING)],
    )
}

async fn subject() -> GeoLocatorSubject {
    let known = vec![
        ("8.8.8.255".parse().unwrap(), place("US", "California", "Mountain View")),
        ("89.160.20.0".parse().unwrap(), place("SE", "Östergötland", "Linköping")),
        ("2001:218:ffff::1".parse().unwrap(), place("JP", "Tokyo", "Tokyo")),
    ];
    let locator = Ip2Location::from_bytes(good()).unwrap();
    GeoLocatorSubject::new(Arc::new(locator), known, "8.8.9.1".parse().unwrap(), ())
}

saas_core::geo_locator_conformance!(subject);

#[tokio::test]
async fn a_file_without_ipv6_knows_nothing_of_it() {
    let locator = Ip2Location::from_bytes(file(&[("0.0.0.0", NOTHING)], &[])).unwrap();
    for address in ["2001:218::1", "255.255.255.255"] {
        assert_eq!(locator.locate(address.parse().unwrap()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_damaged_or_cut_file_is_refused_or_an_error_and_never_a_panic() {
    let (good, mut refused) = (good(), 0);
    let mut damaged: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
    for at in 0..good.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            damaged.push(bytes);
        }
    }
    for bytes in damaged {
        let Some(locator) = Ip2Location::from_bytes(bytes) else {
            refused += 1;
            continue;
        };
        for address in ["0.0.0.1", "8.8.8.8", "89.160.20.1", "255.1.1.1", "::1", "2001:218::1", "ffff::"] {
            let _ = locator.locate(address.parse().unwrap()).await;
        }
    }
    assert!(refused > 64, "a header that is cut is no header");
}

#[test]
fn a_file_of_another_kind_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxies.bin");
    let mut proxies = good();
    proxies[29] = 2;
    std::fs::write(&path, proxies).unwrap();
    let error = Ip2Location::open(&path).unwrap_err().to_string();
    assert!(error.contains("proxies.bin is not an IP2Location BIN file"), "{error}");
}
