//! Agents' ports.

mod conversation_store;
mod run_store;
