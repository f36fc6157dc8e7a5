//! The document in which the secret store keeps the signing keys.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use saas_core::Secret;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Damage, Dated, KeySet, KeySetError, KeyStatus, Retired, SigningKey, VerifyingKey};

/// What is written. Schema 1, which is still read, did not have `activated_at`.
const SCHEMA: u32 = 2;

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
    status: KeyStatus,
    created_at: DateTime<Utc>,
    since: DateTime<Utc>,
    /// Of a retired key; an active one has been active since `since`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activated_at: Option<DateTime<Utc>>,
    x: String,
    /// There unless the key is retired.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    seed: Option<Secret<String>>,
}

pub(super) fn read(bytes: &[u8]) -> Result<KeySet, KeySetError> {
    let damaged = |_| KeySetError::Damaged(Damage::Shape);
    let Version { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if !(1..=SCHEMA).contains(&schema) {
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
            KeyStatus::Active => active.push(record.signing()?),
            KeyStatus::Next => next.push(record.signing()?),
            KeyStatus::Retired => retired.push(record.retired()?),
        }
    }
    if active.len() > 1 || next.len() > 1 {
        return Err(Damage::Statuses);
    }
    let active = active.pop().ok_or(Damage::Statuses)?;
    Ok(KeySet::assemble(active, next.pop(), retired, document.changed_at))
}

pub(super) fn write(set: &KeySet) -> Result<Secret<Vec<u8>>, KeySetError> {
    let next = set.next.iter().map(|key| (key, KeyStatus::Next));
    let signing = std::iter::once((&set.active, KeyStatus::Active)).chain(next);
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
    fn of_signing(dated: &Dated, status: KeyStatus) -> Self {
        let seed = Secret::new(URL_SAFE_NO_PAD.encode(dated.key.seed().expose()));
        let public = dated.key.verifying();
        Self {
            kid: public.kid().to_owned(),
            status,
            created_at: dated.created_at,
            since: dated.since,
            activated_at: None,
            x: public.x(),
            seed: Some(seed),
        }
    }

    fn of_retired(old: &Retired) -> Self {
        Self {
            kid: old.key.kid().to_owned(),
            status: KeyStatus::Retired,
            created_at: old.created_at,
            since: old.since,
            activated_at: old.activated_at,
            x: old.key.x(),
            seed: None,
        }
    }

    fn signing(self) -> Result<Dated, Damage> {
        let seed = self.seed.as_ref().ok_or(Damage::Key)?;
        let key = SigningKey::from_seed(&Secret::new(*bytes_32(seed.expose())?));
        if key.kid() != self.kid || key.verifying().x() != self.x {
            return Err(Damage::Key);
        }
        Ok(Dated { key, created_at: self.created_at, since: self.since })
    }

    fn retired(self) -> Result<Retired, Damage> {
        let Self { created_at, since, activated_at, .. } = self;
        let key = VerifyingKey::from_bytes(&*bytes_32(&self.x)?).map_err(|_| Damage::Key)?;
        if key.kid() != self.kid || self.seed.is_some() {
            return Err(Damage::Key);
        }
        Ok(Retired { key, created_at, activated_at, since })
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
            json!({"schema": 2, "changed_at": time, "keys": [
                {"kid": "...", "status": "active", "created_at": time, "since": time, "x": "...", "seed": "..."}
            ]})
        );
        Ok(())
    }

    #[test]
    fn a_document_of_schema_1_is_read_and_written_as_schema_2() -> Result<(), Box<dyn std::error::Error>> {
        let entropy = SeededEntropy::new(5);
        let [active, old] = [(); 2].map(|()| SigningKey::generate(&entropy));
        let [made, turned] = ["2026-01-01T00:00:00Z", "2026-01-01T00:06:00.000001Z"];
        let mut document = json!({"schema": 1, "changed_at": turned, "keys": [
            {
                "kid": active.kid(), "status": "active", "created_at": made, "since": turned,
                "x": active.verifying().x(), "seed": URL_SAFE_NO_PAD.encode(active.seed().expose()),
            },
            {
                "kid": old.kid(), "status": "retired", "created_at": made, "since": turned,
                "x": old.verifying().x(),
            },
        ]});
        let set = KeySet::from_bytes(&serde_json::to_vec(&document)?)?;
        document["schema"] = json!(2);
        let written: Value = serde_json::from_slice(set.to_bytes()?.expose())?;
        assert_eq!(written, document, "nothing is made up for what was not kept");
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
        for found in [0, 3] {
            let read = KeySet::from_bytes(&serde_json::to_vec(&with("/schema", json!(found)))?);
            assert!(matches!(read, Err(KeySetError::Schema { found: named }) if named == found), "{read:?}");
        }
        Ok(())
    }
}
