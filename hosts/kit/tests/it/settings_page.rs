//! `docs/settings.md` says what the catalogue says.

use std::{fs, path::Path};

use saas_kit::settings::inventory;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
/// What stands between the words that are written by hand and the tables.
const MARK: &str = "<!-- Generated from hosts/kit/src/settings/catalogue.rs: change that, then run";
const UPDATE: &str = "SAAS_UPDATE_DOCS=1 cargo test -p saas-kit --test it settings_page";

#[test]
fn the_settings_page_is_the_catalogues() {
    let page = Path::new(PAGE);
    let written = fs::read_to_string(page).unwrap();
    let (introduction, _) = written.split_once(MARK).expect("the page has the mark before its tables");
    let generated = format!("{introduction}{MARK}\n{UPDATE} -->\n\n{}", inventory());
    if std::env::var_os("SAAS_UPDATE_DOCS").is_some() {
        fs::write(page, &generated).unwrap();
    }
    let written = fs::read_to_string(page).unwrap();
    assert!(written == generated, "docs/settings.md is not what the catalogue says: run {UPDATE}");
}
