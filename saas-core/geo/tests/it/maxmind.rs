//! MaxMind's own test file (github.com/maxmind/MaxMind-DB, MIT or Apache-2.0).

use std::{path::Path, sync::Arc};

use saas_core::{GeoLocator, conformance::geo_locator::GeoLocatorSubject};
use saas_geo::{MaxMind, OpenGeoFileError};

use crate::place;

fn file() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/GeoIP2-City-Test.mmdb"))
}

async fn subject() -> GeoLocatorSubject {
    let known = vec![
        ("81.2.69.160".parse().unwrap(), place("GB", "England", "London")),
        ("89.160.20.112".parse().unwrap(), place("SE", "Östergötland County", "Linköping")),
        ("2001:218::1".parse().unwrap(), place("JP", "", "")),
    ];
    GeoLocatorSubject::new(Arc::new(MaxMind::open(file()).unwrap()), known, "8.8.8.8".parse().unwrap(), ())
}

saas_core::geo_locator_conformance!(subject);

#[test]
fn what_is_no_such_file_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = MaxMind::open(&folder.path().join("missing.mmdb")).unwrap_err();
    assert!(matches!(missing, OpenGeoFileError::Read { .. }) && missing.to_string().contains("missing.mmdb"));
    let other = folder.path().join("other.mmdb");
    std::fs::write(&other, b"no such file").unwrap();
    let other = MaxMind::open(&other).unwrap_err().to_string();
    assert!(other.contains("other.mmdb is not a MaxMind DB file"), "{other}");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_never_a_panic() {
    let good = std::fs::read(file()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mmdb");
    for at in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(damaged) = MaxMind::open(&path) {
            let _ = damaged.locate("81.2.69.160".parse().unwrap()).await;
        }
    }
}
