//! Personal data at rest: one value in an envelope that opens only where it was put.
//!
//! A value is encrypted with XChaCha20-Poly1305 under a data key, and bound to the table, the column and the row that it stands in: moved
//! to another place, or changed, it does not open. Data keys are kept in the [`SecretStore`](crate::SecretStore), and so are themselves
//! sealed under the root key. [`FieldCipher`] holds them; [`DataKeys`] is the pure part of it.
//!
//! An envelope is the version (one byte, 1), the data key's id (four), the nonce (twenty-four), the encrypted value and its tag
//! (sixteen). What it is bound to is its first five bytes, then table, column and row, each behind its length.

use std::{fmt, time::Duration};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use chrono::{DateTime, Utc};

use crate::{Entropy, Secret, entropy::random, text::hex};

mod cipher;
mod document;

pub use cipher::{DataKeysError, FieldCipher, KeyRotation};
pub use document::InvalidDataKeys;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The table.
    pub table: &'a str,
    /// The column that holds the envelope.
    pub column: &'a str,
    /// The row's id, as it is stored.
    pub row: &'a [u8],
}

/// A data key's id; it is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId([u8; 4]);

/// An encrypted value.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope(Vec<u8>);

/// Why an envelope does not open. It tells nothing of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenEnvelopeError {
    /// The data key that it names is not there.
    #[error(
        "the data key {0} is not in the keyring: restore the secret store that has it, or wait until this process has heard of it"
    )]
    UnknownKey(DataKeyId),
    /// It is none, it was changed, or it belongs elsewhere.
    #[error("the value does not open here: it was changed, or it belongs to another row or column")]
    Corrupted,
}

/// A key that fields are encrypted with.
#[derive(Debug, Clone)]
struct DataKey {
    id: DataKeyId,
    active_from: DateTime<Utc>,
    key: Secret<[u8; 32]>,
}

/// The data keys of a deployment: one is active, the others read.
#[derive(Debug, Clone)]
pub struct DataKeys {
    /// In the order in which they became active or will; never empty.
    keys: Vec<DataKey>,
}

impl DataKeys {
    /// How long a new key is known to all before the first value is encrypted with it.
    pub const PUBLISH_DELAY: Duration = Duration::from_secs(30);

    /// One new key that is active from `now` on.
    pub fn generate(entropy: &dyn Entropy, now: DateTime<Utc>) -> Self {
        Self { keys: vec![DataKey::generate(entropy, now)] }
    }

    /// With one more, which becomes active after [`DataKeys::PUBLISH_DELAY`].
    #[must_use]
    pub fn with_another(mut self, entropy: &dyn Entropy, now: DateTime<Utc>) -> Self {
        let mut key = DataKey::generate(entropy, now + Self::PUBLISH_DELAY);
        while self.find(key.id).is_some() {
            key.id = DataKeyId(random(entropy));
        }
        self.keys.push(key);
        self
    }

    /// The newest key, and from when on it is active.
    pub fn newest(&self) -> Option<(DataKeyId, DateTime<Utc>)> {
        self.keys.last().map(|key| (key.id, key.active_from))
    }

    /// The key that is active at `now`.
    pub fn active(&self, now: DateTime<Utc>) -> Option<DataKeyId> {
        self.active_key(now).map(|key| key.id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a deployment has a key from its first start on.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first one where a clock is behind that of whoever made it.
    fn active_key(&self, now: DateTime<Utc>) -> Option<&DataKey> {
        self.keys.iter().rev().find(|key| key.active_from <= now).or_else(|| self.keys.first())
    }

    fn find(&self, id: DataKeyId) -> Option<&DataKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Encrypts a value for its place. `None` for what no database would take: some 256 GiB.
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        now: DateTime<Utc>,
        field: Field<'_>,
        value: &[u8],
    ) -> Option<Envelope> {
        let key = self.active_key(now)?;
        let nonce: [u8; NONCE] = random(entropy);
        let aad = bound(key.id, field);
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), Payload { msg: value, aad: &aad }).ok()?;
        Some(Envelope([&prefix(key.id)[..], &nonce, &sealed].concat()))
    }

    /// What was encrypted for this place.
    pub fn open(&self, field: Field<'_>, envelope: &Envelope) -> Result<Secret<Vec<u8>>, OpenEnvelopeError> {
        let id = envelope.key_id().ok_or(OpenEnvelopeError::Corrupted)?;
        let key = self.find(id).ok_or(OpenEnvelopeError::UnknownKey(id))?;
        let (nonce, sealed) = envelope.0[Envelope::PREFIX..].split_at(NONCE);
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| OpenEnvelopeError::Corrupted)?;
        let payload = Payload { msg: sealed, aad: &bound(id, field) };
        let opened = key.cipher().decrypt(&XNonce::from(nonce), payload);
        opened.map(Secret::new).map_err(|_| OpenEnvelopeError::Corrupted)
    }
}

impl DataKey {
    fn generate(entropy: &dyn Entropy, active_from: DateTime<Utc>) -> Self {
        Self { id: DataKeyId(random(entropy)), active_from, key: Secret::new(random(entropy)) }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.expose().into())
    }
}

/// How every envelope of a key begins.
fn prefix(key: DataKeyId) -> [u8; Envelope::PREFIX] {
    let [a, b, c, d] = key.0;
    [VERSION, a, b, c, d]
}

/// What a value is bound to. The lengths keep `("ab", "c")` from being `("a", "bc")`.
fn bound(key: DataKeyId, field: Field<'_>) -> Vec<u8> {
    let mut aad = prefix(key).to_vec();
    for part in [field.table.as_bytes(), field.column.as_bytes(), field.row] {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

impl Envelope {
    /// How many bytes at its beginning tell version and key.
    pub const PREFIX: usize = 5;

    /// As it was stored. Whether it opens shows when it is opened.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// To be stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key that it says it is encrypted with, where it has the form of an envelope.
    pub fn key_id(&self) -> Option<DataKeyId> {
        let formed = self.0.first() == Some(&VERSION) && self.0.len() >= Self::PREFIX + NONCE + TAG;
        formed.then(|| self.0[1..Self::PREFIX].try_into().ok().map(DataKeyId))?
    }
}

/// Neither the value nor its encryption.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({:?})", self.key_id())
    }
}

impl DataKeyId {
    /// How every envelope of this key begins.
    pub fn envelope_prefix(self) -> [u8; Envelope::PREFIX] {
        prefix(self)
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
