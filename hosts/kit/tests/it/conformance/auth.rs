//! Auth's ports.

mod breached_passwords;
mod change_feed;
mod guess_store;
mod one_time_token_store;
mod password_hasher;
mod password_history;
mod session_store;
mod user_store;
