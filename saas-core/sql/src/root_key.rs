//! The root key: 32 bytes that every replica shares and no database holds.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use saas_core::{
    Clock, Entropy, Reach, Secret, Storage, StoreError, clock::stored_now, entropy::random, text::hex,
};
use sha2::Sha256;

use crate::{SqlStorage, execute, fetch_one};

/// The key that the product's secrets are sealed under.
#[derive(Debug, Clone)]
pub struct RootKey(Secret<[u8; 32]>);

/// Bytes that cannot be a root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the root key must be 32 bytes")]
pub struct InvalidRootKey;

/// Why a root key was not accepted by a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyError {
    /// The database was set up with another one.
    #[error(
        "this database was set up with another root key: set SAAS_ROOT_KEY (or restore var/root.key) to the one of the other replicas"
    )]
    Mismatch,
    /// The storage failed.
    #[error("the root key's fingerprint could not be read")]
    Store(#[from] StoreError),
}

/// Sealed bytes.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) nonce: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl RootKey {
    /// Takes 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidRootKey> {
        bytes.try_into().map(|key| Self(Secret::new(key))).map_err(|_| InvalidRootKey)
    }

    /// Makes one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::new(random(entropy)))
    }

    /// The bytes, for whoever keeps them.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Tells keys apart without telling anything about them.
    pub fn fingerprint(&self) -> String {
        hex(&self.derive(b"saas/root-key/fingerprint/v1")[..16])
    }

    /// HKDF-SHA256 (RFC 5869) for one purpose.
    fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        // 32 bytes is far below HKDF's limit of 255 blocks: this cannot fail.
        let _ = Hkdf::<Sha256>::new(None, self.0.expose()).expand(purpose, &mut key);
        key
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(
            &Secret::new(self.derive(b"saas/sealed-secrets/v1")).expose().to_owned().into(),
        )
    }

    /// Seals `value` so that it opens only under this key and with the same `context`.
    pub(crate) fn seal(
        &self,
        entropy: &dyn Entropy,
        context: &str,
        value: &[u8],
    ) -> Result<Sealed, chacha20poly1305::Error> {
        let nonce: [u8; 24] = random(entropy);
        let bytes =
            self.cipher().encrypt(&XNonce::from(nonce), Payload { msg: value, aad: context.as_bytes() })?;
        Ok(Sealed { nonce: nonce.to_vec(), bytes })
    }

    /// Opens what `seal` made; `None` when key, context or bytes differ.
    pub(crate) fn open(&self, context: &str, sealed: &Sealed) -> Option<Secret<Vec<u8>>> {
        let nonce: [u8; 24] = sealed.nonce.as_slice().try_into().ok()?;
        let payload = Payload { msg: &sealed.bytes, aad: context.as_bytes() };
        self.cipher().decrypt(&XNonce::from(nonce), payload).ok().map(Secret::new)
    }
}

impl SqlStorage {
    /// Ties the database to `key`: the first replica leaves its fingerprint, every later one must have the same.
    pub async fn claim(&self, key: &RootKey, clock: &dyn Clock) -> Result<(), RootKeyError> {
        let ours = key.fingerprint();
        let mut tx = self.begin(Reach::Platform("root key fingerprint")).await?;
        execute!(
            tx.conn(),
            "INSERT INTO saas_deployment (name, value, created_at) VALUES ('root_key_fingerprint', $1, $2) ON CONFLICT (name) DO NOTHING",
            ours.as_str(),
            stored_now(clock),
        )
        .map_err(StoreError::from)?;
        let (found,): (String,) = fetch_one!(
            tx.conn(),
            (String,),
            "SELECT value FROM saas_deployment WHERE name = 'root_key_fingerprint'"
        )
        .map_err(StoreError::from)?;
        tx.commit().await?;
        if found == ours { Ok(()) } else { Err(RootKeyError::Mismatch) }
    }
}
