//! Tokens that go by mail: opaque, derived when the mail is sent, and stored as a hash alone.
//!
//! A token is `saas_mt_` and, in base64url, the id of the row that it is of (16 bytes) and a secret of 32 bytes. The secret is HKDF-SHA256 (RFC
//! 5869) of a master key over purpose and id. So the command that writes the row can store the secret's hash without having made a token that
//! anybody could see; the job that sends the mail makes it from the row's id; and a mail that is sent again has the same one. Neither the job
//! nor the database holds anything that a token could be made from.
//!
//! ```
//! use saas_auth::{Keyring, MailPurpose, MailToken, MailTokens};
//! use saas_core::entropy::SystemEntropy;
//!
//! let tokens = MailTokens::new(Keyring::generate(&SystemEntropy));
//! let row = uuid::Uuid::from_u128(7);
//! // In the command's transaction: what the row keeps.
//! let (key, hash) = (tokens.current().to_owned(), tokens.hash(MailPurpose::PasswordReset, tokens.current(), row)?);
//! // In the job that sends.
//! let mailed = tokens.token(MailPurpose::PasswordReset, &key, row)?;
//! // When it comes back: the row is found by the id, and the token by its hash.
//! let presented = MailToken::parse(mailed.expose())?;
//! assert!(presented.row == row && presented.has(&hash));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use saas_core::{Email, InternalError, Secret};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Keyring;

/// The keyring's name among the secrets.
pub(crate) const MASTERS: &str = "auth.mail_token_masters";

const PREFIX: &str = "saas_mt_";
const BYTES: usize = 16 + 32;

/// What a mailed token lets somebody do. One of one purpose is none of another, even of the same row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MailPurpose {
    /// Prove that an address is theirs.
    VerifyEmail,
    /// Set a new password.
    PasswordReset,
    /// Take on a new address.
    EmailChange,
    /// Keep the old address.
    EmailChangeUndo,
    /// Unlock signing in.
    Unlock,
    /// Join a tenant.
    Invitation,
}

impl MailPurpose {
    const ALL: [Self; 6] = [
        Self::VerifyEmail,
        Self::PasswordReset,
        Self::EmailChange,
        Self::EmailChangeUndo,
        Self::Unlock,
        Self::Invitation,
    ];

    /// The word for it; tokens are derived from it, so it stays for ever.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::PasswordReset => "password_reset",
            Self::EmailChange => "email_change",
            Self::EmailChangeUndo => "email_change_undo",
            Self::Unlock => "unlock",
            Self::Invitation => "invitation",
        }
    }

    /// The purpose for a stored word; one of a newer release is none.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word)
    }
}

/// A token that somebody presented; whether it is genuine is not known yet.
#[derive(Debug)]
pub struct MailToken {
    /// The row that it says it is of.
    pub row: Uuid,
    secret: Secret<[u8; 32]>,
}

/// A text that has not the form of a mailed token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a mailed token")]
pub struct InvalidMailToken;

impl MailToken {
    /// Reads the form.
    pub fn parse(text: &str) -> Result<Self, InvalidMailToken> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidMailToken)?;
        if encoded.len() > 2 * BYTES {
            return Err(InvalidMailToken);
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidMailToken)?);
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidMailToken)?;
        let (row, secret) = bytes.split_at(16);
        Ok(Self {
            row: Uuid::from_slice(row).map_err(|_| InvalidMailToken)?,
            secret: Secret::new(secret.try_into().map_err(|_| InvalidMailToken)?),
        })
    }

    /// The hash of its secret, which is what a row stores.
    pub fn hash(&self) -> [u8; 32] {
        digest(&self.secret)
    }

    /// Whether it is the one whose hash was stored, in time that does not depend on where they differ.
    pub fn has(&self, hash: &[u8]) -> bool {
        digest(&self.secret).as_slice().ct_eq(hash).into()
    }
}

/// Makes mailed tokens, and what is stored of them.
#[derive(Debug, Clone)]
pub struct MailTokens(Keyring);

impl MailTokens {
    /// Over the masters.
    pub const fn new(masters: Keyring) -> Self {
        Self(masters)
    }

    /// Which master new rows name.
    pub fn current(&self) -> &str {
        self.0.current().as_str()
    }

    /// What a row stores of its token, beside the name of the master.
    pub fn hash(&self, purpose: MailPurpose, key: &str, row: Uuid) -> Result<[u8; 32], InternalError> {
        Ok(digest(&self.derive(purpose, key, row)?))
    }

    /// What a row stores of the address that its token is bound to: equal for one address under one master, and no way to it for who has
    /// the database alone.
    pub fn address(&self, key: &str, address: &Email) -> Result<[u8; 32], InternalError> {
        let hash = self.expand(key, b"saas/mail-token/address/v1\0", address.as_str().as_bytes())?;
        Ok(*hash.expose())
    }

    /// The token of a row, for the mail.
    pub fn token(&self, purpose: MailPurpose, key: &str, row: Uuid) -> Result<Secret<String>, InternalError> {
        let mut bytes = Zeroizing::new([0_u8; BYTES]);
        bytes[..16].copy_from_slice(row.as_bytes());
        bytes[16..].copy_from_slice(self.derive(purpose, key, row)?.expose());
        Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes))))
    }

    fn derive(&self, purpose: MailPurpose, key: &str, row: Uuid) -> Result<Secret<[u8; 32]>, InternalError> {
        let mut info = purpose.as_str().as_bytes().to_vec();
        info.push(0);
        info.extend_from_slice(row.as_bytes());
        self.expand(key, b"saas/mail-token/v1\0", &info)
    }

    fn expand(&self, key: &str, what: &[u8], of: &[u8]) -> Result<Secret<[u8; 32]>, InternalError> {
        let missing = || InternalError::new("the row names a master that is not here");
        let master = self.0.key(key).ok_or_else(missing)?;
        let info = [what, of].concat();
        let mut secret = [0; 32];
        Hkdf::<Sha256>::new(None, master.expose())
            .expand(&info, &mut secret)
            .map_err(|_| InternalError::new("HKDF refused the length"))?;
        Ok(Secret::new(secret))
    }
}

fn digest(secret: &Secret<[u8; 32]>) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use saas_core::entropy::SeededEntropy;

    use super::*;

    fn tokens(seed: u64) -> MailTokens {
        MailTokens::new(Keyring::generate(&SeededEntropy::new(seed)))
    }

    #[test]
    fn a_token_is_the_same_each_time_and_differs_by_purpose_row_and_master() {
        let mut seen = BTreeSet::new();
        for tokens in [tokens(1), tokens(2)] {
            for purpose in MailPurpose::ALL {
                for row in [Uuid::from_u128(1), Uuid::from_u128(2)] {
                    let token = tokens.token(purpose, tokens.current(), row).unwrap();
                    let again = tokens.token(purpose, tokens.current(), row).unwrap();
                    assert_eq!(token.expose(), again.expose());
                    assert!(seen.insert(token.expose().clone()), "{purpose:?}");
                }
            }
        }
        assert_eq!(seen.len(), 2 * 6 * 2);
    }

    #[test]
    fn what_is_stored_tells_the_genuine_token_from_every_other() {
        let (tokens, row) = (tokens(1), Uuid::from_u128(7));
        let key = tokens.current();
        let hash = tokens.hash(MailPurpose::PasswordReset, key, row).unwrap();
        let genuine = tokens.token(MailPurpose::PasswordReset, key, row).unwrap();
        let presented = MailToken::parse(genuine.expose()).unwrap();
        assert!(presented.row == row && presented.has(&hash));
        let other_purpose = tokens.token(MailPurpose::VerifyEmail, key, row).unwrap();
        let other_row = tokens.token(MailPurpose::PasswordReset, key, Uuid::from_u128(8)).unwrap();
        for other in [&other_purpose, &other_row] {
            assert!(!MailToken::parse(other.expose()).unwrap().has(&hash));
        }
        assert!(!presented.has(&hash[..31]) && !presented.has(&[]));
        // What the database has is no way to the token.
        assert!(!genuine.expose().contains(&URL_SAFE_NO_PAD.encode(hash)));
        assert!(tokens.token(MailPurpose::PasswordReset, "another", row).is_err());
    }

    #[test]
    fn an_address_has_one_hash_under_one_master_and_no_other_address_has_it() {
        let hash = |seed, address: &str| {
            let tokens = tokens(seed);
            tokens.address(tokens.current(), &Email::parse(address).unwrap()).unwrap()
        };
        assert_eq!(hash(1, "ada@example.com"), hash(1, "Ada@Example.com"));
        assert_ne!(hash(1, "ada@example.com"), hash(1, "bob@example.com"));
        assert_ne!(hash(1, "ada@example.com"), hash(2, "ada@example.com"));
    }

    #[test]
    fn every_word_of_a_purpose_is_read_back() {
        for purpose in MailPurpose::ALL {
            assert_eq!(MailPurpose::from_stored(purpose.as_str()), Some(purpose));
        }
        assert_eq!(MailPurpose::from_stored("another"), None);
    }

    #[test]
    fn every_changed_character_makes_another_token_or_none() {
        let tokens = tokens(1);
        let row = Uuid::from_u128(7);
        let hash = tokens.hash(MailPurpose::Unlock, tokens.current(), row).unwrap();
        let genuine = tokens.token(MailPurpose::Unlock, tokens.current(), row).unwrap();
        for index in 0..genuine.expose().len() {
            let mut forged = genuine.expose().clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            if let Ok(forged) = MailToken::parse(std::str::from_utf8(&forged).unwrap()) {
                assert!(forged.row != row || !forged.has(&hash), "{index}");
            }
        }
        for text in ["", "saas_mt_", "saas_mt_AAAA", "saas_rt_AAAA", &format!("{}A", genuine.expose())] {
            assert!(MailToken::parse(text).is_err(), "{text}");
        }
    }
}
