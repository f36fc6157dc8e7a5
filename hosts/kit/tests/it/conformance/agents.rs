//! Agents' ports.

mod chat_model;
mod conversation_store;
mod run_store;
