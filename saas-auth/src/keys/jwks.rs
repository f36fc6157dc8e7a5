//! The public keys as others fetch them.

use chrono::{DateTime, Utc};
use saas_core::text::hex;
use sha2::{Digest, Sha256};

use super::VerifyingKey;

/// A JWK Set (RFC 7517 section 5, RFC 8037) with the validators of a conditional request (RFC 9110 section 8.8), made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwks {
    body: Vec<u8>,
    etag: String,
    last_modified: String,
}

impl Jwks {
    /// The same keys give the same bytes on every replica, in whatever order they come.
    pub(super) fn new<'k>(keys: impl Iterator<Item = &'k VerifyingKey>, changed_at: DateTime<Utc>) -> Self {
        let mut keys: Vec<&VerifyingKey> = keys.collect();
        keys.sort_by_key(|key| key.kid());
        let body = format!(r#"{{"keys":[{}]}}"#, keys.into_iter().map(jwk).collect::<Vec<_>>().join(","));
        let etag = format!("\"{}\"", hex(&Sha256::digest(&body)));
        let last_modified = changed_at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Self { body: body.into_bytes(), etag, last_modified }
    }

    /// The JSON.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The strong entity tag, in its quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// When the set last changed, as `Last-Modified` spells it (RFC 9110 section 5.6.7).
    pub fn last_modified(&self) -> &str {
        &self.last_modified
    }

    /// Whether the field value of an `If-None-Match` names this body, so that the answer is 304.
    ///
    /// By RFC 9110 section 13.1.2: `*` always does, and a list does when one of its tags is equal, weak or not. What cannot be read
    /// names nothing, and the client gets the body.
    pub fn matches(&self, if_none_match: &str) -> bool {
        let mut rest = if_none_match.trim_matches(OWS);
        if rest == "*" {
            return true;
        }
        while let Some((tag, after)) = split_tag(rest) {
            if tag == self.etag {
                return true;
            }
            rest = after;
        }
        false
    }
}

const OWS: [char; 2] = [' ', '\t'];

/// The first entity tag of a list, without its weakness, and what comes after its comma.
fn split_tag(list: &str) -> Option<(&str, &str)> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    let tag = list.strip_prefix("W/").unwrap_or(list);
    // A comma may stand inside the quotes: look for the quotes first.
    let end = tag.strip_prefix('"')?.find('"')? + 2;
    let (tag, after) = tag.split_at(end);
    let after = after.trim_start_matches(OWS);
    if after.is_empty() { Some((tag, after)) } else { Some((tag, after.strip_prefix(',')?)) }
}

/// Both texts are base64url: nothing in them needs an escape.
fn jwk(key: &VerifyingKey) -> String {
    let (kid, x) = (key.kid(), key.x());
    format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}","use":"sig","alg":"EdDSA"}}"#)
}

#[cfg(test)]
mod tests {
    use saas_core::{Secret, entropy::SeededEntropy};

    use super::*;
    use crate::keys::SigningKey;

    fn jwks() -> Jwks {
        let key = SigningKey::from_seed(&Secret::new([7; 32]));
        Jwks::new(
            [key.verifying()].into_iter(),
            DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default(),
        )
    }

    #[test]
    fn the_body_and_its_validators_have_their_documented_form() {
        let jwks = jwks();
        assert_eq!(
            String::from_utf8_lossy(jwks.body()),
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_ck","x":"6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw","use":"sig","alg":"EdDSA"}]}"#
        );
        assert_eq!(jwks.etag(), "\"6cda583f7d54c39c0a86442a0aa7c3c045e4db848b783d40e00afbde99fc1194\"");
        assert_eq!(jwks.last_modified(), "Thu, 01 Jan 2026 00:00:00 GMT");
    }

    #[test]
    fn the_order_of_the_keys_does_not_change_the_body() {
        let entropy = SeededEntropy::new(9);
        let keys = [(); 5].map(|()| SigningKey::generate(&entropy));
        let forth = Jwks::new(keys.iter().map(SigningKey::verifying), DateTime::UNIX_EPOCH);
        let back = Jwks::new(keys.iter().rev().map(SigningKey::verifying), DateTime::UNIX_EPOCH);
        assert_eq!(forth, back);
    }

    #[test]
    fn if_none_match_is_read_as_rfc_9110_says() {
        let jwks = jwks();
        let tag = jwks.etag();
        let bare = tag.trim_matches('"');
        for yes in [
            "*".to_owned(),
            " * ".to_owned(),
            tag.to_owned(),
            format!("W/{tag}"),
            format!("\"a\", {tag}"),
            format!("\"a,b\"\t,W/\"c\" ,, W/{tag} , \"d\""),
            format!(",{tag},"),
        ] {
            assert!(jwks.matches(&yes), "{yes}");
        }
        for no in [
            String::new(),
            bare.to_owned(),
            format!("w/{tag}"),
            format!("\"x{tag}"),
            format!("\"a\" {tag}"),
            format!("\"a, {bare}\""),
            format!("\"a\", {bare}"),
            format!("\"{bare}"),
            "\"*\"".to_owned(),
            "*, \"a\"".to_owned(),
            tag.to_uppercase(),
        ] {
            assert!(!jwks.matches(&no), "{no}");
        }
    }
}
