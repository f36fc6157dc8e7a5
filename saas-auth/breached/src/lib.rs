//! [`BreachedPasswords`](saas_auth::BreachedPasswords) over the list of Have I Been Pwned: [`BreachedFile`] over a copy of it on a disk,
//! and, with the feature `range`, `BreachedRange` over the service that gives out parts of it. Both know passwords by their SHA-1, which
//! is what the list has.
//!
//! ```
//! use saas_auth::Password;
//! use saas_auth_breached::BreachedFile;
//! use saas_core::Secret;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("pwned.txt");
//! // As its downloader writes it, one of a billion lines.
//! std::fs::write(&path, "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:10434004\r\n")?;
//! let list = BreachedFile::open(&path)?;
//! assert!(list.contains(&Password::new(&Secret::new("password".to_owned()))?)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod digest;
mod file;
#[cfg(feature = "range")]
mod range;

pub use file::{BreachedFile, BreachedFileError};
#[cfg(feature = "range")]
pub use range::{BreachedRange, BreachedRangeConfig, InvalidBreachedRangeConfig};
