//! Auth's ports.

mod user_store;
