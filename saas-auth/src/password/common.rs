//! The passwords that everybody tries first: a list that is in the program, about 60,000 of them.
//!
//! What it is made of and how stands in `scripts/common-passwords`; it is that of `SecLists` (MIT, `common/LICENSE`).

use sha2::{Digest, Sha256};

use super::{
    Password,
    fold::{core, folded},
};

/// How much of a password's hash is kept.
const KEPT: usize = 5;

/// The hashes, in order.
const LIST: &[u8] = include_bytes!("common/list.bin");

/// Shorter than that, nothing is on the list.
const SHORTEST: usize = 4;

/// Whether it is one of the common ones, or one with other letters' look-alikes, or with digits and signs around it.
pub(super) fn is_common(password: &Password) -> bool {
    let text = password.text();
    // Of digits alone nothing is left.
    [text, core(text)].into_iter().any(|text| is_listed(&folded(text)))
}

fn is_listed(folded: &str) -> bool {
    if folded.chars().count() < SHORTEST {
        return false;
    }
    let hash = Sha256::digest(folded.as_bytes());
    let (entries, _) = LIST.as_chunks::<KEPT>();
    entries.binary_search_by(|entry| entry.as_slice().cmp(&hash[..KEPT])).is_ok()
}

#[cfg(test)]
mod tests {
    use saas_core::Secret;

    use super::*;

    fn password(text: &str) -> Password {
        Password::new(&Secret::new(text.to_owned())).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_list_is_in_order_and_holds_what_it_should() {
        let (entries, rest) = LIST.as_chunks::<KEPT>();
        assert!(entries.len() > 50_000 && rest.is_empty(), "{}", entries.len());
        assert!(entries.is_sorted() && entries.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_common_password_is_found_however_it_is_dressed_up() {
        for common in [
            "password",
            "P4ssw0rd",
            "passwordpassword",
            "PasswordPassword!!",
            "qwertyuiopasdfg",
            "12345678901234567890",
            "123456789qwerty",
            "2026-dragon-2026",
            "1qaz2wsx3edc4rfv",
        ] {
            assert!(is_common(&password(common)), "{common}");
        }
        for other in [
            "correct horse battery staple",
            "my dragon eats passwords",
            "",
            "a",
            "zo\u{eb} und das pferd von t\u{fc}r 7",
        ] {
            assert!(!is_common(&password(other)), "{other}");
        }
    }
}
