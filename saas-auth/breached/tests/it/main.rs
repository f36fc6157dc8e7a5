//! Both lists, held against the contract of their port and against what they may meet.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails, and the message says where")]
#![expect(clippy::disallowed_methods, reason = "a test starts its own server")]

mod file;
mod range;
mod range_server;

use saas_auth::Password;
use saas_core::Secret;

fn password(text: &str) -> Password {
    Password::new(&Secret::new(text.to_owned())).unwrap()
}

/// A password's SHA-1 as the list has it.
fn sha1(text: &str) -> String {
    use sha1::{Digest, Sha1};
    saas_core::text::hex(&Sha1::digest(text.as_bytes())).to_uppercase()
}
