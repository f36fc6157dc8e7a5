//! Chats: runs, their followers, their ends, their queue, and the conversations that they leave.
//!
//! The clock stands still unless a test moves it, and the model says what the test wants, when it wants it: whoever waits is woken,
//! or the test does not end.

mod bounds;
mod conversations;
mod ends;
mod failures;
mod following;
mod isolation;
mod jobs;
mod load;
mod queue;
mod recovery;
mod server;
pub(crate) mod stage;
