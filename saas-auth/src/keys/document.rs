//! The document in which the secret store keeps the signing keys.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use saas_core::Secret;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Damage, Dated, KeySet, KeySetError, SigningKey, VerifyingKey};

const SCHEMA: u32 = 1;

/// More than a key takes, so that the buffer does not grow and leave copies of seeds behind.
const BYTES_PER_KEY: usize = 512;

/// The one member that every schema has.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    changed_at: DateTime<Utc>,
    keys: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kid: String,
    status: Status,
    created_at: DateTime<Utc>,
    since: DateTime<Utc>,
    x: String,
    /// There unless the key is retired.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    seed: Option<Secret<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Next,
    Active,
    Retired,
}

pub(super) fn read(bytes: &[u8]) -> Result<KeySet, KeySetError> {
    let damaged = |_| KeySetError::Damaged(Damage::Shape);
    let Version { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if schema != SCHEMA {
        return Err(KeySetError::Schema { found: schema });
    }
    let document: Document = serde_json::from_slice(bytes).map_err(damaged)?;
    key_set(document).map_err(KeySetError::Damaged)
}

fn key_set(document: Document) -> Result<KeySet, Damage> {
    let (mut active, mut next, mut retired) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for record in document.keys {
        if !seen.insert(record.kid.clone()) {
            return Err(Damage::Statuses);
        }
        match record.status {
            Status::Active => active.push(record.signing()?),
            Status::Next => next.push(record.signing()?),
            Status::Retired => retired.push(record.verifying()?),
        }
    }
    if active.len() > 1 || next.len() > 1 {
        return Err(Damage::Statuses);
    }
    let active = active.pop().ok_or(Damage::Statuses)?;
    Ok(KeySet::assemble(active, next.pop(), retired, document.changed_at))
}

pub(super) fn write(set: &KeySet) -> Result<Secret<Vec<u8>>, KeySetError> {
    let signing =
        std::iter::once((&set.active, Status::Active)).chain(set.next.iter().map(|key| (key, Status::Next)));
    let keys: Vec<Record> = signing
        .map(|(key, status)| Record::of_signing(key, status))
        .chain(set.retired.iter().map(Record::of_retired))
        .collect();
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_PER_KEY * (keys.len() + 1)));
    let document = Document { schema: SCHEMA, changed_at: set.changed_at, keys };
    serde_json::to_writer(&mut *bytes, &document).map_err(|_| KeySetError::Damaged(Damage::Shape))?;
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

impl Record {
    fn of_signing(dated: &Dated<SigningKey>, status: Status) -> Self {
        let seed = Secret::new(URL_SAFE_NO_PAD.encode(dated.key.seed().expose()));
        let public = dated.key.verifying();
        Self {
            kid: public.kid().to_owned(),
            status,
            created_at: dated.created_at,
            since: dated.since,
            x: public.x(),
            seed: Some(seed),
        }
    }

    fn of_retired(dated: &Dated<VerifyingKey>) -> Self {
        Self {
            kid: dated.key.kid().to_owned(),
            status: Status::Retired,
            created_at: dated.created_at,
            since: dated.since,
            x: dated.key.x(),
            seed: None,
        }
    }

    fn signing(self) -> Result<Dated<SigningKey>, Damage> {
        let seed = self.seed.as_ref().ok_or(Damage::Key)?;
        let key = SigningKey::from_seed(Secret::new(*bytes_32(seed.expose())?));
        if key.kid() != self.kid || key.verifying().x() != self.x {
            return Err(Damage::Key);
        }
        Ok(Dated { key, created_at: self.created_at, since: self.since })
    }

    fn verifying(self) -> Result<Dated<VerifyingKey>, Damage> {
        let key = VerifyingKey::from_bytes(&*bytes_32(&self.x)?).map_err(|_| Damage::Key)?;
        if key.kid() != self.kid || self.seed.is_some() {
            return Err(Damage::Key);
        }
        Ok(Dated { key, created_at: self.created_at, since: self.since })
    }
}

fn bytes_32(text: &str) -> Result<Zeroizing<[u8; 32]>, Damage> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| Damage::Key)?);
    let array = bytes.as_slice().try_into().map_err(|_| Damage::Key)?;
    Ok(Zeroizing::new(array))
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn expose<S: Serializer>(seed: &Option<Secret<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    seed.as_ref().map(|seed| seed.expose().as_str()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use saas_core::{clock::ManualClock, entropy::SeededEntropy};
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Result<Value, Box<dyn std::error::Error>> {
        let set = KeySet::generate(&ManualClock::default(), &SeededEntropy::new(3));
        Ok(serde_json::from_slice(set.to_bytes()?.expose())?)
    }

    #[test]
    fn the_document_has_its_documented_shape() -> Result<(), Box<dyn std::error::Error>> {
        let mut document = document()?;
        let key = &mut document["keys"][0];
        for member in ["kid", "x", "seed"] {
            assert_eq!(key[member].as_str().map(str::len), Some(43), "{member}");
            key[member] = json!("...");
        }
        let time = "2026-01-01T00:00:00Z";
        assert_eq!(
            document,
            json!({"schema": 1, "changed_at": time, "keys": [
                {"kid": "...", "status": "active", "created_at": time, "since": time, "x": "...", "seed": "..."}
            ]})
        );
        Ok(())
    }

    #[test]
    fn a_damaged_document_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let good = document()?;
        let x = good["keys"][0]["x"].clone();
        let other = SigningKey::generate(&SeededEntropy::new(4));
        let with = |pointer: &str, value: Value| {
            let mut bad = good.clone();
            if let Some(found) = bad.pointer_mut(pointer) {
                *found = value;
            }
            bad
        };
        for (name, bad, damage) in [
            ("no keys", with("/keys", json!([])), Damage::Statuses),
            ("a key twice", with("/keys", json!([good["keys"][0], good["keys"][0]])), Damage::Statuses),
            ("no active key", with("/keys/0/status", json!("next")), Damage::Statuses),
            ("a seed in a retired key", with("/keys/0/status", json!("retired")), Damage::Key),
            ("an unknown status", with("/keys/0/status", json!("spare")), Damage::Shape),
            ("another name", with("/keys/0/kid", json!(other.kid())), Damage::Key),
            ("another public key", with("/keys/0/x", json!(other.verifying().x())), Damage::Key),
            ("another seed", with("/keys/0/seed", x), Damage::Key),
            ("a short seed", with("/keys/0/seed", json!("AAAA")), Damage::Key),
            ("no seed", with("/keys/0/seed", Value::Null), Damage::Key),
            ("no JSON object", json!("x"), Damage::Shape),
        ] {
            let read = KeySet::from_bytes(&serde_json::to_vec(&bad)?);
            assert!(matches!(read, Err(KeySetError::Damaged(found)) if found == damage), "{name}: {read:?}");
        }
        let read = KeySet::from_bytes(&serde_json::to_vec(&with("/schema", json!(2)))?);
        assert!(matches!(read, Err(KeySetError::Schema { found: 2 })), "{read:?}");
        Ok(())
    }
}
