//! Passwords: what is accepted, and the port that hashes them.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use saas_core::{ErrorKind, Fault, InternalError, Report, Secret};
use unicode_normalization::UnicodeNormalization;

mod advice;
mod argon2id;
mod breached;
mod common;
pub(crate) mod context;
mod fold;
mod history;
mod policy;

pub use advice::PasswordAdvice;
pub use argon2id::{Argon2id, Argon2idMemory, Argon2idParams, InvalidParams, OpenArgon2idError};
pub use breached::{BreachedError, BreachedPasswords, CommonPasswords, NoBreachedPasswords};
pub use context::ContextKind;
pub use history::{FormerPassword, PasswordHistory};
pub use policy::{BreachedAtSignIn, PasswordPolicy, WeakPassword, WhenUnknown};

/// A password as it is hashed: composed once (NFC), otherwise exactly as typed, never trimmed or cut (ASVS 6.2.8, NIST SP 800-63B-4
/// section 3.1.1.2).
#[derive(Debug, Clone)]
pub struct Password(Secret<String>);

/// A text that is longer than any password may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password has at most {} bytes", Password::MAX_BYTES)]
pub struct PasswordTooLong;

impl Password {
    /// The most bytes, so that hashing one costs what hashing another does.
    pub const MAX_BYTES: usize = 1024;

    /// Takes what was typed.
    pub fn new(typed: &Secret<String>) -> Result<Self, PasswordTooLong> {
        if typed.expose().len() > Self::MAX_BYTES {
            return Err(PasswordTooLong);
        }
        Ok(Self(Secret::new(typed.expose().nfc().collect())))
    }

    /// The bytes to hash.
    pub fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }

    /// As text: to hash it another way, or to look it up.
    pub fn text(&self) -> &str {
        self.0.expose()
    }

    /// How many characters it has; a code point counts as one.
    pub fn characters(&self) -> usize {
        self.0.expose().chars().count()
    }
}

/// A PHC string: algorithm, parameters, the pepper's id, salt and hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Out of our own storage.
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a password was neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// More wait than may: hashing is dear on purpose.
    #[error("too many passwords are being checked")]
    Overloaded {
        /// When there is room again.
        retry_after: Duration,
    },
    /// The hash is damaged, its parameters are out of bounds, or its pepper is not known.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for HashError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Overloaded { retry_after } => {
                Report::new(ErrorKind::Unavailable, "overloaded").with_retry_after(*retry_after)
            }
            Self::Internal(_) => Report::internal(),
        }
    }
}

/// Hashes, verifies and weighs passwords, off the threads that serve requests. Hashes are compared in constant time, and to verify takes
/// the work that to hash takes, however little a hash's own parameters ask for: sign-in hashes what is typed for accounts that are not there.
///
/// # Contract
/// - `verify` is `true` for the password of the hash and for no other.
/// - `is_current` is `true` for what `hash` just made, and `false` for what it cannot have made.
/// - `advise` says of a password what [`PasswordAdvice::of`] does.
/// - Two hashes of one password differ.
/// - A damaged hash is an error or `false`.
/// - Work is bounded: beyond a bounded queue it answers [`HashError::Overloaded`].
#[async_trait]
pub trait PasswordHasher: Debug + Send + Sync + 'static {
    /// Hashes a new password at the current parameters.
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError>;
    /// Whether `hash` is `password`'s.
    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError>;
    /// Whether `hash` is as [`PasswordHasher::hash`] makes them now; if it is not, it is made anew when its password is at hand.
    fn is_current(&self, hash: &PasswordHash) -> bool;
    /// [`PasswordAdvice::of`], off the threads that serve requests.
    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError>;
}
