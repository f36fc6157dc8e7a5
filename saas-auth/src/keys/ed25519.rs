//! Ed25519 (RFC 8032) behind the signer and verifier traits of `jsonwebtoken`.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use jsonwebtoken::{
    Algorithm,
    crypto::{JwtSigner, JwtVerifier},
    signature::{Error as SignatureError, Signer, Verifier},
};
use saas_core::{Entropy, Secret, entropy::random};
use sha2::{Digest, Sha256};

/// A private key: it signs access tokens.
pub struct SigningKey {
    /// With its public key, which a signature needs and which costs as much as the signature to work out. It wipes itself when dropped;
    /// boxed, it is not copied about before.
    key: Box<ed25519_dalek::SigningKey>,
    verifying: VerifyingKey,
}

/// A public key: it verifies access tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    kid: Arc<str>,
    point: ed25519_dalek::VerifyingKey,
}

/// Bytes that are no point on the curve, or one of small order, under which one signature fits many messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Ed25519 public key")]
pub struct InvalidKey;

impl SigningKey {
    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::from_seed(&Secret::new(random(entropy)))
    }

    /// The key that belongs to a seed, the private key of RFC 8032 section 5.1.5.
    pub fn from_seed(seed: &Secret<[u8; 32]>) -> Self {
        let key = Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose()));
        Self { verifying: VerifyingKey::new(key.verifying_key()), key }
    }

    /// Its name: the public key's thumbprint.
    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }

    /// Its public key.
    pub const fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    pub(super) fn seed(&self) -> Secret<[u8; 32]> {
        Secret::new(self.key.to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Reads the 32 bytes of RFC 8032 section 5.1.2.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, InvalidKey> {
        let point = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| InvalidKey)?;
        if point.is_weak() {
            return Err(InvalidKey);
        }
        Ok(Self::new(point))
    }

    /// Its name: the JWK thumbprint of RFC 7638 for the key type of RFC 8037, in base64url.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The same name, without a copy of it.
    pub(crate) fn shared_kid(&self) -> Arc<str> {
        Arc::clone(&self.kid)
    }

    /// The `x` of its JWK (RFC 8037 section 2).
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.point.as_bytes())
    }

    fn new(point: ed25519_dalek::VerifyingKey) -> Self {
        let x = URL_SAFE_NO_PAD.encode(point.as_bytes());
        let required = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self { kid: URL_SAFE_NO_PAD.encode(Sha256::digest(required)).into(), point }
    }
}

impl Signer<Vec<u8>> for SigningKey {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}

impl JwtSigner for SigningKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl Verifier<Vec<u8>> for VerifyingKey {
    /// Takes 64 bytes exactly, and refuses what RFC 8032 lets pass in some readings: an S beyond the group order, an R of small order.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| SignatureError::new())?;
        self.point.verify_strict(message, &signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for VerifyingKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.1.
    fn rfc_8037() -> SigningKey {
        let mut seed = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", &mut seed);
        assert_eq!(length, Ok(32));
        SigningKey::from_seed(&Secret::new(seed))
    }

    #[test]
    fn the_name_is_the_thumbprint_of_rfc_8037_a_3() {
        let key = rfc_8037();
        assert_eq!(key.verifying().x(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_signature_is_that_of_rfc_8037_a_4() {
        let key = rfc_8037();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.try_sign(message).unwrap_or_default();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(&signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert!(key.verifying().verify(message, &signature).is_ok());
        assert!(key.verifying().verify(b"another", &signature).is_err());
    }
}
