//! The Ed25519 vectors of Project Wycheproof.

use ed25519_dalek::SigningKey;
use jsonwebtoken::{Algorithm, crypto::JwtVerifier};
use saas_auth::{keys::VerifyingKey, token::TokenError};
use wycheproof::{
    TestResult,
    eddsa::{TestName, TestSet},
};

use crate::forge::{Forge, base64url, key_set, kid};

fn vectors() -> TestSet {
    TestSet::load(TestName::Ed25519).expect("the vectors are in the crate")
}

fn public_key(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("Ed25519 keys have 32 bytes")
}

#[test]
fn the_verifier_accepts_and_refuses_what_the_vectors_say() {
    let mut seen = [0, 0];
    for group in vectors().test_groups {
        let key =
            VerifyingKey::from_bytes(&public_key(&group.key.pk)).expect("no key of the vectors is weak");
        let verifier: &dyn JwtVerifier = &key;
        assert_eq!(verifier.algorithm(), Algorithm::EdDSA);
        for test in group.tests {
            let accepted = verifier.verify(&test.msg, &test.sig.to_vec()).is_ok();
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => continue,
            };
            assert_eq!(accepted, expected, "vector {}: {}", test.tc_id, test.comment);
            seen[usize::from(expected)] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 50), "refused and accepted: {seen:?}");
}

/// The vectors sign their own messages, so as tokens all of them are wrong: refused, and without a panic.
#[test]
fn no_signature_of_the_vectors_makes_a_token() {
    let forge = Forge::new();
    let payload = base64url(forge.payload.text());
    for group in vectors().test_groups {
        let public = public_key(&group.key.pk);
        // One group may use the key that the forge signs with; it would be in the set twice.
        let active = SigningKey::from_bytes(&[77; 32]);
        forge.tokens.replace_keys(key_set(&active, &public).expect("no key of the vectors is weak"));
        let header = base64url(forge.header.set("kid", &format!("\"{}\"", kid(&public))).text());
        for test in group.tests {
            let token = format!("{header}.{payload}.{}", base64url(&*test.sig));
            let expected = if test.sig.is_empty() { TokenError::Malformed } else { TokenError::Signature };
            assert_eq!(
                forge.tokens.verify(&token).err(),
                Some(expected),
                "vector {}: {}",
                test.tc_id,
                test.comment
            );
        }
    }
}
