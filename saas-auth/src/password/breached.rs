//! Passwords that others know: the port to whoever keeps a list of stolen ones.

use std::fmt::Debug;

use async_trait::async_trait;
use saas_core::{ErrorKind, Fault, InternalError, Report};

use super::{Password, common::is_common};

/// It could not be asked whether a password is known.
#[derive(Debug, thiserror::Error)]
#[error("it could not be looked up whether the password was stolen somewhere")]
pub struct BreachedError(#[source] InternalError);

impl BreachedError {
    /// For that cause, which is for the log: nothing of the password may be in it.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(InternalError::new(cause))
    }
}

impl Fault for BreachedError {
    fn report(&self) -> Report<'_> {
        Report::new(ErrorKind::Unavailable, "breached_passwords_unavailable")
    }
}

/// Knows passwords that were stolen somewhere. It is asked when a password is set, and when somebody signs in with the right one.
///
/// # Contract
/// - `is_breached` is `true` for a password that is on the list, and `false` for one that has nothing to do with any that is.
/// - Each of several that ask at once gets the answer to its own password.
/// - A list that cannot be asked is an error, never an answer.
/// - Nothing of a password is in `Debug` or in an error.
#[async_trait]
pub trait BreachedPasswords: Debug + Send + Sync + 'static {
    /// Whether the password is on the list.
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError>;
}

/// [`BreachedPasswords`] over the list of common passwords that is in the program: it asks nobody, and knows about 60,000.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommonPasswords;

#[async_trait]
impl BreachedPasswords for CommonPasswords {
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError> {
        Ok(is_common(password))
    }
}

/// [`BreachedPasswords`] that knows none, for who does not want to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBreachedPasswords;

#[async_trait]
impl BreachedPasswords for NoBreachedPasswords {
    async fn is_breached(&self, _: &Password) -> Result<bool, BreachedError> {
        Ok(false)
    }
}
