//! The protected header: three members, no more and no less.

use jsonwebtoken::{Algorithm, Header, crypto::JwtSigner};
use serde_json::Value;

use super::{TokenError, strict_json};

/// `typ` of RFC 9068 section 2.1: it keeps other kinds of our tokens apart (RFC 8725 section 3.11).
const TYPE: &str = "at+jwt";

/// A thumbprint has 43 characters.
const KID_MAX: usize = 64;

/// Nothing but these is accepted, so that `crit`, `b64`, `zip` and keys that come with the token (`jwk`, `jku`, `x5c`, `x5u`) need no
/// rule of their own (RFC 7515 section 4.1.11, RFC 8725 section 3.10).
const MEMBERS: [&str; 3] = ["alg", "kid", "typ"];

/// The header for what `signer` signs.
pub(super) fn for_signer(signer: &impl JwtSigner, kid: &str) -> Header {
    let mut header = Header::new(signer.algorithm());
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(kid.to_owned());
    header
}

/// The algorithm and the key that a header names.
pub(super) fn read(bytes: &[u8]) -> Result<(Algorithm, String), TokenError> {
    let members = strict_json::object(bytes).map_err(|_| TokenError::Malformed)?;
    let is_text = |name: &str| matches!(members.get(name), Some(Value::String(_)));
    if members.len() != MEMBERS.len() || !MEMBERS.into_iter().all(is_text) {
        return Err(TokenError::Header);
    }
    // `alg` is the one member left that can fail: a word that is no algorithm.
    let header: Header = serde_json::from_value(Value::Object(members)).map_err(|_| TokenError::Algorithm)?;
    if header.typ.as_deref() != Some(TYPE) {
        return Err(TokenError::Type);
    }
    match header.kid {
        Some(kid) if !kid.is_empty() && kid.len() <= KID_MAX => Ok((header.alg, kid)),
        _ => Err(TokenError::Header),
    }
}
