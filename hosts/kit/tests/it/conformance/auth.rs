//! Auth's ports.

mod breached_passwords;
mod challenge_store;
mod change_feed;
mod guess_store;
mod one_time_token_store;
mod password_hasher;
mod password_history;
mod second_factor_store;
mod session_store;
mod user_store;
