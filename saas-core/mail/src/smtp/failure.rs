//! What a server's refusals mean.

use std::{error::Error, io};

use lettre::transport::smtp::Error as SmtpError;
use saas_core::{MailError, Refusal};

/// What was being asked when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first words, before anything of ours.
    Greeting,
    /// Who we are.
    Credentials,
    /// Whom the mail is from.
    Sender,
    /// Whom it is to.
    Recipient,
    /// The mail.
    Content,
}

/// What went wrong without a word of the server's: a text of ours, for theirs may repeat an address.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the server offers no STARTTLS")]
    NoStartTls,
    #[error("the server's name cannot stand in a certificate")]
    Name,
    #[error("the server's answer is none of SMTP, or is not whole")]
    Malformed,
    #[error("the connection failed: {0}")]
    Connection(io::ErrorKind),
}

/// A connection that was lost.
pub(super) fn lost(error: &io::Error) -> MailError {
    MailError::unavailable(Trouble::Connection(error.kind()))
}

/// A reply that lettre has not read.
pub(super) fn reply_failed(code: u16, text: &str) -> MailError {
    let permanent = (500..600).contains(&code);
    if permanent || (400..500).contains(&code) {
        judged(&code.to_string(), text.trim_start_matches(['-', ' ']), permanent, Phase::Greeting)
    } else {
        MailError::unavailable(Trouble::Malformed)
    }
}

/// A failure that lettre reports.
pub(super) fn failed(error: &SmtpError, phase: Phase) -> MailError {
    if let Some(code) = error.status() {
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        return judged(&code.to_string(), &words, error.is_permanent(), phase);
    }
    if phase == Phase::Credentials && error.is_client() {
        return MailError::refused(Refusal::Credentials, "no_mechanism");
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.map_or_else(|| MailError::unavailable(Trouble::Malformed), lost)
}

/// By the code (RFC 5321, section 4.2.3; RFC 4954, section 6) and the enhanced one (RFC 3463) that the text may begin with.
fn judged(code: &str, words: &str, permanent: bool, phase: Phase) -> MailError {
    let enhanced = words.split_whitespace().next().filter(|word| is_enhanced(word));
    let shown = enhanced.map_or_else(|| code.to_owned(), |enhanced| format!("{code} {enhanced}"));
    if !permanent {
        return MailError::later(None, &shown);
    }
    let subject = enhanced.and_then(|enhanced| enhanced.split('.').nth(1));
    let what = match (code, phase, subject) {
        ("530" | "534" | "535" | "538", ..) | (_, Phase::Credentials, _) => Refusal::Credentials,
        // Security or policy: not that nobody has the address.
        (_, Phase::Recipient, Some("7")) => Refusal::Content,
        (_, Phase::Recipient, _) | (_, Phase::Content, Some("1")) => Refusal::Recipient,
        // A server that greets so wants nothing of us, whatever the mail.
        (_, Phase::Greeting, _) => return MailError::later(None, &shown),
        _ => Refusal::Content,
    };
    MailError::refused(what, &shown)
}

/// `5.1.1`.
fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str, words: &str, phase: Phase) -> String {
        judged(code, words, code.starts_with('5'), phase).to_string()
    }

    #[test]
    fn a_refusal_says_what_was_refused_by_codes_alone() {
        for (code, words, phase, expected) in [
            (
                "550",
                "5.1.1 <ada@example.com>: no such user",
                Phase::Recipient,
                "refused the recipient (550 5.1.1)",
            ),
            ("550", "no such user ada@example.com", Phase::Recipient, "refused the recipient (550)"),
            ("554", "5.7.1 relay access denied", Phase::Recipient, "refused the mail (554 5.7.1)"),
            ("554", "5.7.1 spam", Phase::Content, "refused the mail (554 5.7.1)"),
            ("550", "5.1.1 no such user", Phase::Content, "refused the recipient (550 5.1.1)"),
            ("553", "sender rejected", Phase::Sender, "refused the mail (553)"),
            ("535", "5.7.8 bad credentials", Phase::Credentials, "refused our credentials (535 5.7.8)"),
            ("530", "5.7.0 authentication required", Phase::Sender, "refused our credentials (530 5.7.0)"),
            ("451", "4.7.1 greylisted", Phase::Recipient, "cannot take it now (451 4.7.1)"),
            ("421", "too many connections", Phase::Greeting, "cannot take it now (421)"),
            ("554", "no SMTP service here", Phase::Greeting, "cannot take it now (554)"),
        ] {
            assert_eq!(told(code, words, phase), format!("the mail service {expected}"));
        }
    }

    #[test]
    fn a_reply_before_tls_is_judged_too() {
        assert!(matches!(reply_failed(421, " come later"), MailError::Later { .. }));
        assert!(matches!(reply_failed(250, " what"), MailError::Unavailable(_)));
    }
}
