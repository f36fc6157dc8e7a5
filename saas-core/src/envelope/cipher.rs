//! The data keys in use: loaded, shared, rotated.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{DataKeyId, DataKeys, Envelope, Field, InvalidDataKeys, OpenEnvelopeError};
use crate::{
    Actor, Audit, Clock, Entropy, ErrorKind, Fault, InternalError, Principal, Report, Secret, SecretStore,
    SecretStoreError, StoreError, StoredSecret,
    audit::{AuditEvent, AuditSubject, DATA_KEYS_ROTATED, ReplaceSecretError},
    clock::stored_now,
};

/// The keyring in the secret store.
const NAME: &str = "data_keys";
/// How often a rotation is tried again when another process changed the keys meanwhile.
const ATTEMPTS: usize = 8;

/// Encrypts single values for where they stand, and opens them there.
///
/// Its keys are shared by every replica: a new one becomes active some time after it was made, when all have heard of it by
/// [`FieldCipher::reload`]. Encrypting and opening ask nobody.
pub struct FieldCipher {
    secrets: Arc<dyn SecretStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: RwLock<(i64, Arc<DataKeys>)>,
}

/// A key that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRotation {
    /// The new key.
    pub key: DataKeyId,
    /// From when on values are encrypted with it.
    pub active_from: DateTime<Utc>,
}

/// Why the data keys were not read or not rotated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataKeysError {
    /// The secret store failed.
    #[error("the data keys could not be read from the secret store or written to it")]
    Store(#[from] SecretStoreError),
    /// What it has is no keyring.
    #[error(transparent)]
    Damaged(#[from] InvalidDataKeys),
    /// They were there when the process started, and are not any more.
    #[error(
        "the data keys are gone from the secret store: restore its backup; without them personal data cannot be read"
    )]
    Gone,
    /// The last new key is not in use yet.
    #[error("the data key {key} is new and becomes active at {}: rotate again after that", active_from.to_rfc3339_opts(SecondsFormat::AutoSi, true))]
    NotDue {
        /// The new key.
        key: DataKeyId,
        /// From when on values are encrypted with it.
        active_from: DateTime<Utc>,
    },
    /// Others rotated again and again.
    #[error("others rotate the data keys at the same time: try again")]
    Contended,
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// The storage failed; the keys are what they were.
    #[error(transparent)]
    Storage(StoreError),
    /// The keys are kept elsewhere and were changed, and the audit log could not be told.
    #[error("a data key was added, and the audit log could not be written: note it down")]
    Unrecorded(#[source] StoreError),
    /// The keyring could not be written down.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl From<ReplaceSecretError> for DataKeysError {
    fn from(error: ReplaceSecretError) -> Self {
        match error {
            ReplaceSecretError::Secrets(error) => Self::Store(error),
            ReplaceSecretError::Store(error) => Self::Storage(error),
            ReplaceSecretError::Unrecorded(error) => Self::Unrecorded(error),
        }
    }
}

impl Fault for DataKeysError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::NotDue { .. } => Report::new(ErrorKind::Conflict, "data_key_rotation_not_due"),
            Self::Contended => Report::new(ErrorKind::Unavailable, "data_key_rotation_contended"),
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::Storage(error) => error.report(),
            Self::Store(_) | Self::Damaged(_) | Self::Gone | Self::Unrecorded(_) | Self::Internal(_) => {
                Report::internal()
            }
        }
    }
}

impl FieldCipher {
    /// How often a process looks for new keys: several times within [`DataKeys::PUBLISH_DELAY`].
    pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

    /// With the deployment's keys; the first replica to ask makes one.
    pub async fn open(
        secrets: Arc<dyn SecretStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DataKeysError> {
        let stored = if let Some(stored) = secrets.get(NAME).await? {
            stored
        } else {
            let first = DataKeys::generate(&*entropy, stored_now(&*clock)).to_bytes()?;
            secrets.insert(NAME, &first).await?
        };
        let keys = RwLock::new(read(&stored)?);
        Ok(Self { secrets, clock, entropy, keys })
    }

    /// The keys as this process knows them.
    pub fn keys(&self) -> Arc<DataKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// The key that is active now.
    pub fn active(&self) -> Option<DataKeyId> {
        self.keys().active(stored_now(&*self.clock))
    }

    /// Encrypts a value for its place; `None` for what is larger than any database takes.
    pub fn seal(&self, field: Field<'_>, value: &[u8]) -> Option<Envelope> {
        self.keys().seal(&*self.entropy, stored_now(&*self.clock), field, value)
    }

    /// What was encrypted for this place.
    pub fn unseal(
        &self,
        field: Field<'_>,
        envelope: &Envelope,
    ) -> Result<Secret<Vec<u8>>, OpenEnvelopeError> {
        self.keys().open(field, envelope)
    }

    /// Takes over the keys that another process added; `false` when there are none. For hosts, every [`FieldCipher::RELOAD_INTERVAL`].
    pub async fn reload(&self) -> Result<bool, DataKeysError> {
        let stored = self.secrets.get(NAME).await?.ok_or(DataKeysError::Gone)?;
        Ok(self.take_over(read(&stored)?))
    }

    /// Adds a key, which becomes active when every replica has heard of it. What the others have encrypted stays as it is. For operators; it is
    /// recorded in the transaction that adds the key, where the secret store keeps it in the product's storage.
    pub async fn rotate(&self, audit: &Audit, actor: &Actor) -> Result<KeyRotation, DataKeysError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(DataKeysError::Forbidden);
        }
        for _ in 0..ATTEMPTS {
            let now = stored_now(&*self.clock);
            let stored = self.secrets.get(NAME).await?.ok_or(DataKeysError::Gone)?;
            let (version, keys) = read(&stored)?;
            if let Some((key, active_from)) = keys.newest().filter(|(_, active_from)| *active_from > now) {
                return Err(DataKeysError::NotDue { key, active_from });
            }
            let keys = DataKeys::clone(&keys).with_another(&*self.entropy, now);
            let Some((key, active_from)) = keys.newest() else { continue };
            let event = AuditEvent::new(DATA_KEYS_ROTATED).about(AuditSubject::new("data_key", key));
            let bytes = keys.to_bytes()?;
            if audit.replace_secret(actor, &*self.secrets, (NAME, version), &bytes, event).await? {
                self.take_over((version + 1, Arc::new(keys)));
                return Ok(KeyRotation { key, active_from });
            }
        }
        Err(DataKeysError::Contended)
    }

    fn take_over(&self, (version, keys): (i64, Arc<DataKeys>)) -> bool {
        let mut held = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let newer = version > held.0;
        if newer {
            *held = (version, keys);
        }
        newer
    }
}

fn read(stored: &StoredSecret) -> Result<(i64, Arc<DataKeys>), InvalidDataKeys> {
    DataKeys::from_bytes(stored.value.expose()).map(|keys| (stored.version, Arc::new(keys)))
}

impl fmt::Debug for FieldCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldCipher").field("active", &self.active()).finish_non_exhaustive()
    }
}
