//! The key that seals the product's own secrets.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use saas_core::Secret;

use super::SettingValue;

/// Either alphabet is turned into this one before it is read; the padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What people write where a secret should go, in lower case and without punctuation.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "placeholder",
    "password",
    "example",
    "yoursecret",
    "secretkey",
    "rootkey",
    "insecure",
    "donotuse",
];

/// A key of 32 bytes, hidden.
#[derive(Clone)]
pub struct RootKey {
    bytes: Secret<[u8; 32]>,
    weakness: Option<&'static str>,
}

impl RootKey {
    /// The key. Whoever calls this answers for where it goes.
    pub const fn expose(&self) -> &[u8; 32] {
        self.bytes.expose()
    }

    /// Why it is no key to protect anything with, if it is plain to see.
    pub(super) const fn weakness(&self) -> Option<&'static str> {
        self.weakness
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey([redacted])")
    }
}

impl SettingValue for RootKey {
    const KIND: &'static str = "32 bytes in base64";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let url_safe = Secret::new(text.replace('+', "-").replace('/', "_"));
        let decoded = BASE64.decode(url_safe.expose()).map_err(|_| "is not base64".to_owned())?;
        let decoded = Secret::new(decoded);
        let bytes: [u8; 32] = decoded
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| format!("is {} bytes long where 32 are needed", decoded.expose().len()))?;
        Ok(Self { weakness: weakness(&bytes, text), bytes: Secret::new(bytes) })
    }

    fn shown(&self) -> Option<String> {
        Some("[redacted]".to_owned())
    }
}

/// Whether the text holds a word that only stands for a secret.
pub(super) fn is_placeholder(text: &[u8]) -> bool {
    let letters = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let plain = Secret::new(letters.map(u8::to_ascii_lowercase).collect::<Vec<_>>());
    PLACEHOLDERS.iter().any(|word| plain.expose().windows(word.len()).any(|window| window == word.as_bytes()))
}

/// Random bytes show none of these: fewer than 8 different ones among 32 have a chance below 10⁻³⁰.
fn weakness(bytes: &[u8; 32], text: &str) -> Option<&'static str> {
    let different = (0..=u8::MAX).filter(|byte| bytes.contains(byte)).count();
    let counts = |step: u8| bytes.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(step));
    if different < 8 || counts(1) || counts(u8::MAX) {
        Some("is a pattern, not random bytes")
    } else if is_placeholder(bytes) || is_placeholder(text.as_bytes()) {
        Some("is a placeholder, not random bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::{RootKey, SettingValue};

    fn scattered() -> [u8; 32] {
        std::array::from_fn(|index| u8::try_from(index * index * 7 % 251).unwrap_or(0) | 0xe0 ^ 0x11)
    }

    #[test]
    fn a_key_is_read_in_every_base64_and_never_shown() {
        let key = scattered();
        for text in [
            STANDARD.encode(key),
            STANDARD_NO_PAD.encode(key),
            URL_SAFE.encode(key),
            URL_SAFE_NO_PAD.encode(key),
        ] {
            let parsed = RootKey::parse(&text);
            assert!(parsed.as_ref().is_ok_and(|parsed| parsed.expose() == &key), "{text}");
            assert_eq!(format!("{parsed:?}"), "Ok(RootKey([redacted]))");
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for text in ["AAAA", "not base64!", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33])] {
            assert!(RootKey::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_and_placeholders_are_weak() {
        let counting: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap_or(0));
        for text in [
            STANDARD.encode([7; 32]),
            STANDARD.encode(counting),
            STANDARD.encode(b"abcdabcdabcdabcdabcdabcdabcdabcd"),
            STANDARD.encode(b"change-me-please-1234567890-abcd"),
            "changeme0123456789abcdefghijklmnopqrstuvwxA=".to_owned(),
        ] {
            let parsed = RootKey::parse(&text);
            assert!(parsed.as_ref().is_ok_and(|key| key.weakness().is_some()), "{text}: {parsed:?}");
        }
        let sound = RootKey::parse(&STANDARD.encode(scattered()));
        assert!(sound.is_ok_and(|key| key.weakness().is_none()));
    }
}
