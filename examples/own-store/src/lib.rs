//! An adapter of one's own for a port of the product: [`FileEventLog`] keeps event streams in plain files.

mod file_event_log;
mod lines;

pub use file_event_log::FileEventLog;
