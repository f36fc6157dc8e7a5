//! E-mail addresses.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// An address, parsed: its identity (lower-cased, NFC, domain as A-labels) and how it was typed.
///
/// Two addresses are one identity when [`Email::as_str`] is equal. Dots and plus parts are kept: they belong to the mailbox's owner.
/// `Debug` shows neither part, for addresses do not belong in logs.
#[derive(Clone)]
pub struct Email {
    identity: String,
    shown: String,
}

/// Why a text is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEmail {
    /// RFC 5321 section 4.5.3.1.3: 254 octets with the domain, 64 for the local part.
    #[error("the address is too long: at most 254 bytes, 64 before the @")]
    TooLong,
    /// No `@` with something on each side.
    #[error("the address needs the form name@domain")]
    Form,
    /// Spaces, control characters, quotes or characters that an unquoted local part cannot hold.
    #[error("the part before the @ holds a character that is not allowed")]
    LocalPart,
    /// Not a domain name with at least two labels.
    #[error("the part after the @ is not a domain name")]
    Domain,
}

impl Email {
    /// Parses an address of the form `name@domain` (RFC 5321, RFC 6531), without comments, quotes or address literals.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let shown: String = text.trim().nfc().collect();
        if shown.len() > 254 {
            return Err(InvalidEmail::TooLong);
        }
        let (local, domain) = shown.rsplit_once('@').ok_or(InvalidEmail::Form)?;
        if local.is_empty() || domain.is_empty() {
            return Err(InvalidEmail::Form);
        }
        if local.len() > 64 {
            return Err(InvalidEmail::TooLong);
        }
        if !local_part_is_plain(local) {
            return Err(InvalidEmail::LocalPart);
        }
        let domain = ascii_domain(domain)?;
        // Lower-casing can undo composition: compose again.
        let local: String = local.to_lowercase().nfc().collect();
        let identity = format!("{local}@{domain}");
        if identity.len() > 254 || local.len() > 64 {
            return Err(InvalidEmail::TooLong);
        }
        Ok(Self { identity, shown })
    }

    /// An address out of our own storage, which holds both parts as they were parsed.
    pub fn from_stored(identity: String, shown: String) -> Self {
        Self { identity, shown }
    }

    /// The identity: what is compared and unique.
    pub fn as_str(&self) -> &str {
        &self.identity
    }

    /// The address as it was typed, for people and for the envelope of a mail.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// RFC 5322 `dot-atom`, with UTF-8 by RFC 6531.
fn local_part_is_plain(local: &str) -> bool {
    let atom = |c: char| match c {
        c if c.is_ascii() => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c),
        c => !c.is_control() && !c.is_whitespace() && !invisible(c),
    };
    local.chars().all(atom) && !local.starts_with('.') && !local.ends_with('.') && !local.contains("..")
}

/// Characters that change how a text looks or reads without being seen (bidirectional controls, zero-width joins, specials).
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
}

fn ascii_domain(domain: &str) -> Result<String, InvalidEmail> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| InvalidEmail::Domain)?;
    let labels: Vec<&str> = ascii.split('.').collect();
    let top_is_a_name = labels.last().is_some_and(|top| top.chars().any(|c| c.is_ascii_alphabetic()));
    if labels.len() < 2 || labels.iter().any(|label| label.is_empty()) || !top_is_a_name {
        return Err(InvalidEmail::Domain);
    }
    Ok(ascii)
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email([redacted])")
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Email {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_identity_and_is_shown_as_typed() {
        for (typed, identity) in [
            ("Ada+Work@Example.COM", "ada+work@example.com"),
            ("  ada@example.com ", "ada@example.com"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ZOE\u{308}@example.com", "zo\u{eb}@example.com"),
            ("first.last@sub.example.co.uk", "first.last@sub.example.co.uk"),
        ] {
            let email = Email::parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(email.as_str(), identity);
        }
        assert_eq!(
            Email::parse("Ada@Example.com").map(|e| e.shown().to_owned()),
            Ok("Ada@Example.com".into())
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for (text, why) in [
            ("", InvalidEmail::Form),
            ("ada", InvalidEmail::Form),
            ("@example.com", InvalidEmail::Form),
            ("ada@", InvalidEmail::Form),
            ("a da@example.com", InvalidEmail::LocalPart),
            ("a\0da@example.com", InvalidEmail::LocalPart),
            ("a..b@example.com", InvalidEmail::LocalPart),
            ("\"a b\"@example.com", InvalidEmail::LocalPart),
            ("a@b@example.com", InvalidEmail::LocalPart),
            ("a\u{202e}b@example.com", InvalidEmail::LocalPart),
            ("ada@localhost", InvalidEmail::Domain),
            ("ada@[127.0.0.1]", InvalidEmail::Domain),
            ("ada@127.0.0.1", InvalidEmail::Domain),
            ("ada@exa mple.com", InvalidEmail::Domain),
            ("ada@example..com", InvalidEmail::Domain),
            ("ada@example.com.", InvalidEmail::Domain),
            (long.as_str(), InvalidEmail::TooLong),
        ] {
            assert_eq!(Email::parse(text).err(), Some(why), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_identity_parses_to_itself(text in "\\PC{1,40}@[a-zA-Z0-9äöü-]{1,20}\\.[a-z]{2,6}") {
            if let Ok(email) = Email::parse(&text) {
                let again = Email::parse(email.as_str());
                proptest::prop_assert_eq!(again.map(|e| e.as_str().to_owned()), Ok(email.as_str().to_owned()));
            }
        }
    }
}
