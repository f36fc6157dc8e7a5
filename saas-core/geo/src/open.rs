//! Why a file is of no use.

use std::{io, path::PathBuf};

/// Why a file of places could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenGeoFileError {
    /// It could not be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is none, or a damaged one.
    #[error("{} is not {what}: download it again", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
}
