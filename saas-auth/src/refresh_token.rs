//! Refresh tokens: opaque, derived, never stored.
//!
//! A token is `saas_rt_` and, in base64url, the ids of session, user and tenant (16 bytes each), the generation (8 bytes, big-endian), the
//! family's salt and a secret (32 bytes each). The secret is HKDF-SHA256 (RFC 5869) of a master key with the salt over all the rest. So
//! - a forged token is told from a genuine one before the database is asked;
//! - the database holds nothing that a token could be made from without the master, and the master makes none without the salt, which
//!   is in the database and in the family's own tokens alone;
//! - the successor of a token can be made again for a client that lost the answer, without having been kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use saas_core::{InternalError, Secret, SessionId, TenantId, UserId, text::hex};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Family, Keyring};

/// The keyring's name among the secrets.
pub(crate) const MASTERS: &str = "auth.refresh_masters";

/// What tells one kind of derived token from another: how it begins, and what its secret is derived for.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) prefix: &'static str,
    pub(crate) label: &'static [u8],
}

const REFRESH: Form = Form { prefix: "saas_rt_", label: b"saas/refresh-token/v2" };
/// What the secret is derived over: three ids and the generation.
const NAMED: usize = 3 * 16 + 8;
const BYTES: usize = NAMED + 32 + 32;

/// What the tokens of a generation are derived from.
#[derive(Debug, Clone)]
pub struct Lineage {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The tenant that it is in.
    pub tenant: TenantId,
    /// The generation.
    pub generation: i64,
    /// Which master.
    pub key_id: String,
    /// The family's salt.
    pub salt: Secret<Vec<u8>>,
}

/// A token that a client presented; whether it is genuine, [`RefreshKeys::made`] tells.
#[derive(Debug)]
pub struct RefreshToken {
    /// The family that it says it belongs to.
    pub session: SessionId,
    /// The user that it says it was given to.
    pub user: UserId,
    /// The tenant that it says it was given for.
    pub tenant: TenantId,
    /// The generation that it says it is.
    pub generation: i64,
    salt: Secret<[u8; 32]>,
    secret: Secret<[u8; 32]>,
}

/// A text that has not the form of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct InvalidRefreshToken;

impl RefreshToken {
    /// Reads the form.
    pub fn parse(text: &str) -> Result<Self, InvalidRefreshToken> {
        Self::parse_as(&REFRESH, text)
    }

    /// Reads a token of another kind in the same layout.
    pub(crate) fn parse_as(form: &Form, text: &str) -> Result<Self, InvalidRefreshToken> {
        let encoded = text.strip_prefix(form.prefix).ok_or(InvalidRefreshToken)?;
        if encoded.len() > 2 * BYTES {
            return Err(InvalidRefreshToken);
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidRefreshToken)?);
        let mut rest = bytes.as_slice();
        let token = Self {
            session: SessionId::from_uuid(Uuid::from_bytes(next(&mut rest)?)),
            user: UserId::from_uuid(Uuid::from_bytes(next(&mut rest)?)),
            tenant: TenantId::from_uuid(Uuid::from_bytes(next(&mut rest)?)),
            generation: i64::from_be_bytes(next(&mut rest)?),
            salt: Secret::new(next(&mut rest)?),
            secret: Secret::new(next(&mut rest)?),
        };
        if rest.is_empty() { Ok(token) } else { Err(InvalidRefreshToken) }
    }

    /// The salt of the family that it says it belongs to.
    pub fn salt(&self) -> &[u8] {
        self.salt.expose()
    }

    /// Whether the family is the one that the token was made for, in time that does not depend on where the salts differ.
    pub fn is_of(&self, family: &Family) -> bool {
        let same = <&[u8; 32]>::try_from(family.salt.as_slice()).is_ok_and(|salt| self.salt.equals(salt));
        same && family.session.id == self.session && family.session.user == self.user
    }

    /// What the next generation's token is derived from.
    pub(crate) fn successor(&self, key_id: String) -> Lineage {
        Lineage {
            session: self.session,
            user: self.user,
            tenant: self.tenant,
            generation: self.generation + 1,
            key_id,
            salt: Secret::new(self.salt().to_vec()),
        }
    }

    fn named(&self) -> [u8; NAMED] {
        named(self.session, self.user, self.tenant, self.generation)
    }
}

/// Makes and recognises refresh tokens.
#[derive(Debug, Clone)]
pub struct RefreshKeys(Keyring);

impl RefreshKeys {
    /// Over the masters.
    pub fn new(masters: Keyring) -> Self {
        Self(masters)
    }

    /// Which master new families are derived from.
    pub fn current(&self) -> &str {
        self.0.current().as_str()
    }

    /// The token of a generation.
    pub fn token(&self, of: &Lineage) -> Result<Secret<String>, InternalError> {
        self.token_as(&REFRESH, of)
    }

    pub(crate) fn token_as(&self, form: &Form, of: &Lineage) -> Result<Secret<String>, InternalError> {
        let master = self
            .0
            .key(&of.key_id)
            .ok_or_else(|| InternalError::new("the family names a master that is not here"))?;
        let named = named(of.session, of.user, of.tenant, of.generation);
        let salt = of.salt.expose();
        let secret = derive(form, master, salt, &named)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        for part in [named.as_slice(), salt, secret.expose()] {
            bytes.extend_from_slice(part);
        }
        Ok(Secret::new(format!("{}{}", form.prefix, URL_SAFE_NO_PAD.encode(&*bytes))))
    }

    /// Whether we made `token`, under any of the masters, in time that does not depend on where it differs.
    pub fn made(&self, token: &RefreshToken) -> Result<bool, InternalError> {
        self.made_as(&REFRESH, token)
    }

    pub(crate) fn made_as(&self, form: &Form, token: &RefreshToken) -> Result<bool, InternalError> {
        let named = token.named();
        for master in self.0.keys() {
            if token.secret.equals(derive(form, master, token.salt(), &named)?.expose()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A keyed hash of what a client looks like, so that a list can tell devices apart and a stolen database cannot tell who they are.
    pub fn fingerprint(&self, of: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.current_key()?.expose()).ok()?;
        mac.update(b"saas/device-fingerprint/v1\0");
        mac.update(of.as_bytes());
        let bytes = mac.finalize().into_bytes();
        Some(hex(&bytes[..16]))
    }
}

/// The first `N` bytes of what is left to read.
fn next<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], InvalidRefreshToken> {
    let (first, after) = rest.split_first_chunk().ok_or(InvalidRefreshToken)?;
    *rest = after;
    Ok(*first)
}

fn named(session: SessionId, user: UserId, tenant: TenantId, generation: i64) -> [u8; NAMED] {
    let mut bytes = [0; NAMED];
    bytes[..16].copy_from_slice(session.as_uuid().as_bytes());
    bytes[16..32].copy_from_slice(user.as_uuid().as_bytes());
    bytes[32..48].copy_from_slice(tenant.as_uuid().as_bytes());
    bytes[48..].copy_from_slice(&generation.to_be_bytes());
    bytes
}

fn derive(
    form: &Form,
    master: &Secret<[u8; 32]>,
    salt: &[u8],
    named: &[u8; NAMED],
) -> Result<Secret<[u8; 32]>, InternalError> {
    let mut secret = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), master.expose())
        .expand_multi_info(&[form.label, named], &mut secret)
        .map_err(|_| InternalError::new("HKDF refused the length"))?;
    Ok(Secret::new(secret))
}
