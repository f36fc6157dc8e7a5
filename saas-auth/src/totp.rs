//! One-time codes by time (TOTP, RFC 6238): SHA-1, six digits, steps of 30 seconds, which is what every authenticator app can do.
//!
//! This is the pure part: seeds, codes, what an app is told. That a step is used once is the store's to promise.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use saas_core::{Entropy, InternalError, Secret, entropy::random};
use sha1::Sha1;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// How long a step is, in seconds.
const STEP: i64 = 30;
/// How many steps before and after the present one count, for clocks that differ and people who are slow (RFC 6238 section 5.2).
const AROUND: i64 = 1;
const MODULUS: u32 = 1_000_000;

/// The secret that an authenticator app shares with us: 160 bits, as RFC 4226 recommends.
#[derive(Debug, Clone)]
pub struct TotpSeed(Secret<[u8; 20]>);

/// A code as somebody typed it: six digits.
#[derive(Debug, Clone)]
pub struct TotpCode(Secret<[u8; 6]>);

/// A text that is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the code has six digits: type what the authenticator app shows")]
pub struct InvalidTotpCode;

impl TotpCode {
    /// The longest text that is read.
    pub const MAX_BYTES: usize = 16;

    /// Reads six digits; spaces between them do not count.
    pub fn parse(text: &str) -> Result<Self, InvalidTotpCode> {
        let mut typed = text.bytes().filter(|byte| *byte != b' ');
        let mut digits = [0; 6];
        for place in &mut digits {
            *place = typed.next().filter(u8::is_ascii_digit).ok_or(InvalidTotpCode)?;
        }
        let digits = Secret::new(digits);
        if typed.next().is_some() || text.len() > Self::MAX_BYTES {
            Err(InvalidTotpCode)
        } else {
            Ok(Self(digits))
        }
    }
}

impl TotpSeed {
    /// How many bytes it has.
    pub const BYTES: usize = 20;

    /// A new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::new(random(entropy)))
    }

    /// As it was kept; `None` for what is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|seed| Self(Secret::new(seed)))
    }

    /// To be kept, encrypted.
    pub const fn expose(&self) -> &[u8; 20] {
        self.0.expose()
    }

    /// As apps take it: base32 without padding (RFC 4648).
    pub fn to_base32(&self) -> Secret<String> {
        Secret::new(base32(self.expose()))
    }

    /// What an app reads from a picture: `otpauth://totp/…`.
    pub fn to_uri(&self, issuer: &str, account: &str) -> Secret<String> {
        let (issuer, account) = (escaped(issuer), escaped(account));
        let secret = self.to_base32();
        Secret::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period={STEP}",
            secret.expose()
        ))
    }

    /// The step around `now` whose code this is, the latest where there are several; in time that does not depend on the code.
    pub fn matching_step(&self, code: &TotpCode, now: DateTime<Utc>) -> Result<Option<i64>, InternalError> {
        let present = step_at(now);
        let (mut found, mut step) = (Choice::from(0), 0);
        for candidate in present - AROUND..=present + AROUND {
            let right = self.code(candidate)?.as_slice().ct_eq(code.0.expose());
            step.conditional_assign(&candidate, right);
            found |= right;
        }
        Ok(bool::from(found).then_some(step))
    }

    /// The code of a moment, as an app shows it. For tests and for apps of one's own.
    pub fn code_at(&self, now: DateTime<Utc>) -> Result<Secret<String>, InternalError> {
        let digits = self.code(step_at(now))?;
        Ok(Secret::new(digits.iter().map(|digit| char::from(*digit)).collect()))
    }

    /// RFC 4226 section 5.3.
    fn code(&self, step: i64) -> Result<[u8; 6], InternalError> {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.expose()).map_err(InternalError::new)?;
        mac.update(&step.to_be_bytes());
        let hash: [u8; 20] = mac.finalize().into_bytes().into();
        let offset = usize::from(hash[19] & 0x0f);
        let [a, b, c, d] = [hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]];
        let mut number = u32::from_be_bytes([a & 0x7f, b, c, d]) % MODULUS;
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        Ok(digits)
    }
}

/// The number of the step that a moment is in.
const fn step_at(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(STEP)
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    text
}

/// Percent-encoded but for what RFC 3986 calls unreserved: a name cannot end its part of the URI.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            for nibble in [byte >> 4, byte & 15] {
                escaped
                    .extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed of RFC 6238, appendix B.
    fn seed() -> TotpSeed {
        TotpSeed(Secret::new(*b"12345678901234567890"))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        // The appendix has eight digits; six are its last six.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(seed().code_at(at(seconds)).unwrap().expose(), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_in_its_step_and_in_the_two_beside_it() {
        let code = TotpCode::parse("050 471").unwrap();
        let step = 1_111_111_111 / 30;
        for (seconds, found) in [(-31, false), (-30, true), (0, true), (30, true), (59, true), (60, false)] {
            let matching = seed().matching_step(&code, at(step * 30 + seconds)).unwrap();
            assert_eq!(matching, found.then_some(step), "{seconds}");
        }
    }

    #[test]
    fn what_is_not_six_digits_is_no_code() {
        for text in ["", "12345", "1234567", "12345a", "１２３４５６", "-12345", "1 2 3 4 5 6 7", "123456\n"]
        {
            assert_eq!(TotpCode::parse(text).err(), Some(InvalidTotpCode), "{text}");
        }
        assert_eq!(format!("{:?}", TotpCode::parse("123456").unwrap()), "TotpCode([redacted])");
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (text, encoded) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn no_name_gets_out_of_its_part_of_the_uri() {
        let uri = seed().to_uri("Ada & Söhne: 100%", "a+b@x.example?secret=AAAA&issuer=Evil#/");
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Ada%20%26%20S%C3%B6hne%3A%20100%25:a%2Bb%40x.example%3Fsecret%3DAAAA%26issuer%3DEvil%23%2F\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Ada%20%26%20S%C3%B6hne%3A%20100%25&algorithm=SHA1&digits=6&period=30",
        );
    }
}
