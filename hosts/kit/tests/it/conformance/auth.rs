//! Auth's ports.

mod password_hasher;
mod session_store;
mod user_store;
