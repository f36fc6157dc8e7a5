//! The commands, a file each.

pub(crate) mod about;
pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod mail;
pub(crate) mod migrate;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod users;

use chrono::{DateTime, SecondsFormat, Utc};
use saas_core::Actor;

/// The operator at the console.
fn operator() -> Actor {
    Actor::system("cli")
}

/// A date for programs and people alike: RFC 3339, UTC.
fn date(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Secs, true)
}
