//! The keys that sign access tokens: Ed25519, kept as one document in the secret store, published as a JWKS.
//!
//! Every replica holds the same [`KeySet`]. It has exactly one active key, which signs; it may have a next one, which is published
//! before it signs, and retired ones, which have no private part any more and verify what they signed until the last of it has expired.
//! [`Auth::rotate_signing_keys`](crate::Auth::rotate_signing_keys) moves them on.

mod document;
mod ed25519;
mod jwks;
mod rotation;

use std::{collections::HashMap, fmt::Debug, time::Duration};

use chrono::{DateTime, Utc};
use saas_core::{Clock, Entropy, Secret, SecretStore, SecretStoreError, StoredSecret, clock::stored_now};

use crate::token::AccessTokens;

pub use ed25519::{InvalidKey, SigningKey, VerifyingKey};
pub use jwks::Jwks;
pub(crate) use rotation::NotDue;
pub use rotation::{KeyStatus, RotationStep, SigningKeyInfo};

/// The signing keys of one deployment.
#[derive(Debug)]
pub struct KeySet {
    active: Dated,
    next: Option<Dated>,
    retired: Vec<Retired>,
    changed_at: DateTime<Utc>,
    /// The version in the secret store; 0 for a set that is not from there.
    version: i64,
    verifying: HashMap<String, Published>,
    jwks: Jwks,
}

/// A key that signs or will, and the times that rotation goes by.
#[derive(Debug)]
struct Dated {
    key: SigningKey,
    /// When it was made, which is when it was first published.
    created_at: DateTime<Utc>,
    /// When it took the status that it has.
    since: DateTime<Utc>,
}

/// A key that has signed.
#[derive(Debug)]
struct Retired {
    key: VerifyingKey,
    created_at: DateTime<Utc>,
    /// Documents of schema 1 did not keep it.
    activated_at: Option<DateTime<Utc>>,
    /// When it was retired.
    since: DateTime<Utc>,
}

/// A key that verifies, and the moment from which it does not.
#[derive(Debug)]
struct Published {
    key: VerifyingKey,
    ends_at: Option<DateTime<Utc>>,
}

/// Why there are no signing keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// The secret store did not answer as it should.
    #[error("the signing keys could not be read from the secret store or written to it")]
    Store(#[from] SecretStoreError),
    /// They were there when the process started, and are not any more.
    #[error(
        "the signing keys are gone from the secret store: restore its backup, or restart to make new ones"
    )]
    Gone,
    /// The document was written by a later version of this program.
    #[error(
        "the document of signing keys has schema {found}, and this version reads schemas 1 and 2: run the version that wrote it"
    )]
    Schema {
        /// The schema that it names.
        found: u32,
    },
    /// The document is not one of ours, or was changed. The cause is left out, for it could quote the document.
    #[error("the document of signing keys is damaged: {0}")]
    Damaged(Damage),
}

/// What is wrong with a document of signing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Not the JSON it should be.
    #[error("it is not the expected JSON")]
    Shape,
    /// A key is no usable Ed25519 key, or its parts do not belong together.
    #[error("one of its keys is not valid")]
    Key,
    /// None or several are active, several are next, or a key is there twice.
    #[error("it does not have exactly one active key, at most one next key, and each key once")]
    Statuses,
}

impl KeySet {
    /// The name of the document in the secret store.
    pub const SECRET_NAME: &str = "auth.signing_keys";
    /// How often a process looks whether the keys have changed.
    pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);
    /// What a key is published for beyond the time for which others cache the JWKS: what replicas take to reload, twice.
    pub const RELOAD_SLACK: Duration = Duration::from_secs(10);
    /// The shortest time for which a key is published before it signs, whatever the configuration: several reloads may fail in it.
    pub const MIN_PUBLISH_DELAY: Duration = Duration::from_secs(30);
    /// How long a retired key verifies: as long as a token may live that a replica made just before it heard of the retirement.
    pub const RETIREMENT: Duration = AccessTokens::MAX_LIFETIME.saturating_add(AccessTokens::LEEWAY);

    /// The deployment's keys; the first replica to ask makes them.
    pub async fn load_or_create(
        store: &dyn SecretStore,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeySetError> {
        if let Some(stored) = store.get(Self::SECRET_NAME).await? {
            return Self::from_stored(&stored, stored_now(clock));
        }
        let fresh = Self::generate(clock, entropy).to_bytes()?;
        // Another replica may have been first: what the store answers counts, not what was offered.
        let stored = store.insert(Self::SECRET_NAME, &fresh).await?;
        Self::from_stored(&stored, stored_now(clock))
    }

    /// A new set with one active key.
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        Self::fresh(stored_now(clock), entropy)
    }

    /// Reads a document that [`KeySet::to_bytes`] wrote, in this version or an earlier one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeySetError> {
        document::read(bytes)
    }

    /// The document for the secret store: JSON, `schema` 2, private parts included.
    pub fn to_bytes(&self) -> Result<Secret<Vec<u8>>, KeySetError> {
        document::write(self)
    }

    /// The key that signs.
    pub const fn active(&self) -> &SigningKey {
        &self.active.key
    }

    /// When that key began to sign.
    pub const fn active_since(&self) -> DateTime<Utc> {
        self.active.since
    }

    /// The public key that is called `kid` and verifies at `now`: a name in a map, never a path or an address (RFC 8725 section 3.10).
    pub fn verifying(&self, kid: &str, now: DateTime<Utc>) -> Option<&VerifyingKey> {
        let published = self.verifying.get(kid)?;
        published.ends_at.is_none_or(|ends_at| now < ends_at).then_some(&published.key)
    }

    /// What others verify tokens by: the public part of every key of the set.
    pub const fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// The set as it is stored, without the retired keys whose time is over at `now`.
    pub(crate) fn from_stored(stored: &StoredSecret, now: DateTime<Utc>) -> Result<Self, KeySetError> {
        let set = Self::from_bytes(stored.value.expose())?;
        Ok(set.without_ended(now).at_version(stored.version))
    }

    /// The version in the secret store.
    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    /// The same set as it is stored.
    pub(crate) fn at_version(self, version: i64) -> Self {
        Self { version, ..self }
    }

    fn assemble(
        active: Dated,
        next: Option<Dated>,
        retired: Vec<Retired>,
        changed_at: DateTime<Utc>,
    ) -> Self {
        let signing = std::iter::once(&active).chain(&next);
        let signing = signing.map(|dated| Published { key: dated.key.verifying().clone(), ends_at: None });
        let ending =
            retired.iter().map(|old| Published { key: old.key.clone(), ends_at: Some(old.ends_at()) });
        let verifying: HashMap<String, Published> =
            signing.chain(ending).map(|published| (published.key.kid().to_owned(), published)).collect();
        let jwks = Jwks::new(verifying.values().map(|published| &published.key), changed_at);
        Self { active, next, retired, changed_at, version: 0, verifying, jwks }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
    };

    use async_trait::async_trait;
    use saas_core::{ReplacedIn, StoredSecret, Tx, clock::ManualClock, entropy::SeededEntropy};

    use super::*;

    /// Keeps secrets in memory; `late` is what another replica stores between our `get` and our `insert`.
    #[derive(Debug, Default)]
    struct MemoryStore {
        secrets: Mutex<BTreeMap<String, Secret<Vec<u8>>>>,
        late: Mutex<Option<Secret<Vec<u8>>>>,
    }

    #[async_trait]
    impl SecretStore for MemoryStore {
        async fn get(&self, name: &str) -> Result<Option<StoredSecret>, SecretStoreError> {
            let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(secrets.get(name).map(|value| StoredSecret { value: value.clone(), version: 1 }))
        }

        async fn insert(
            &self,
            name: &str,
            value: &Secret<Vec<u8>>,
        ) -> Result<StoredSecret, SecretStoreError> {
            let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(late) = self.late.lock().unwrap_or_else(PoisonError::into_inner).take() {
                secrets.insert(name.to_owned(), late);
            }
            let value = secrets.entry(name.to_owned()).or_insert_with(|| value.clone()).clone();
            Ok(StoredSecret { value, version: 1 })
        }

        async fn replace(&self, _: &str, _: i64, _: &Secret<Vec<u8>>) -> Result<bool, SecretStoreError> {
            Ok(false)
        }

        async fn replace_in(
            &self,
            _: &mut Tx,
            _: &str,
            _: i64,
            _: &Secret<Vec<u8>>,
        ) -> Result<ReplacedIn, SecretStoreError> {
            Ok(ReplacedIn::Elsewhere)
        }
    }

    #[tokio::test]
    async fn the_first_replica_makes_the_keys_and_the_others_find_them() -> Result<(), KeySetError> {
        let (store, clock, entropy) = (MemoryStore::default(), ManualClock::default(), SeededEntropy::new(1));
        let first = KeySet::load_or_create(&store, &clock, &entropy).await?;
        let second = KeySet::load_or_create(&store, &clock, &entropy).await?;
        assert_eq!(first.active().kid(), second.active().kid());
        assert_eq!(first.jwks().body(), second.jwks().body());
        Ok(())
    }

    #[tokio::test]
    async fn a_replica_that_loses_the_race_takes_the_winners_keys() -> Result<(), KeySetError> {
        let (store, clock, entropy) = (MemoryStore::default(), ManualClock::default(), SeededEntropy::new(1));
        let winner = KeySet::generate(&clock, &entropy);
        *store.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(winner.to_bytes()?);
        let loser = KeySet::load_or_create(&store, &clock, &entropy).await?;
        assert_eq!(loser.active().kid(), winner.active().kid());
        Ok(())
    }

    #[test]
    fn every_key_verifies_and_is_published_and_none_shows_its_seed() -> Result<(), KeySetError> {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::new(1));
        let now = stored_now(&clock);
        let dated = |key| Dated { key, created_at: now, since: now };
        let [active, next, old] = [(); 3].map(|()| SigningKey::generate(&entropy));
        let kids = [&active, &next, &old].map(|key| key.kid().to_owned());
        let seed = format!("{:?}", active.seed().expose());
        let retired = dated(old).retired(now);
        let set = KeySet::assemble(dated(active), Some(dated(next)), vec![retired], now);

        let read = KeySet::from_bytes(set.to_bytes()?.expose())?;
        let body = String::from_utf8_lossy(read.jwks().body()).into_owned();
        for kid in &kids {
            assert!(
                read.verifying(kid, now).is_some_and(|key| key.kid() == kid) && body.contains(kid.as_str())
            );
        }
        assert_eq!(read.active().kid(), kids[0]);
        assert!(read.verifying("", now).is_none());
        let shown = format!("{set:?}");
        assert!(!shown.contains(&seed) && kids.iter().all(|kid| shown.contains(kid.as_str())), "{shown}");
        Ok(())
    }
}
