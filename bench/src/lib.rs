//! What the programs that measure have in common: what Linux says of a process.

mod process;

pub use process::{Cpu, peak, reset_peak, resident};

/// Why a measurement was not taken.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
