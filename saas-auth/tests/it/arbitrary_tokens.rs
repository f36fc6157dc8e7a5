//! Whatever comes in: no panic, and nothing accepted that was not issued.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::forge::{Forge, base64url};

static FORGE: LazyLock<Forge> = LazyLock::new(Forge::new);

/// One change to a token.
#[derive(Debug, Clone)]
enum Change {
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let letter = || prop_oneof![4 => prop::char::ranges(vec!['A'..='Z', 'a'..='z', '0'..='9', '-'..='.', '_'..='_'].into()), 1 => any::<char>()];
    prop_oneof![
        (at(), letter()).prop_map(|(index, letter)| Change::Replace(index, letter)),
        (at(), letter()).prop_map(|(index, letter)| Change::Insert(index, letter)),
        at().prop_map(Change::Remove),
        (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
        at().prop_map(Change::Cut),
        at().prop_map(Change::Repeat),
    ]
}

fn changed(token: &str, changes: &[Change]) -> String {
    let mut letters: Vec<char> = token.chars().collect();
    for change in changes.iter().filter(|_| !token.is_empty()) {
        if letters.is_empty() {
            break;
        }
        let length = letters.len();
        match change {
            Change::Replace(index, letter) => letters[index.index(length)] = *letter,
            Change::Insert(index, letter) => letters.insert(index.index(length + 1), *letter),
            Change::Remove(index) => drop(letters.remove(index.index(length))),
            Change::Swap(one, other) => letters.swap(one.index(length), other.index(length)),
            Change::Cut(index) => letters.truncate(index.index(length)),
            Change::Repeat(index) => letters.extend_from_within(index.index(length)..),
        }
    }
    letters.into_iter().collect()
}

proptest! {
    #[test]
    fn a_changed_token_is_refused(changes in prop::collection::vec(change(), 1..4)) {
        let token = changed(&FORGE.good, &changes);
        prop_assert_eq!(FORGE.tokens.verify(&token).is_ok(), token == FORGE.good);
    }

    #[test]
    fn an_arbitrary_text_is_refused(token in prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{80,90}"]) {
        prop_assert!(FORGE.tokens.verify(&token).is_err());
    }

    #[test]
    fn an_arbitrary_signature_is_refused(signature in prop::collection::vec(any::<u8>(), 64)) {
        prop_assert!(FORGE.tokens.verify(&FORGE.with_signature(&signature)).is_err());
    }

    #[test]
    fn an_arbitrary_header_or_payload_is_refused_even_if_signed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(FORGE.tokens.verify(&FORGE.sign(&bytes, FORGE.payload.text())).is_err());
        prop_assert!(FORGE.tokens.verify(&FORGE.sign(FORGE.header.text(), &bytes)).is_err());
    }

    /// The walk over signed JSON: one byte of it changed gives a refusal, or claims that say what the text says.
    #[test]
    fn a_changed_payload_that_is_signed_never_panics(index: prop::sample::Index, byte: u8) {
        let mut payload = FORGE.payload.text().into_bytes();
        let at = index.index(payload.len());
        payload[at] = byte;
        let _ = FORGE.tokens.verify(&FORGE.sign_parts(&base64url(FORGE.header.text()), &base64url(&payload)));
    }
}
