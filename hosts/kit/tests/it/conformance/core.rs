//! Core's ports.

mod audit_log;
mod clock;
mod entropy;
mod event_log;
mod geo_locator;
mod job_store;
mod mailer;
mod memberships;
mod rate_limiter;
mod secret_store;
mod storage;

pub(crate) use secret_store::MemorySecrets;
