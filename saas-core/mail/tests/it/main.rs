//! What the mails say, and every mailer against the other side that it is for.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should fail loudly")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test is a host: it waits for real servers and starts its own"
)]

mod folder;
mod letters;
mod memory;
mod resend;
mod resend_server;
mod smtp;
mod smtp_server;
mod system;
