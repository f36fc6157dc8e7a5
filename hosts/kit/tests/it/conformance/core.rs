//! Core's ports.

mod clock;
mod entropy;
mod event_log;
mod job_store;
mod memberships;
mod secret_store;
mod storage;
