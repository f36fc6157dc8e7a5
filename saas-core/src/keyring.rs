//! Symmetric keys by id: peppers, the masters of derived tokens, what seals the audit log; kept in a [`SecretStore`] and shared by every replica.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Entropy, InternalError, Secret, SecretStore, SecretStoreError, entropy::random, text::hex};

/// A key's id: eight hex digits, which is also the most that a PHC string's `keyid` can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keys by id, of which one is current: new things are made with it, old things name theirs.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: KeyId,
    keys: BTreeMap<KeyId, Secret<[u8; 32]>>,
}

/// A keyring that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The store failed, or its secret is sealed under another root key.
    #[error(transparent)]
    Store(#[from] SecretStoreError),
    /// What is stored is not a keyring.
    #[error("the stored keyring {name} is damaged: restore it from a backup")]
    Damaged {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: InternalError,
    },
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    current: KeyId,
    keys: BTreeMap<KeyId, Zeroizing<String>>,
}

impl Keyring {
    /// One new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let id: [u8; 4] = random(entropy);
        let current = KeyId(hex(&id));
        Self { keys: BTreeMap::from([(current.clone(), Secret::new(random(entropy)))]), current }
    }

    /// The keyring called `name`, made when there is none; of several replicas that make one, all get the same.
    pub async fn load_or_create(
        store: &dyn SecretStore,
        name: &'static str,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyringError> {
        let damaged = |source| KeyringError::Damaged { name, source };
        let stored = match store.get(name).await? {
            Some(stored) => stored,
            None => store.insert(name, &Self::generate(entropy).to_bytes().map_err(damaged)?).await?,
        };
        Self::from_bytes(stored.value.expose()).map_err(damaged)
    }

    /// The id that new things are made with.
    pub fn current(&self) -> &KeyId {
        &self.current
    }

    /// The key that new things are made with.
    pub fn current_key(&self) -> Option<&Secret<[u8; 32]>> {
        self.keys.get(&self.current)
    }

    /// The key called `id`.
    pub fn key(&self, id: &str) -> Option<&Secret<[u8; 32]>> {
        self.keys.iter().find(|(known, _)| known.as_str() == id).map(|(_, key)| key)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &Secret<[u8; 32]>> {
        self.keys.values()
    }

    fn to_bytes(&self) -> Result<Secret<Vec<u8>>, InternalError> {
        let encode = |key: &Secret<[u8; 32]>| Zeroizing::new(STANDARD_NO_PAD.encode(key.expose()));
        let keys = self.keys.iter().map(|(id, key)| (id.clone(), encode(key))).collect();
        let document = Document { schema: 1, current: self.current.clone(), keys };
        serde_json::to_vec(&document).map(Secret::new).map_err(InternalError::new)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, InternalError> {
        let document: Document = serde_json::from_slice(bytes).map_err(InternalError::new)?;
        let mut keys = BTreeMap::new();
        for (id, key) in document.keys {
            let bytes = Zeroizing::new(
                STANDARD_NO_PAD.decode(&*key).map_err(|_| InternalError::new("a key is not base64"))?,
            );
            keys.insert(id, Secret::new(bytes.as_slice().try_into().map_err(InternalError::new)?));
        }
        if document.schema != 1 || !keys.contains_key(&document.current) {
            return Err(InternalError::new("unknown schema, or no current key"));
        }
        Ok(Self { current: document.current, keys })
    }
}
