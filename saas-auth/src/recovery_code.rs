//! Recovery codes: what signs in once where the authenticator app is lost. 80 random bits each, stored as a keyed hash alone.

use saas_core::{Entropy, Secret, entropy::random};

/// Crockford's alphabet: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARACTERS: usize = 16;

/// A recovery code: sixteen characters, shown in four groups.
#[derive(Debug, Clone)]
pub struct RecoveryCode(Secret<[u8; CHARACTERS]>);

/// A text that has not the form of a recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recovery code has sixteen letters and digits, as XXXX-XXXX-XXXX-XXXX")]
pub struct InvalidRecoveryCode;

impl RecoveryCode {
    /// How many somebody gets.
    pub const COUNT: usize = 10;
    /// The longest text that is read.
    pub const MAX_BYTES: usize = 64;

    /// A new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        // 256 is a multiple of 32: each character has the same chance.
        let bytes: [u8; CHARACTERS] = random(entropy);
        Self(Secret::new(bytes.map(|byte| ALPHABET[usize::from(byte % 32)])))
    }

    /// Reads one as people type it: without or with hyphens and spaces, in small letters, `O` for zero, `I` and `L` for one.
    pub fn parse(text: &str) -> Result<Self, InvalidRecoveryCode> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidRecoveryCode);
        }
        let mut typed =
            text.bytes().filter(|byte| !b"- ".contains(byte)).map(|byte| match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            });
        let mut code = [0; CHARACTERS];
        for place in &mut code {
            *place = typed.next().filter(|byte| ALPHABET.contains(byte)).ok_or(InvalidRecoveryCode)?;
        }
        let code = Secret::new(code);
        if typed.next().is_some() { Err(InvalidRecoveryCode) } else { Ok(Self(code)) }
    }

    /// As it is shown, once.
    pub fn shown(&self) -> Secret<String> {
        let mut text = String::with_capacity(CHARACTERS + 3);
        for (index, byte) in self.0.expose().iter().enumerate() {
            if index > 0 && index % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(*byte));
        }
        Secret::new(text)
    }

    /// What is hashed.
    pub(crate) const fn expose(&self) -> &[u8; CHARACTERS] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use saas_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = RecoveryCode(Secret::new(*b"0123456789ABCDEF"));
        assert_eq!(code.shown().expose(), "0123-4567-89AB-CDEF");
        for typed in [
            "0123-4567-89AB-CDEF",
            "0123456789abcdef",
            "oI23 4567 89ab cdef",
            "O l 2 3 4 5 6 7 8 9 a b c d e f",
        ] {
            assert_eq!(RecoveryCode::parse(typed).unwrap().expose(), code.expose(), "{typed}");
        }
        let long = "0".repeat(65);
        for wrong in [
            "",
            "0123-4567-89AB-CDE",
            "0123-4567-89AB-CDEFG",
            "0123-4567-89AB-CDEU",
            "0123_4567_89AB_CDEF",
            &long,
        ] {
            assert_eq!(RecoveryCode::parse(wrong).err(), Some(InvalidRecoveryCode), "{wrong}");
        }
    }

    #[test]
    fn new_codes_differ_and_use_the_whole_alphabet() {
        let entropy = SeededEntropy::new(1);
        let codes: std::collections::BTreeSet<_> =
            (0..200).map(|_| RecoveryCode::generate(&entropy).shown().expose().clone()).collect();
        assert_eq!(codes.len(), 200);
        let characters: std::collections::BTreeSet<u8> = codes.iter().flat_map(|code| code.bytes()).collect();
        assert_eq!(characters.len(), 33, "the alphabet and the hyphen");
    }
}
