//! What guesses are counted under: keyed hashes, so that an address that has no account is counted and yet stands nowhere.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use saas_core::{Email, UserId};
use sha2::Sha256;

use crate::Keyring;

/// What guesses are counted under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuessId([u8; 32]);

impl GuessId {
    /// The id that a row holds.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What a row holds.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for GuessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuessId([redacted])")
    }
}

/// A device that somebody has signed in on: a random name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceId(pub(super) [u8; 16]);

/// Hashes what guesses are counted under, and proves the tokens of devices.
#[derive(Debug, Clone)]
pub struct GuessKeys(Keyring);

type HmacSha256 = Hmac<Sha256>;

impl GuessKeys {
    /// Over a keyring.
    pub const fn new(keys: Keyring) -> Self {
        Self(keys)
    }

    /// Of passwords of the account with this address, whether there is one or not.
    pub fn account(&self, email: &Email) -> GuessId {
        self.id(b"account", &[email.as_str().as_bytes()])
    }

    /// Of passwords of that account, by this device.
    pub fn device(&self, email: &Email, device: DeviceId) -> GuessId {
        self.id(b"device", &[&device.0, email.as_str().as_bytes()])
    }

    /// Of a signed-in user's own password.
    pub fn own_password(&self, user: UserId) -> GuessId {
        self.id(b"own_password", &[user.as_uuid().as_bytes()])
    }

    /// Of a user's second factor.
    pub fn second_factor(&self, user: UserId) -> GuessId {
        self.id(b"second_factor", &[user.as_uuid().as_bytes()])
    }

    /// Sixteen bits of a password, under the key: enough to see that one is tried for many accounts, and far too few to find it by.
    pub(crate) fn password_bucket(&self, password: &[u8]) -> [u8; 2] {
        let [first, second, ..] = self.id(b"password_bucket", &[password]).0;
        [first, second]
    }

    /// A name for something that must not be named: equal for equal things.
    pub(crate) fn pseudonym(&self, value: &[u8]) -> [u8; 8] {
        let mut name = [0; 8];
        name.copy_from_slice(&self.id(b"pseudonym", &[value]).0[..8]);
        name
    }

    /// The key that new things are proved with: its name and a hash that waits for them.
    pub(super) fn prover(&self) -> Option<(&str, HmacSha256)> {
        let id = self.0.current().as_str();
        Some((id, self.prover_named(id)?))
    }

    pub(super) fn prover_named(&self, id: &str) -> Option<HmacSha256> {
        HmacSha256::new_from_slice(self.0.key(id)?.expose()).ok()
    }

    /// Every part with its length before it.
    fn id(&self, what: &[u8], parts: &[&[u8]]) -> GuessId {
        let secret = self.0.current_key().map_or(&[][..], |key| &key.expose()[..]);
        // A key of HMAC may have any length; a keyring always has its current one.
        let Ok(mut mac) = HmacSha256::new_from_slice(secret) else { return GuessId([0; 32]) };
        for part in [&b"saas/guess/v1"[..], what].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        GuessId(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use saas_core::entropy::SeededEntropy;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn ids_differ_by_key_kind_account_and_device_and_an_address_has_one() {
        let email = |text: &str| Email::parse(text).unwrap();
        let mut ids = BTreeSet::new();
        for seed in [1, 2] {
            let keys = GuessKeys::new(Keyring::generate(&SeededEntropy::new(seed)));
            for address in ["ada@example.com", "bob@example.com"] {
                assert!(ids.insert(keys.account(&email(address))));
                assert_eq!(keys.account(&email(address)), keys.account(&email(&address.to_uppercase())));
                for device in [1, 2] {
                    assert!(ids.insert(keys.device(&email(address), DeviceId([device; 16]))));
                }
            }
            let user = UserId::from_uuid(Uuid::from_u128(7));
            assert!(ids.insert(keys.own_password(user)) && ids.insert(keys.second_factor(user)));
        }
        assert_eq!(ids.len(), 2 * (2 * 3 + 2));
        assert_eq!(format!("{:?}", ids.first()), "Some(GuessId([redacted]))");
    }
}
