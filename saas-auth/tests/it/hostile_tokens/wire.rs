//! Faults in the compact form and in the signature.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE},
};
use ed25519_dalek::Verifier;
use saas_auth::token::TokenError::{self, Malformed, Signature};
use sha2::{Digest, Sha512};

use super::{Row, padded_to, row};
use crate::forge::{Forge, base64url, sign_input};

pub(super) fn rows(forge: &Forge) -> Vec<Row> {
    [shapes(forge), parts(forge), spellings(forge), lengths(forge), signatures(forge)]
        .into_iter()
        .flatten()
        .collect()
}

fn rows_of<const N: usize>(cases: [(&str, String, TokenError); N]) -> Vec<Row> {
    cases.map(|(name, token, refused)| row(name, token, refused)).into()
}

/// The three parts of the good token.
fn three(forge: &Forge) -> [&str; 3] {
    let (header, payload) = forge.input().split_once('.').expect("two parts");
    [header, payload, &forge.good[forge.input().len() + 1..]]
}

/// Everything but the compact form of RFC 7515 section 7.1: no JSON serialization, no JWE.
fn shapes(forge: &Forge) -> Vec<Row> {
    let [header, payload, signature] = three(forge);
    let flat = format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#);
    let general = format!(
        r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
    );
    let good = &forge.good;
    rows_of([
        ("the flattened JSON serialization", flat, Malformed),
        ("the general JSON serialization", general, Malformed),
        ("the empty text", String::new(), Malformed),
        ("a dot", ".".to_owned(), Malformed),
        ("two dots", "..".to_owned(), Malformed),
        ("one part", header.to_owned(), Malformed),
        ("two parts", format!("{header}.{payload}"), Malformed),
        ("a header and a signature", format!("{header}.{signature}"), Malformed),
        ("four parts", format!("{good}.{signature}"), Malformed),
        (
            "four parts, signed over three",
            sign_input(&forge.key, &format!("{header}.{payload}.{payload}")),
            Malformed,
        ),
        ("five parts, as a JWE", format!("{header}.{payload}.{payload}.{payload}.{signature}"), Malformed),
        ("a dot before", format!(".{good}"), Malformed),
        ("a dot after", format!("{good}."), Malformed),
        ("two dots inside", format!("{header}..{payload}.{signature}"), Malformed),
        ("an empty header, signed", forge.sign_parts("", payload), Malformed),
        ("an empty payload, signed", forge.sign_parts(header, ""), Malformed),
        ("a detached payload", format!("{header}..{signature}"), Malformed),
        ("an empty signature", format!("{header}.{payload}."), Malformed),
        ("the scheme before it", format!("Bearer {good}"), Malformed),
        ("quotes around it", format!("\"{good}\""), Malformed),
    ])
}

/// Parts that were exchanged.
fn parts(forge: &Forge) -> Vec<Row> {
    let [header, payload, signature] = three(forge);
    let other = base64url(forge.payload.set("roles", r#"["owner"]"#).text());
    rows_of([
        ("the payload exchanged", format!("{header}.{other}.{signature}"), Signature),
        ("header and payload exchanged", forge.sign_parts(payload, header), TokenError::Header),
        ("the header in place of the payload", forge.sign_parts(header, header), TokenError::Claims),
    ])
}

/// Base64url in other spellings than its one (RFC 7515 section 2), signed as spelt.
fn spellings(forge: &Forge) -> Vec<Row> {
    let [header, payload, signature] = three(forge);
    // These characters encode to what the two alphabets write differently.
    let marked = forge.payload.set("acr", "\"~~~???>>>\"").text();
    let standard = STANDARD_NO_PAD.encode(&marked);
    assert_ne!(standard, base64url(&marked));
    let (odd_header, odd_payload) = (odd(forge.header.text()), odd(forge.payload.text()));
    rows_of([
        ("padding in the header", forge.sign_parts(&URL_SAFE.encode(&odd_header), payload), Malformed),
        ("padding in the payload", forge.sign_parts(header, &URL_SAFE.encode(&odd_payload)), Malformed),
        ("padding in the signature", format!("{}==", forge.good), Malformed),
        (
            "bits left over in the header",
            forge.sign_parts(&left_over(&base64url(&odd_header)), payload),
            Malformed,
        ),
        (
            "bits left over in the payload",
            forge.sign_parts(header, &left_over(&base64url(&odd_payload))),
            Malformed,
        ),
        ("bits left over in the signature", format!("{}.{}", forge.input(), left_over(signature)), Malformed),
        ("the standard alphabet", forge.sign_parts(header, &standard), Malformed),
        ("a space before", format!(" {}", forge.good), Malformed),
        ("a space after", format!("{} ", forge.good), Malformed),
        ("a newline after", format!("{}\n", forge.good), Malformed),
        ("a newline in the header, signed", forge.sign_parts(&format!("{header}\n"), payload), Malformed),
        ("a newline in the payload, signed", forge.sign_parts(header, &broken(payload)), Malformed),
        ("a newline in the signature", format!("{}.{}", forge.input(), broken(signature)), Malformed),
        ("NUL after", format!("{}\0", forge.good), Malformed),
        ("a letter that is not ASCII", forge.sign_parts(header, &format!("{payload}é")), Malformed),
        ("percent-encoded dots", forge.good.replace('.', "%2E"), Malformed),
        ("full-width dots", forge.good.replace('.', "\u{ff0e}"), Malformed),
        ("plain JSON for a payload, signed", forge.sign_parts(header, "{}"), Malformed),
    ])
}

/// The text with spaces after it, until base64 leaves bits over.
fn odd(mut text: String) -> String {
    while text.len() % 3 != 1 {
        text.push(' ');
    }
    text
}

/// The same bytes with one of the unused bits at the end set.
fn left_over(part: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_eq!(part.len() % 4, 2, "only two characters at the end leave four bits over");
    let (rest, last) = part.split_at(part.len() - 1);
    let next = ALPHABET.find(last).expect("base64url") + 1;
    format!("{rest}{}", &ALPHABET[next..=next])
}

fn broken(part: &str) -> String {
    let (first, second) = part.split_at(part.len() / 2);
    format!("{first}\n{second}")
}

fn lengths(forge: &Forge) -> Vec<Row> {
    let header = forge.header.text();
    let long = |spaces| forge.sign(&header, format!("{}{}", forge.payload.text(), " ".repeat(spaces)));
    rows_of([
        ("just over 4 KiB", padded_to(forge, 4098), Malformed),
        ("64 KiB", long(65_536), Malformed),
        ("a megabyte of dots", ".".repeat(1 << 20), Malformed),
    ])
}

fn signatures(forge: &Forge) -> Vec<Row> {
    let good = forge.signature();
    let flipped = |bit: usize| {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let [_, payload, _] = three(forge);
    let identity = [&[1_u8][..], &[0; 31]].concat();
    let mut rows = rows_of([
        ("a signature of zeros", forge.with_signature(&[0; 64]), Signature),
        ("a signature of ones", forge.with_signature(&[255; 64]), Signature),
        ("the signature without its last byte", forge.with_signature(&good[..63]), Signature),
        ("the signature without its first byte", forge.with_signature(&good[1..]), Signature),
        ("half a signature", forge.with_signature(&good[..32]), Signature),
        ("a byte for a signature", forge.with_signature(&[0]), Signature),
        ("the signature with a byte more", forge.with_signature(&[&good[..], &[0]].concat()), Signature),
        ("the signature twice", forge.with_signature(&[good, good].concat()), Signature),
        ("R and S exchanged", forge.with_signature(&[&good[32..], &good[..32]].concat()), Signature),
        (
            "the neutral point for R, zero for S",
            forge.with_signature(&[identity, vec![0; 32]].concat()),
            Signature,
        ),
        ("an S beyond the group order", forge.with_signature(&with_group_order_added(good)), Signature),
        (
            "an R of small order that the plain equation accepts",
            forge.with_signature(&small_order_r(forge)),
            Signature,
        ),
        ("a signature over the payload alone", forge.with_signature(&sign(forge, payload)), Signature),
        (
            "a signature over the decoded texts",
            forge.with_signature(&sign(forge, &decoded(forge))),
            Signature,
        ),
    ]);
    rows.extend([0, 7, 255, 256, 400, 511].map(|bit| {
        row(format!("bit {bit} of the signature flipped"), forge.with_signature(&flipped(bit)), Signature)
    }));
    rows
}

fn sign(forge: &Forge, message: &str) -> [u8; 64] {
    use ed25519_dalek::Signer;
    forge.key.sign(message.as_bytes()).to_bytes()
}

fn decoded(forge: &Forge) -> String {
    format!("{}.{}", forge.header.text(), forge.payload.text())
}

/// S + L is S again for who does not check its range (RFC 8032 section 5.1.7).
fn with_group_order_added(mut signature: [u8; 64]) -> [u8; 64] {
    const LOW: [u8; 16] = 0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3ed_u128.to_le_bytes();
    let mut order = [0_u8; 32];
    order[..16].copy_from_slice(&LOW);
    order[31] = 0x10;
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    signature
}

/// R neutral and S = k·a satisfy S·B = R + k·A: only `verify_strict` refuses it.
fn small_order_r(forge: &Forge) -> [u8; 64] {
    let public = forge.key.verifying_key();
    let mut signature = [0_u8; 64];
    signature[0] = 1;
    let hash = Sha512::new()
        .chain_update(&signature[..32])
        .chain_update(public.as_bytes())
        .chain_update(forge.input());
    let a = forge.key.to_scalar();
    let one = a * a.invert();
    let radix = (0..8).fold(one, |power, _| power + power);
    // k·a by Horner's rule, from the hash's last byte down.
    let times = |byte: u8| (0..byte).fold(zero(a), |sum, _| sum + a);
    let s = hash.finalize().iter().rev().fold(zero(a), |sum, byte| sum * radix + times(*byte));
    signature[32..].copy_from_slice(&s.to_bytes());
    let plain = public.verify(forge.input().as_bytes(), &ed25519_dalek::Signature::from_bytes(&signature));
    assert!(plain.is_ok(), "the row is only worth something if the plain equation holds");
    signature
}

/// The zero of a type that this crate cannot name.
fn zero<T: Default>(_: T) -> T {
    T::default()
}
