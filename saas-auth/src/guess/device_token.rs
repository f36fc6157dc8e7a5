//! The tokens of devices: who has signed in on one has guesses of their own there, which nobody else can use up.
//!
//! A token is `saas_dt_` and, in base64url, the id of the key that proves it (4 bytes), when it was issued (seconds since 1970, 8 bytes), the
//! device's random name (16 bytes) and HMAC-SHA256 over all of that and the account's address (32 bytes). It is stored nowhere, and opens
//! nothing: without the password it is worth a few guesses.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use hmac::Mac;
use saas_core::{Email, Entropy, Secret, entropy::random, text::hex};
use zeroize::Zeroizing;

use super::{DeviceId, GuessKeys};

const PREFIX: &str = "saas_dt_";
const KEY: usize = 4;
/// What is proved, beside the address.
const NAMED: usize = KEY + 8 + 16;
const BYTES: usize = NAMED + 32;

/// A device's token that somebody presented; whether it is genuine, [`DeviceToken::is_of`] tells.
#[derive(Debug)]
pub struct DeviceToken {
    /// The device.
    pub device: DeviceId,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    named: [u8; NAMED],
    proof: Secret<[u8; 32]>,
}

/// A text that has not the form of a device's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a device token")]
pub struct InvalidDeviceToken;

impl DeviceToken {
    /// Reads the form.
    pub fn parse(text: &str) -> Result<Self, InvalidDeviceToken> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidDeviceToken)?;
        if encoded.len() > 2 * BYTES {
            return Err(InvalidDeviceToken);
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidDeviceToken)?);
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidDeviceToken)?;
        let (named, proof) = bytes.split_at(NAMED);
        let named: [u8; NAMED] = named.try_into().map_err(|_| InvalidDeviceToken)?;
        let (_, rest) = named.split_at(KEY);
        let (issued, device) = rest.split_at(8);
        let issued = i64::from_be_bytes(issued.try_into().map_err(|_| InvalidDeviceToken)?);
        Ok(Self {
            device: DeviceId(device.try_into().map_err(|_| InvalidDeviceToken)?),
            issued_at: DateTime::from_timestamp(issued, 0).ok_or(InvalidDeviceToken)?,
            named,
            proof: Secret::new(proof.try_into().map_err(|_| InvalidDeviceToken)?),
        })
    }

    /// Whether it was issued to a device of the account with this address.
    pub fn is_of(&self, keys: &GuessKeys, email: &Email) -> bool {
        let prover = keys.prover_named(&hex(&self.named[..KEY]));
        prover.is_some_and(|mac| proved(mac, &self.named, email).verify_slice(self.proof.expose()).is_ok())
    }

    /// Issues one for the account with this address: to a device that had one before, or to a new one.
    pub(crate) fn issue(
        keys: &GuessKeys,
        email: &Email,
        device: Option<DeviceId>,
        now: DateTime<Utc>,
        entropy: &dyn Entropy,
    ) -> Option<Secret<String>> {
        let (key, mac) = keys.prover()?;
        let device = device.unwrap_or_else(|| DeviceId(random(entropy)));
        let mut bytes = Zeroizing::new([0_u8; BYTES]);
        bytes[..KEY].copy_from_slice(&key_bytes(key)?);
        bytes[KEY..KEY + 8].copy_from_slice(&now.timestamp().to_be_bytes());
        bytes[KEY + 8..NAMED].copy_from_slice(&device.0);
        let proof = proved(mac, &bytes[..NAMED], email).finalize().into_bytes();
        bytes[NAMED..].copy_from_slice(&proof);
        Some(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes))))
    }
}

fn proved<M: Mac>(mut mac: M, named: &[u8], email: &Email) -> M {
    for part in [b"saas/device-token/v1\0", named, email.as_str().as_bytes()] {
        mac.update(part);
    }
    mac
}

/// A key's id is eight hex digits.
fn key_bytes(id: &str) -> Option<[u8; KEY]> {
    Some(u32::from_str_radix(id, 16).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use saas_core::entropy::SeededEntropy;

    use super::*;
    use crate::Keyring;

    fn keys(seed: u64) -> GuessKeys {
        GuessKeys::new(Keyring::generate(&SeededEntropy::new(seed)))
    }

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    fn issue(keys: &GuessKeys, device: Option<DeviceId>) -> String {
        let now = DateTime::from_timestamp(1_767_225_600, 5).unwrap();
        let token = DeviceToken::issue(keys, &email("ada@example.com"), device, now, &SeededEntropy::new(3));
        token.unwrap().expose().clone()
    }

    #[test]
    fn a_device_token_is_of_the_account_that_it_was_issued_for_and_of_the_key() {
        let text = issue(&keys(1), None);
        let token = DeviceToken::parse(&text).unwrap();
        assert_eq!(token.issued_at.timestamp(), 1_767_225_600);
        assert!(token.is_of(&keys(1), &email("Ada@Example.com")));
        assert!(!token.is_of(&keys(1), &email("bob@example.com")));
        assert!(!token.is_of(&keys(2), &email("ada@example.com")));
        // The same device, when it signs in again.
        let again = DeviceToken::parse(&issue(&keys(1), Some(token.device))).unwrap();
        assert_eq!(again.device, token.device);
        assert!(!format!("{token:?}").contains(&text[20..]));
    }

    #[test]
    fn every_changed_character_makes_a_device_token_that_is_nobodys() {
        let (keys, genuine) = (keys(1), issue(&keys(1), None));
        for index in 0..genuine.len() {
            let mut forged = genuine.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            if let Ok(forged) = DeviceToken::parse(std::str::from_utf8(&forged).unwrap()) {
                assert!(!forged.is_of(&keys, &email("ada@example.com")), "{index}");
            }
        }
        for text in ["", "saas_dt_", "saas_dt_AAAA", "saas_mt_AAAA", &format!("{genuine}A"), &genuine[..60]] {
            assert!(DeviceToken::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_taken_for_a_device_token_or_ends_the_program(text in "(saas_dt_)?[A-Za-z0-9_-]{0,100}") {
            if let Ok(token) = DeviceToken::parse(&text) {
                proptest::prop_assert!(!token.is_of(&keys(1), &email("ada@example.com")));
            }
        }
    }
}
