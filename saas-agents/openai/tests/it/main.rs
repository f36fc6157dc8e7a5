//! The adapter against a server that is under control byte for byte, and against `@copilotkit/aimock`, a mock of the API that others wrote.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should fail loudly; a test is its own host: it spawns its server, waits and reads where aimock is"
)]

mod aimock;
mod answers;
mod cancelling;
mod conformance;
mod failures;
mod retries;
mod secrecy;
mod server;
mod support;
