//! A password as the list has it.

use saas_auth::Password;
use sha1::{Digest, Sha1};

/// How many hex digits a SHA-1 has.
pub(crate) const DIGITS: usize = 40;

/// The password's SHA-1 in capital hex digits. It is as good as the password to whoever has the list: it is neither logged nor told.
pub(crate) fn digest(password: &Password) -> [u8; DIGITS] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(Sha1::digest(password.bytes())) {
        *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    }
    digits
}

/// A line of a list, `<hex digits>:<how often it was seen>`, with as many digits as asked for; `None` where it is none.
pub(crate) fn line(line: &[u8], digits: usize) -> Option<(&[u8], u64)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (hash, count) = line.split_at_checked(digits)?;
    let count = std::str::from_utf8(count.strip_prefix(b":")?).ok()?;
    let hex = hash.iter().all(u8::is_ascii_hexdigit);
    (hex && count.bytes().all(|c| c.is_ascii_digit())).then(|| Some((hash, count.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use saas_core::Secret;

    use super::*;

    #[test]
    fn a_password_is_hashed_as_the_list_has_it() {
        let password = Password::new(&Secret::new("password".to_owned())).unwrap();
        assert_eq!(&digest(&password), b"5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8");
    }

    #[test]
    fn a_line_has_digits_a_colon_and_a_count() {
        assert_eq!(line(b"00AFB:12\r", 5), Some((&b"00AFB"[..], 12)));
        assert_eq!(line(b"00AFB:0", 5), Some((&b"00AFB"[..], 0)));
        for bad in [
            &b"00AFB"[..],
            b"00AFB:",
            b"00AFB:x",
            b"00AFB:-1",
            b"00AF:12",
            b"00AFBC:1",
            b"00AFG:1",
            b"",
            b"00AFB:99999999999999999999",
        ] {
            assert_eq!(line(bad, 5), None);
        }
    }
}
