//! What somebody holds between the password and the second factor: a challenge.
//!
//! It is `saas_sf_` and, in base64url, the ids of its row, user and tenant (16 bytes each), when it ends (8 bytes, big-endian) and an HMAC-SHA256 over
//! them (32 bytes). So a forged one and one that is over are told before the database is asked. It opens nothing by itself, and its row bounds how
//! many codes it is good for.

use std::fmt::Debug;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use saas_core::{InternalError, Secret, StoreError, TenantId, Tx, UserId};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Keyring, RecoveryCode};

saas_core::id! {
    /// A challenge for a second factor.
    pub ChallengeId
}

const PREFIX: &str = "saas_sf_";
/// What the MAC is over: three ids and the end.
const NAMED: usize = 3 * 16 + 8;
const BYTES: usize = NAMED + 32;

/// A challenge that somebody presented; whether it is genuine, [`SecondFactorKeys::made`] tells.
#[derive(Debug)]
pub(crate) struct ChallengeToken {
    pub(crate) id: ChallengeId,
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    /// In whole seconds.
    ends: i64,
    mac: Secret<[u8; 32]>,
}

/// A text that has not the form of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidChallenge;

impl ChallengeToken {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidChallenge> {
        let encoded =
            text.strip_prefix(PREFIX).filter(|encoded| encoded.len() <= 2 * BYTES).ok_or(InvalidChallenge)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidChallenge)?);
        let mut rest = bytes.as_slice();
        let token = Self {
            id: ChallengeId::from_uuid(Uuid::from_bytes(next(&mut rest)?)),
            user: UserId::from_uuid(Uuid::from_bytes(next(&mut rest)?)),
            tenant: TenantId::from_uuid(Uuid::from_bytes(next(&mut rest)?)),
            ends: i64::from_be_bytes(next(&mut rest)?),
            mac: Secret::new(next(&mut rest)?),
        };
        if rest.is_empty() { Ok(token) } else { Err(InvalidChallenge) }
    }

    /// Whether its time has come.
    pub(crate) const fn is_over(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() >= self.ends
    }

    fn named(&self) -> [u8; NAMED] {
        named(self.id, self.user, self.tenant, self.ends)
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], InvalidChallenge> {
    let (first, after) = rest.split_first_chunk().ok_or(InvalidChallenge)?;
    *rest = after;
    Ok(*first)
}

fn named(id: ChallengeId, user: UserId, tenant: TenantId, ends: i64) -> [u8; NAMED] {
    let mut bytes = [0; NAMED];
    bytes[..16].copy_from_slice(id.as_uuid().as_bytes());
    bytes[16..32].copy_from_slice(user.as_uuid().as_bytes());
    bytes[32..48].copy_from_slice(tenant.as_uuid().as_bytes());
    bytes[48..].copy_from_slice(&ends.to_be_bytes());
    bytes
}

/// Makes challenges and tells genuine ones, and hashes what stands in rows about second factors.
#[derive(Debug, Clone)]
pub(crate) struct SecondFactorKeys(Keyring);

impl SecondFactorKeys {
    /// The keyring's name among the secrets.
    pub(crate) const NAME: &'static str = "auth.second_factor";

    pub(crate) const fn new(keys: Keyring) -> Self {
        Self(keys)
    }

    /// The challenge of a row.
    pub(crate) fn challenge(
        &self,
        row: &Challenge,
        tenant: TenantId,
    ) -> Result<Secret<String>, InternalError> {
        let named = named(row.id, row.user, tenant, row.expires_at.timestamp());
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        bytes.extend_from_slice(&named);
        bytes.extend_from_slice(&mac(self.current()?, CHALLENGE, &[&named])?);
        Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*bytes))))
    }

    /// Whether we made it, under any of the keys, in time that does not depend on where it differs.
    pub(crate) fn made(&self, token: &ChallengeToken) -> Result<bool, InternalError> {
        let named = token.named();
        for key in self.0.keys() {
            if token.mac.equals(&mac(key, CHALLENGE, &[&named])?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is kept of a recovery code.
    pub(crate) fn code_hash(&self, user: UserId, code: &RecoveryCode) -> Result<[u8; 32], InternalError> {
        mac(self.current()?, CODE, &[user.as_uuid().as_bytes(), code.expose()])
    }

    /// What may have been kept of it: one hash for each key.
    pub(crate) fn code_hashes(
        &self,
        user: UserId,
        code: &RecoveryCode,
    ) -> Result<Vec<[u8; 32]>, InternalError> {
        self.0.keys().map(|key| mac(key, CODE, &[user.as_uuid().as_bytes(), code.expose()])).collect()
    }

    fn current(&self) -> Result<&Secret<[u8; 32]>, InternalError> {
        self.0.current_key().ok_or_else(|| InternalError::new("the keyring has no current key"))
    }
}

const CHALLENGE: &[u8] = b"saas/second-factor-challenge/v1\0";
const CODE: &[u8] = b"saas/recovery-code/v1\0";

fn mac(key: &Secret<[u8; 32]>, what: &[u8], parts: &[&[u8]]) -> Result<[u8; 32], InternalError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).map_err(InternalError::new)?;
    mac.update(what);
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

/// A challenge's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its id.
    pub id: ChallengeId,
    /// Who has shown their password.
    pub user: UserId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends, in whole seconds.
    pub expires_at: DateTime<Utc>,
}

/// Keeps challenges.
///
/// # Contract
/// - What was inserted is given back by `attempt` as it was, at most as many times as asked for, and not from its end on.
/// - Of any number of `attempt`s at once no more are let through.
/// - `close` removes it; of any number of calls one tells that it was there, and `attempt` finds it no more.
/// - `end` removes all of that user and nobody else's.
#[async_trait]
pub trait ChallengeStore: Debug + Send + Sync + 'static {
    /// Adds a challenge.
    async fn insert(&self, tx: &mut Tx, challenge: &Challenge) -> Result<(), StoreError>;
    /// Counts an attempt and gives the challenge; `None` where there is none, its time is over, or `most` attempts were made.
    async fn attempt(
        &self,
        tx: &mut Tx,
        id: ChallengeId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<Challenge>, StoreError>;
    /// Removes it; `false` when it was not there.
    async fn close(&self, tx: &mut Tx, id: ChallengeId) -> Result<bool, StoreError>;
    /// Removes all challenges of a user.
    async fn end(&self, tx: &mut Tx, user: UserId) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use saas_core::entropy::SeededEntropy;

    use super::*;

    fn keys(seed: u64) -> SecondFactorKeys {
        SecondFactorKeys::new(Keyring::generate(&SeededEntropy::new(seed)))
    }

    fn row() -> (Challenge, TenantId) {
        let at = |seconds: i64| DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap();
        let challenge = Challenge {
            id: ChallengeId::from_uuid(Uuid::from_u128(1)),
            user: UserId::from_uuid(Uuid::from_u128(2)),
            created_at: at(0),
            expires_at: at(300),
        };
        (challenge, TenantId::from_uuid(Uuid::from_u128(3)))
    }

    #[test]
    fn every_changed_character_of_a_challenge_is_noticed() {
        let (row, tenant) = row();
        let genuine = keys(1).challenge(&row, tenant).unwrap();
        let token = ChallengeToken::parse(genuine.expose()).unwrap();
        assert!(keys(1).made(&token).unwrap() && !keys(2).made(&token).unwrap());
        assert_eq!((token.id, token.user, token.tenant), (row.id, row.user, tenant));
        for index in 0..genuine.expose().len() {
            let mut forged = genuine.expose().clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            if let Ok(forged) = ChallengeToken::parse(std::str::from_utf8(&forged).unwrap()) {
                assert!(!keys(1).made(&forged).unwrap(), "{index}");
            }
        }
        for text in ["", "saas_sf_", "saas_sf_AAAA", "saas_mt_AAAA", &format!("{}AAAA", genuine.expose())] {
            assert!(ChallengeToken::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_challenge_is_over_at_its_second() {
        let (row, tenant) = row();
        let token = ChallengeToken::parse(keys(1).challenge(&row, tenant).unwrap().expose()).unwrap();
        assert!(!token.is_over(row.expires_at - chrono::TimeDelta::milliseconds(1)));
        assert!(token.is_over(row.expires_at));
    }

    #[test]
    fn what_is_kept_differs_by_user_and_key() {
        let code = RecoveryCode::parse("0123-4567-89AB-CDEF").unwrap();
        let (ada, bob) = (UserId::from_uuid(Uuid::from_u128(1)), UserId::from_uuid(Uuid::from_u128(2)));
        let hashes =
            [keys(1).code_hash(ada, &code), keys(1).code_hash(bob, &code), keys(2).code_hash(ada, &code)];
        let distinct: std::collections::BTreeSet<_> = hashes.into_iter().map(Result::unwrap).collect();
        assert_eq!(distinct.len(), 3);
    }
}
