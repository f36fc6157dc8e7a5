//! Data keys as the secret store keeps them.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{DataKey, DataKeyId, DataKeys};
use crate::{InternalError, Secret, text::hex};

/// What is stored is no keyring. What is wrong with it is left out, for it could quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored data keys are damaged, or of a later version: restore them from a backup, or run the version that wrote them"
)]
pub struct InvalidDataKeys;

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    id: String,
    active_from: DateTime<Utc>,
    key: Zeroizing<String>,
}

impl DataKeys {
    pub(super) fn to_bytes(&self) -> Result<Secret<Vec<u8>>, InternalError> {
        let entry = |key: &DataKey| Entry {
            id: key.id.to_string(),
            active_from: key.active_from,
            key: Zeroizing::new(STANDARD_NO_PAD.encode(key.key.expose())),
        };
        let document = Document { schema: 1, keys: self.keys.iter().map(entry).collect() };
        serde_json::to_vec(&document).map(Secret::new).map_err(InternalError::new)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidDataKeys> {
        let document: Document = serde_json::from_slice(bytes).map_err(|_| InvalidDataKeys)?;
        if document.schema != 1 {
            return Err(InvalidDataKeys);
        }
        let mut keys = Vec::with_capacity(document.keys.len());
        for Entry { id, active_from, key } in document.keys {
            let key = Zeroizing::new(STANDARD_NO_PAD.decode(&*key).map_err(|_| InvalidDataKeys)?);
            let key = Secret::new(key.as_slice().try_into().map_err(|_| InvalidDataKeys)?);
            keys.push(DataKey { id: id_of(&id).ok_or(InvalidDataKeys)?, active_from, key });
        }
        keys.sort_by_key(|key| key.active_from);
        if keys.is_empty() { Err(InvalidDataKeys) } else { Ok(Self { keys }) }
    }
}

fn id_of(text: &str) -> Option<DataKeyId> {
    let id = u32::from_str_radix(text, 16).ok().map(|id| DataKeyId(id.to_be_bytes()))?;
    (hex(&id.0) == text).then_some(id)
}
