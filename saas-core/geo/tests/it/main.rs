//! Locators over files and over a service of the tests' own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts its own server, and where it cannot be set up it fails, and the message says where"
)]

mod ip2location;
mod ipinfo;
mod ipinfo_server;
mod maxmind;
mod remembered;

use saas_core::Place;

fn place(country: &str, region: &str, city: &str) -> Place {
    Place::new(Some(country), Some(region), Some(city)).unwrap()
}
