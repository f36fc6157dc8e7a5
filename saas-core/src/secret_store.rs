//! The port for the product's own secrets: signing keys, peppers, masters of derived tokens.

use std::{error::Error, fmt::Debug};

use async_trait::async_trait;

use crate::{Secret, Tx};

/// A secret and the version that it is at.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// The value.
    pub value: Secret<Vec<u8>>,
    /// 1 for the first, one more for each replacement.
    pub version: i64,
}

/// What became of a secret that was to be replaced in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacedIn {
    /// It is replaced when the transaction commits.
    Replaced,
    /// It is at another version, and stays as it is.
    Stale,
    /// The store keeps its secrets where the transaction does not reach, and has changed nothing.
    Elsewhere,
}

/// Why a secret could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretStoreError {
    /// The sealed value does not open: it was sealed under another root key, or changed.
    #[error(
        "the secret {name} does not open under this root key: set the SAAS_ROOT_KEY that it was sealed with"
    )]
    Sealed {
        /// Which secret.
        name: String,
    },
    /// The store failed.
    #[error("the secret store failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

/// Keeps named secrets, shared by every replica.
///
/// # Contract
/// - What was stored is read back, byte for byte; a name that nothing was stored under is `None`.
/// - Of several `insert` calls for one name exactly one stores its value; all return what is stored.
/// - `replace` stores only over the version it was given, and tells whether it did.
/// - Of several `replace` calls for one version exactly one stores its value.
/// - `replace_in` replaces as `replace` does, with the transaction that it is given or not at all; or it changes nothing and says `Elsewhere`.
/// - What one replica stored, every other reads from then on.
/// - Nothing readable is at rest where others can read it, nor in `Debug`.
#[async_trait]
pub trait SecretStore: Debug + Send + Sync + 'static {
    /// The secret called `name`.
    async fn get(&self, name: &str) -> Result<Option<StoredSecret>, SecretStoreError>;
    /// Stores `value` unless there is one, and returns what is there then.
    async fn insert(&self, name: &str, value: &Secret<Vec<u8>>) -> Result<StoredSecret, SecretStoreError>;
    /// Replaces the value at `version`; `false` when it is at another one.
    async fn replace(
        &self,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<bool, SecretStoreError>;
    /// Replaces the value at `version` in a transaction of the product's storage, if the secrets are kept in that.
    async fn replace_in(
        &self,
        tx: &mut Tx,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<ReplacedIn, SecretStoreError>;
}
