//! A mail as a message of RFC 5322, with both bodies in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use lettre::{
    Address, Message,
    message::{
        Mailbox as MessageMailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use saas_core::{InternalError, Mail, MailError, Mailbox, Refusal};

/// A mail that cannot be written as a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnmailableError {
    /// An address that a message's head cannot hold.
    #[error("an address of the mail cannot stand in a message's head")]
    Address,
    /// The message could not be put together.
    #[error("the message could not be put together")]
    Message(#[source] InternalError),
}

impl From<UnmailableError> for MailError {
    fn from(error: UnmailableError) -> Self {
        match error {
            UnmailableError::Address => Self::refused(Refusal::Recipient, "unmailable_address"),
            UnmailableError::Message(_) => Self::refused(Refusal::Content, "unmailable"),
        }
    }
}

/// The bytes of a file that mail programs open, as they would be sent then.
pub fn eml(mail: &Mail, now: DateTime<Utc>) -> Result<Vec<u8>, UnmailableError> {
    Ok(message(mail, now)?.formatted())
}

/// The message. Its identity and its boundary follow from the mail's key: what is sent again is the same message.
pub(crate) fn message(mail: &Mail, now: DateTime<Utc>) -> Result<Message, UnmailableError> {
    let from = address(&mail.from)?;
    let identity = format!("<{}@{}>", mail.key.as_str(), from.domain());
    let mut builder = Message::builder()
        .from(mailbox(&mail.from)?)
        .to(mailbox(&mail.to)?)
        .subject(mail.subject.as_str())
        .date(now.into())
        .message_id(Some(identity))
        // RFC 3834: nobody's absence note answers it.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(reply_to) = &mail.reply_to {
        builder = builder.reply_to(mailbox(reply_to)?);
    }
    if let Some(words) = shielded(mail.subject.as_str()) {
        builder = builder.raw_header(written("Subject", mail.subject.to_string(), words));
    }
    for (name, mailbox) in [("From", &mail.from), ("To", &mail.to)] {
        if let Some(words) = mailbox.name.as_ref().and_then(|name| shielded(name.as_str())) {
            let address = address(mailbox)?;
            builder =
                builder.raw_header(written(name, address.to_string(), format!("{words}\r\n <{address}>")));
        }
    }
    let bodies = MultiPart::alternative()
        .boundary(format!("saas-{}", mail.key.as_str()))
        .singlepart(SinglePart::plain(mail.text.clone()))
        .singlepart(SinglePart::html(mail.html.clone()));
    builder.multipart(bodies).map_err(|error| UnmailableError::Message(InternalError::new(error)))
}

/// Encoded words (RFC 2047) for a text that looks as if it had some in it. lettre leaves those as they are, so that readers decode what
/// somebody typed: a way around whatever was done to the text before.
fn shielded(text: &str) -> Option<String> {
    /// With what stands around it, a word of them has 72 characters; 75 are allowed.
    const BYTES: usize = 45;
    if !text.contains("=?") {
        return None;
    }
    let mut chunks: Vec<String> = Vec::new();
    for c in text.chars() {
        match chunks.last_mut() {
            Some(last) if last.len() + c.len_utf8() <= BYTES => last.push(c),
            _ => chunks.push(c.to_string()),
        }
    }
    let words: Vec<_> =
        chunks.iter().map(|chunk| format!("=?utf-8?B?{}?=", STANDARD.encode(chunk))).collect();
    Some(words.join("\r\n "))
}

fn written(name: &'static str, raw: String, encoded: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), raw, encoded)
}

fn mailbox(mailbox: &Mailbox) -> Result<MessageMailbox, UnmailableError> {
    let name = mailbox.name.as_ref().map(|name| name.as_str().to_owned());
    Ok(MessageMailbox::new(name, address(mailbox)?))
}

/// The name before the `@` as it was typed, for it is the mailbox's owner's; the domain as every server knows it.
pub(crate) fn address(mailbox: &Mailbox) -> Result<Address, UnmailableError> {
    let address = &mailbox.address;
    let (local, domain) = (address.shown().rsplit_once('@'), address.as_str().rsplit_once('@'));
    let (Some((local, _)), Some((_, domain))) = (local, domain) else { return Err(UnmailableError::Address) };
    Address::new(local, domain).map_err(|_| UnmailableError::Address)
}
