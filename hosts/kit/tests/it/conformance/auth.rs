//! Auth's ports.

mod change_feed;
mod password_hasher;
mod session_store;
mod user_store;
