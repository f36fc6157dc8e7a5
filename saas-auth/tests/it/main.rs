//! Access tokens as an attacker sends them, through the public API.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails, and the message says where")]

mod arbitrary_tokens;
mod forge;
mod hostile_tokens;
mod wycheproof;
