//! The product on both engines, through its public API: storage, migrations, secrets, and a program that embeds it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should fail loudly")]

#[macro_use]
mod engines;

mod agents;
mod audit;
mod chat_crash;
mod conformance;
mod cookies;
mod crash;
mod decisions;
mod embedder;
mod envelopes;
mod event_bounds;
mod event_log;
mod families;
mod faults;
mod from_env;
mod hash_pool;
mod job_crash;
mod jobs;
mod keys;
mod left_jobs;
mod lockout;
mod mail;
mod migrations;
mod passwords;
mod places;
mod plans;
mod refresh;
mod retention;
mod roles;
mod schedules;
mod second_factor;
mod secrets;
mod settings_page;
mod sign_in;
mod storage;
mod switch;
