//! Replacing a secret and recording that.

use super::{Audit, AuditEvent};
use crate::{Actor, Reach, ReplacedIn, Secret, SecretStore, SecretStoreError, StoreError};

const REACH: Reach = Reach::Platform("replacing a secret");

/// Why a secret was not replaced, or not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceSecretError {
    /// The secret store failed; the secret is what it was.
    #[error(transparent)]
    Secrets(#[from] SecretStoreError),
    /// The storage failed; the secret is what it was.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret was replaced where no transaction reaches, and the audit log could not be told.
    #[error("the secret was replaced, and the audit log could not be written")]
    Unrecorded(#[source] StoreError),
}

impl Audit {
    /// Replaces the secret at `version` and records `event`: both or neither where the store keeps its secrets in the product's storage, and the
    /// row right after it where it keeps them elsewhere. `false`: it is at another version, and nothing was recorded.
    pub async fn replace_secret(
        &self,
        actor: &Actor,
        secrets: &dyn SecretStore,
        (name, version): (&str, i64),
        value: &Secret<Vec<u8>>,
        event: AuditEvent,
    ) -> Result<bool, ReplaceSecretError> {
        let mut tx = self.storage().begin(REACH).await?;
        match secrets.replace_in(&mut tx, name, version, value).await? {
            ReplacedIn::Replaced => {
                self.record(&mut tx, actor, event).await?;
                tx.commit().await?;
                return Ok(true);
            }
            ReplacedIn::Stale => return Ok(false),
            ReplacedIn::Elsewhere => drop(tx),
        }
        let replaced = secrets.replace(name, version, value).await?;
        if replaced {
            self.record_alone(actor, event).await.map_err(ReplaceSecretError::Unrecorded)?;
        }
        Ok(replaced)
    }
}
