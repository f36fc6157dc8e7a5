//! The HTTP API as a client sees it: on both engines through the router, through the server, and through the program.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up fails, and the message says where"
)]

mod anything;
mod browsers;
mod earlier_system;
mod embedding;
mod fields;
mod harness;
mod jwks;
mod leaving;
mod openapi;
mod problems;
mod program;
mod server;
mod sessions;
mod wire;
