//! A mail as a [`Mailer`](crate::Mailer) gets it: addressed, rendered, and with nothing in its head that could add a line to it.

use std::fmt::{self, Debug};

use crate::{DisplayName, Email, InvalidEmail, InvalidText};

crate::text! {
    /// A mail's subject: 1 to 250 characters on one line.
    pub MailSubject, 1, 250
}

/// Somebody's address and how they are called. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The address.
    pub address: Email,
    /// The name beside it.
    pub name: Option<DisplayName>,
}

/// Why a text is not a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMailbox {
    /// The address.
    #[error(transparent)]
    Address(#[from] InvalidEmail),
    /// The name.
    #[error("the name before the address is {0}")]
    Name(#[from] InvalidText),
}

impl Mailbox {
    /// Parses `ada@example.com` or `Ada Lovelace <ada@example.com>`.
    pub fn parse(text: &str) -> Result<Self, InvalidMailbox> {
        let text = text.trim();
        let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) else {
            return Ok(Self { address: Email::parse(text)?, name: None });
        };
        let name = name.trim();
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let name = if name.is_empty() { None } else { Some(DisplayName::parse(name)?) };
        Ok(Self { address: Email::parse(address)?, name })
    }

    /// An address alone.
    pub const fn new(address: Email) -> Self {
        Self { address, name: None }
    }

    /// With a name.
    #[must_use]
    pub fn named(self, name: Option<DisplayName>) -> Self {
        Self { name, ..self }
    }
}

impl Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox([redacted])")
    }
}

/// What a mail is known by to its service, however often it is sent: the id of the job that sends it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MailKey(String);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mail's key has 1 to 128 letters, digits, dots, hyphens and underscores, and begins with no dot")]
pub struct InvalidMailKey;

impl MailKey {
    /// Parses a key that can stand in a header, in a `Message-ID` and in a file's name.
    pub fn parse(text: &str) -> Result<Self, InvalidMailKey> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.');
        if fits && !text.ends_with('.') && !text.contains("..") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidMailKey)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<crate::jobs::JobId> for MailKey {
    fn from(id: crate::jobs::JobId) -> Self {
        Self(id.to_string())
    }
}

/// One mail to one person. `Debug` shows its key and what kind it is, and nothing that a person wrote or reads.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mail {
    /// What it is known by.
    pub key: MailKey,
    /// What kind it is: the name of its template.
    pub template: &'static str,
    /// Whom it is from.
    pub from: Mailbox,
    /// Whom it is to.
    pub to: Mailbox,
    /// Where answers go, if not to whom it is from.
    pub reply_to: Option<Mailbox>,
    /// Its subject.
    pub subject: MailSubject,
    /// Its text, for whoever reads no HTML.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// What a template of the service's own may say, by name. A service without one for this kind sends `text` and `html`.
    pub variables: Vec<(&'static str, String)>,
}

impl Mail {
    /// A mail with nothing but what it needs.
    pub fn new(
        key: MailKey,
        template: &'static str,
        from: Mailbox,
        to: Mailbox,
        subject: MailSubject,
        bodies: MailBodies,
    ) -> Self {
        let MailBodies { text, html } = bodies;
        Self { key, template, from, to, reply_to: None, subject, text, html, variables: Vec::new() }
    }

    /// With another place for answers.
    #[must_use]
    pub fn reply_to(self, reply_to: Option<Mailbox>) -> Self {
        Self { reply_to, ..self }
    }

    /// With what a template of the service's own may say.
    #[must_use]
    pub fn variables(self, variables: Vec<(&'static str, String)>) -> Self {
        Self { variables, ..self }
    }
}

/// What a mail says, twice.
#[derive(Clone)]
pub struct MailBodies {
    /// As text.
    pub text: String,
    /// As HTML.
    pub html: String,
}

impl Debug for MailBodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailBodies([redacted])")
    }
}

impl Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("key", &self.key.as_str())
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_an_address_with_or_without_a_name() {
        for (text, name, address) in [
            ("ada@example.com", None, "ada@example.com"),
            (" Ada Lovelace <Ada@example.com> ", Some("Ada Lovelace"), "Ada@example.com"),
            ("\"Lovelace, Ada\" <ada@example.com>", Some("Lovelace, Ada"), "ada@example.com"),
            ("<ada@example.com>", None, "ada@example.com"),
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.name.as_ref().map(DisplayName::as_str), name, "{text}");
            assert_eq!(mailbox.address.shown(), address, "{text}");
        }
        for text in
            ["", "Ada", "Ada <ada>", "Ada\r\nBcc: eve@example.com <ada@example.com>", "Ada <a@b.c", "a@b.c>"]
        {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_head_of_a_mail_can_hold_a_line_break() {
        for text in ["Hello\r\nBcc: eve@example.com", "Hello\nBcc: eve@example.com", "a\0b", "", "\r\n"] {
            assert!(MailSubject::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "a b", "a\r\nb", "a@b", "<a>", ".a", "a.", "a..b", &"k".repeat(129)] {
            assert!(MailKey::parse(text).is_err(), "{text:?}");
        }
        assert!(MailKey::parse("0198f3a2-test.1_x").is_ok());
    }

    #[test]
    fn debug_shows_nothing_that_a_person_wrote_or_reads() {
        let mail = Mail::new(
            MailKey::parse("k-1").unwrap(),
            "welcome",
            Mailbox::parse("Acme <from@example.com>").unwrap(),
            Mailbox::parse("Ada <to@example.com>").unwrap(),
            MailSubject::parse("the subject").unwrap(),
            MailBodies { text: "the text".to_owned(), html: "the html".to_owned() },
        );
        let mail = mail.variables(vec![("token", "the token".to_owned())]);
        assert_eq!(format!("{mail:?}"), r#"Mail { key: "k-1", template: "welcome", .. }"#);
    }
}
