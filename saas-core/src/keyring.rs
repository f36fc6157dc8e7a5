//! Symmetric keys by id: peppers, the masters of derived tokens, what seals the audit log; kept in a [`SecretStore`] and shared by every replica.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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

    /// These keys as older ones after those that are made of `texts`, the first of which becomes the current one. A text makes the same key
    /// and the same id for ever; `purpose` keeps keys of one text for several purposes apart.
    #[must_use]
    pub fn after(mut self, purpose: &str, texts: &[Secret<String>]) -> Self {
        for text in texts.iter().rev() {
            let (id, key) = made_of(purpose, text.expose());
            self.keys.insert(id.clone(), key);
            self.current = id;
        }
        self
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

/// A key out of a text, and an id out of the key.
fn made_of(purpose: &str, text: &str) -> (KeyId, Secret<[u8; 32]>) {
    let hashed = |parts: [&[u8]; 3]| -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    };
    let key = Zeroizing::new(hashed([b"saas keyring key", purpose.as_bytes(), text.as_bytes()]));
    let id = hashed([b"saas keyring id", purpose.as_bytes(), &*key]);
    (KeyId(hex(&id[..4])), Secret::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn keys_of_texts_come_before_the_older_ones_and_are_always_the_same() {
        let secrets =
            |texts: &[&str]| texts.iter().map(|text| Secret::new((*text).to_owned())).collect::<Vec<_>>();
        let made = Keyring::generate(&SeededEntropy::new(1));
        let ring = made.clone().after("pepper", &secrets(&["new", "old"]));
        assert_eq!(ring.keys().count(), 3);
        assert!(ring.key(made.current().as_str()).is_some());
        let again = Keyring::generate(&SeededEntropy::new(2)).after("pepper", &secrets(&["new"]));
        assert_eq!(ring.current(), again.current());
        assert_eq!(ring.current_key().map(Secret::expose), again.current_key().map(Secret::expose));
        assert_ne!(ring.current(), made.clone().after("pepper", &secrets(&["old"])).current());
        assert_ne!(ring.current(), made.clone().after("other", &secrets(&["new"])).current());
        assert_eq!(made.clone().after("pepper", &[]).current(), made.current());
    }
}
