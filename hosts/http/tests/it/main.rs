//! The HTTP API as a client sees it: on both engines through the router, through the server, and through the program.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up fails, and the message says where"
)]

mod anything;
mod asvs;
mod browsers;
mod chat;
mod chat_server;
mod conversations;
mod cookies;
mod cors;
mod deletion;
mod described;
mod docs_page;
mod dump;
mod earlier_system;
mod embedding;
mod enumeration;
mod export;
mod fields;
mod frames;
mod guides;
mod harness;
mod jwks;
mod leaving;
mod limits;
mod lockout;
mod metrics;
mod network;
mod openapi;
mod outage;
mod problems;
mod program;
mod recovery;
mod second_factor;
mod server;
mod sessions;
mod streaming_guide;
mod trimming;
mod verifying_tokens;
mod whole_database;
mod wire;
