//! A table of hostile tokens. Each is what the good token is but for the one thing that its name says, signed with the right key where
//! that is possible, and each must be refused for that one thing.

mod header;
mod payload;
mod wire;

use std::collections::HashSet;

use saas_auth::{
    keys::{Damage, KeySetError},
    token::TokenError,
};
use saas_core::{ErrorKind, Fault, Report};

use crate::forge::{Forge, key_set};

struct Row {
    name: String,
    token: String,
    refused: TokenError,
}

fn row(name: impl Into<String>, token: String, refused: TokenError) -> Row {
    Row { name: name.into(), token, refused }
}

#[test]
fn every_hostile_token_is_refused_for_its_fault_w7() {
    let forge = Forge::new();
    let rows: Vec<Row> =
        [header::rows(&forge), payload::rows(&forge), wire::rows(&forge)].into_iter().flatten().collect();
    let names: HashSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
    let tokens: HashSet<&str> = rows.iter().map(|row| row.token.as_str()).collect();
    assert_eq!(tokens.len(), rows.len(), "two rows are one token");

    let wrong: Vec<String> = rows
        .iter()
        .map(|row| (row, forge.tokens.verify(&row.token)))
        .filter(|(row, verified)| verified.as_ref().err() != Some(&row.refused))
        .map(|(row, verified)| format!("{}: {:?} instead of {:?}", row.name, verified.err(), row.refused))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn the_token_that_the_hostile_ones_are_made_from_is_accepted() {
    let forge = Forge::new();
    assert!(forge.tokens.verify(&forge.good).is_ok());
    for (name, token) in [
        ("put together anew", forge.with_header(&forge.header)),
        (
            "with white space in the JSON",
            forge.sign(forge.header.text(), format!(" {}\n", forge.payload.text())),
        ),
        (
            "made half a minute ahead",
            forge.with_payload(&forge.payload.set("iat", &(forge.now + 30).to_string())),
        ),
        (
            "that begins half a minute ahead",
            forge.with_payload(&forge.payload.set("nbf", &(forge.now + 30).to_string())),
        ),
        ("in its last second", forge.with_payload(&forge.payload.set("exp", &(forge.now + 1).to_string()))),
        (
            "of the greatest lifetime",
            forge.with_payload(&forge.payload.set("exp", &(forge.now + 900).to_string())),
        ),
        ("without permissions", forge.with_payload(&forge.payload.set("scope", "\"\""))),
        ("of the greatest length", padded_to(&forge, 4096)),
    ] {
        assert_eq!(forge.tokens.verify(&token).err(), None, "a token {name}");
    }
    assert_eq!(padded_to(&forge, 4096).len(), 4096);
}

/// The longest good token of at most `length` bytes.
fn padded_to(forge: &Forge, length: usize) -> String {
    let token =
        |spaces| forge.sign(forge.header.text(), format!("{}{}", forge.payload.text(), " ".repeat(spaces)));
    let fits = (0..length).rev().find(|spaces| token(*spaces).len() <= length);
    fits.map(token).expect("the good token is shorter")
}

#[test]
fn a_refusal_tells_the_caller_one_of_two_codes_and_nothing_of_the_token() {
    for (error, code) in [(TokenError::Expired, "token_expired"), (TokenError::Signature, "invalid_token")] {
        assert_eq!(error.report(), Report::new(ErrorKind::Unauthenticated, code));
    }
    let forge = Forge::new();
    let token = forge.with_header(&forge.header.set("kid", "\"MARKER\""));
    let error = forge.tokens.verify(&token).expect_err("the key is not known");
    assert_eq!(error.to_string(), "the access token names a key that is not known");
}

/// Under a public key of small order one signature fits many messages: such a key never gets as far as a token.
#[test]
fn a_key_of_small_order_is_not_accepted_into_the_set() {
    // The canonical encodings of the eight points whose order divides 8 (RFC 7748 section 7 tells why they matter).
    let small = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    ];
    let forge = Forge::new();
    for text in small {
        let mut public = [0_u8; 32];
        for (byte, pair) in public.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).expect("hexadecimal");
            *byte = u8::from_str_radix(pair, 16).expect("hexadecimal");
        }
        let point = ed25519_dalek::VerifyingKey::from_bytes(&public).expect("a point on the curve");
        assert!(point.is_weak(), "{text}");
        let set = key_set(&forge.key, &public);
        assert!(matches!(set, Err(KeySetError::Damaged(Damage::Key))), "{text}");
    }
}
