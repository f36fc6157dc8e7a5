//! The form in which rows are proved and chained. `docs/audit.md` describes it for verifiers of others; a change is a new version.
//!
//! Three things are made of a row. When it is recorded: a MAC over its content, so that a row that the product did not record is found
//! whether it is sealed or not. When it is sealed: a plain hash over content, place and the hash before it, which anybody can check; and a
//! MAC over place and hash, without which whoever writes to the database could hash the whole chain anew.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{AuditEntry, Chain, Head, Seal};
use crate::{InternalError, Keyring, Secret, text::hex};

/// The form that rows are recorded in now.
pub(super) const VERSION: i64 = 1;

/// What the first row of a chain has as the hash before it.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// Fields, each behind its length: no two lists of fields are the same bytes.
struct Encoding(Vec<u8>);

impl Encoding {
    /// `what` tells the four uses apart.
    fn of(what: &'static str) -> Self {
        Self(Vec::with_capacity(512)).text(what)
    }

    fn text(mut self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX - 1);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// What is not there is no empty text.
    fn optional(mut self, text: Option<&str>) -> Self {
        if let Some(text) = text {
            return self.text(text);
        }
        self.0.extend_from_slice(&u32::MAX.to_be_bytes());
        self
    }

    fn number(self, number: i64) -> Self {
        self.text(&number.to_string())
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        self.text(&hex(bytes))
    }

    fn content(self, entry: &AuditEntry) -> Self {
        self.number(entry.version)
            .text(&entry.chain.to_string())
            .text(&entry.id.to_string())
            .number(entry.at_us)
            .text(&entry.actor)
            .text(&entry.action)
            .optional(entry.subject.as_deref())
            .text(&entry.outcome)
            .optional(entry.reason.as_deref())
            .optional(entry.request_id.map(|id| id.to_string()).as_deref())
    }
}

fn content(entry: &AuditEntry) -> Vec<u8> {
    Encoding::of("saas.audit.entry.v1").content(entry).text(&entry.key_id).0
}

/// A row's hash in its place.
pub(super) fn hash(entry: &AuditEntry, position: i64, previous_hash: &[u8]) -> [u8; 32] {
    let row = Encoding::of("saas.audit.row.v1").content(entry).text(&entry.key_id).bytes(&entry.mac);
    Sha256::digest(row.number(position).bytes(previous_hash).0).into()
}

fn place(chain: Chain, seal: &Seal) -> Vec<u8> {
    let place = Encoding::of("saas.audit.seal.v1").text(&chain.to_string()).number(seal.position);
    place.bytes(&seal.previous_hash).bytes(&seal.hash).text(&seal.key_id).0
}

fn end(head: &Head) -> Vec<u8> {
    Encoding::of("saas.audit.head.v1")
        .text(&head.chain.to_string())
        .number(head.count)
        .bytes(&head.hash)
        .number(head.purged_count)
        .bytes(&head.purged_hash)
        .optional(head.purged_at_us.map(|at| at.to_string()).as_deref())
        .text(&head.key_id)
        .0
}

/// The keys that prove what the product wrote.
#[derive(Debug)]
pub(super) struct Prover(Keyring);

impl Prover {
    pub(super) const fn new(keys: Keyring) -> Self {
        Self(keys)
    }

    /// The id of the key that new things are proved with.
    pub(super) fn current(&self) -> &str {
        self.0.current().as_str()
    }

    fn mac(key: &Secret<[u8; 32]>, message: &[u8]) -> Result<Hmac<Sha256>, InternalError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).map_err(InternalError::new)?;
        mac.update(message);
        Ok(mac)
    }

    fn prove(&self, message: &[u8]) -> Result<Vec<u8>, InternalError> {
        let key = self.0.current_key().ok_or_else(|| InternalError::new("the audit log has no key"))?;
        Ok(Self::mac(key, message)?.finalize().into_bytes().to_vec())
    }

    fn proves(&self, key_id: &str, message: &[u8], proof: &[u8]) -> bool {
        let mac = self.0.key(key_id).and_then(|key| Self::mac(key, message).ok());
        mac.is_some_and(|mac| mac.verify_slice(proof).is_ok())
    }

    /// Proves that the product recorded it.
    pub(super) fn prove_entry(&self, entry: &mut AuditEntry) -> Result<(), InternalError> {
        self.current().clone_into(&mut entry.key_id);
        entry.mac = self.prove(&content(entry))?;
        Ok(())
    }

    pub(super) fn proves_entry(&self, entry: &AuditEntry) -> bool {
        self.proves(&entry.key_id, &content(entry), &entry.mac)
    }

    /// The seal of the row after the head, which moves on to it.
    pub(super) fn seal(&self, entry: &AuditEntry, head: &mut Head) -> Result<Seal, InternalError> {
        let (position, previous_hash) = (head.count + 1, head.hash.clone());
        let hash = hash(entry, position, &previous_hash).to_vec();
        let key_id = self.current().to_owned();
        let mut seal = Seal { position, previous_hash, hash, key_id, mac: Vec::new() };
        seal.mac = self.prove(&place(entry.chain, &seal))?;
        head.count = position;
        head.hash.clone_from(&seal.hash);
        Ok(seal)
    }

    pub(super) fn proves_seal(&self, chain: Chain, seal: &Seal) -> bool {
        self.proves(&seal.key_id, &place(chain, seal), &seal.mac)
    }

    /// Proves where a chain ends.
    pub(super) fn prove_head(&self, head: &mut Head) -> Result<(), InternalError> {
        self.current().clone_into(&mut head.key_id);
        head.mac = self.prove(&end(head))?;
        Ok(())
    }

    pub(super) fn proves_head(&self, head: &Head) -> bool {
        self.proves(&head.key_id, &end(head), &head.mac)
    }
}

impl Head {
    /// The head of a chain that nothing is in yet.
    pub fn empty(chain: Chain) -> Self {
        Self {
            chain,
            count: 0,
            hash: GENESIS.to_vec(),
            purged_count: 0,
            purged_hash: GENESIS.to_vec(),
            purged_at_us: None,
            key_id: String::new(),
            mac: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_fields_are_the_same_bytes() {
        let encoded = |parts: &[Option<&str>]| {
            parts.iter().fold(Encoding::of("x"), |encoding, part| encoding.optional(*part)).0
        };
        let lists: [&[Option<&str>]; 6] =
            [&[], &[None], &[Some("")], &[Some("a"), Some("b")], &[Some("ab"), Some("")], &[Some("ab")]];
        for (index, one) in lists.iter().enumerate() {
            for other in &lists[index + 1..] {
                assert_ne!(encoded(one), encoded(other), "{one:?} {other:?}");
            }
        }
        assert_eq!(encoded(&[Some("é"), None]), *b"\0\0\0\x01x\0\0\0\x02\xc3\xa9\xff\xff\xff\xff");
    }
}
