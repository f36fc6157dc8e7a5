//! Refresh tokens: opaque, derived, never stored.
//!
//! A token is `saas_rt_` and, in base64url, the session's id (16 bytes), the generation (8 bytes, big-endian) and a secret of 32 bytes.
//! The secret is HKDF-SHA256 (RFC 5869) of a master key with the family's salt over session and generation. So the database holds
//! nothing that a token could be made from without the master, and the successor of a token can be made again for a client that lost
//! the answer, without having been kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use saas_core::{InternalError, Secret, SessionId, text::hex};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Family, Keyring};

/// The keyring's name among the secrets.
pub(crate) const MASTERS: &str = "auth.refresh_masters";

const PREFIX: &str = "saas_rt_";
const BYTES: usize = 16 + 8 + 32;

/// A token that a client presented; whether it is genuine is not known yet.
#[derive(Debug)]
pub struct RefreshToken {
    /// The family that it says it belongs to.
    pub session: SessionId,
    /// The generation that it says it is.
    pub generation: i64,
    secret: Secret<[u8; 32]>,
}

/// A text that has not the form of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct InvalidRefreshToken;

impl RefreshToken {
    /// Reads the form.
    pub fn parse(text: &str) -> Result<Self, InvalidRefreshToken> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidRefreshToken)?;
        if encoded.len() > 2 * BYTES {
            return Err(InvalidRefreshToken);
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidRefreshToken)?);
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidRefreshToken)?;
        let (session, rest) = bytes.split_at(16);
        let (generation, secret) = rest.split_at(8);
        Ok(Self {
            session: SessionId::from_uuid(Uuid::from_slice(session).map_err(|_| InvalidRefreshToken)?),
            generation: i64::from_be_bytes(generation.try_into().map_err(|_| InvalidRefreshToken)?),
            secret: Secret::new(secret.try_into().map_err(|_| InvalidRefreshToken)?),
        })
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

    /// The token of the family's generation `generation`.
    pub fn token(&self, family: &Family, generation: i64) -> Result<Secret<String>, InternalError> {
        let mut bytes = Zeroizing::new([0_u8; BYTES]);
        bytes[..16].copy_from_slice(family.session.id.as_uuid().as_bytes());
        bytes[16..24].copy_from_slice(&generation.to_be_bytes());
        bytes[24..].copy_from_slice(self.derive(family, generation)?.expose());
        Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// Whether we made `token` for `family`, in time that does not depend on where it differs.
    pub fn made(&self, token: &RefreshToken, family: &Family) -> Result<bool, InternalError> {
        let expected = self.derive(family, token.generation)?;
        Ok(family.session.id == token.session && token.secret.equals(expected.expose()))
    }

    /// A keyed hash of what a client looks like, so that a list can tell devices apart and a stolen database cannot tell who they are.
    pub fn fingerprint(&self, of: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.current_key()?.expose()).ok()?;
        mac.update(b"saas/device-fingerprint/v1\0");
        mac.update(of.as_bytes());
        let bytes = mac.finalize().into_bytes();
        Some(hex(&bytes[..16]))
    }

    fn derive(&self, family: &Family, generation: i64) -> Result<Secret<[u8; 32]>, InternalError> {
        let master = self
            .0
            .key(&family.key_id)
            .ok_or_else(|| InternalError::new("the family names a master that is not here"))?;
        let mut info = b"saas/refresh-token/v1".to_vec();
        info.extend_from_slice(family.session.id.as_uuid().as_bytes());
        info.extend_from_slice(&generation.to_be_bytes());
        let mut secret = [0; 32];
        Hkdf::<Sha256>::new(Some(&family.salt), master.expose())
            .expand(&info, &mut secret)
            .map_err(|_| InternalError::new("HKDF refused the length"))?;
        Ok(Secret::new(secret))
    }
}
