//! The program `saas`, run as an operator runs it: in an empty folder, with nothing set but what a test sets.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail loudly")]

mod about;
mod audit;
mod auth_guide;
mod chat;
mod config;
mod harness;
mod help;
mod jobs;
mod keys;
mod log_secrets;
mod mail;
mod migrate;
mod secrets;
mod serve;
mod transcript;
mod users;
