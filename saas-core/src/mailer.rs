//! The port that mails leave through.

use std::{
    error::Error,
    fmt::{self, Debug},
    time::Duration,
};

use async_trait::async_trait;

use crate::{ErrorKind, Fault, Mail, Report};

/// What a service would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody has the address, or nobody who takes mail from us.
    Recipient,
    /// Something in the mail itself, the sender's address among it.
    Content,
    /// Who we say we are. The mail may be good: once the settings are mended, it goes.
    Credentials,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipient => "the recipient",
            Self::Content => "the mail",
            Self::Credentials => "our credentials",
        })
    }
}

/// What a service calls a failure: its codes, without its words, which may repeat an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCode(String);

impl ServiceCode {
    /// Keeps letters, digits, dots, hyphens, underscores and single spaces, 64 at most.
    pub fn new(code: &str) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
        Self(code.chars().filter(plain).take(64).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a mail was not sent. It shows no address, no body and no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// The service will never take it as it is.
    #[error("the mail service refused {what} ({code})")]
    Refused {
        /// What it would not take.
        what: Refusal,
        /// What the service calls it.
        code: ServiceCode,
    },
    /// The service cannot take it now.
    #[error("the mail service cannot take it now ({code})")]
    Later {
        /// No sooner than then, if the service said so.
        retry_after: Option<Duration>,
        /// What the service calls it.
        code: ServiceCode,
    },
    /// The service cannot be reached, or did not answer in time: whether it has the mail is not known.
    #[error("the mail service does not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl MailError {
    /// A refusal under the service's code.
    pub fn refused(what: Refusal, code: &str) -> Self {
        Self::Refused { what, code: ServiceCode::new(code) }
    }

    /// A delay under the service's code.
    pub fn later(retry_after: Option<Duration>, code: &str) -> Self {
        Self::Later { retry_after, code: ServiceCode::new(code) }
    }

    /// A service that does not answer.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl Fault for MailError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Refused { what: Refusal::Recipient, .. } => {
                Report::new(ErrorKind::Invalid, "mail_recipient_refused")
            }
            Self::Refused { what: Refusal::Content, .. } => {
                Report::new(ErrorKind::Conflict, "mail_content_refused")
            }
            Self::Refused { what: Refusal::Credentials, .. } => {
                Report::new(ErrorKind::Forbidden, "mail_credentials_refused")
            }
            Self::Later { retry_after, .. } => {
                let report = Report::new(ErrorKind::Unavailable, "mail_later");
                retry_after.map_or(report, |wait| report.with_retry_after(wait))
            }
            Self::Unavailable(_) => Report::new(ErrorKind::Unavailable, "mail_unavailable"),
        }
    }
}

/// Sends mails.
///
/// It is called by jobs, never inside a transaction. It tries once: whoever calls it tries again.
///
/// # Contract
/// - A mail that was sent arrives as it was given: sender, recipient, subject and both bodies, whatever characters they have.
/// - It arrives at its recipient and at nobody else, whatever its bodies look like.
/// - A mail that is sent again under its key arrives once, or can be told by its identity, which another key does not have.
/// - Mails that are sent beside each other all arrive.
/// - Nothing readable of a mail is in the mailer's `Debug`, and no secret of the service's.
///
/// One with a service on the other side also keeps these:
///
/// - What the service refuses for good is `Refused`, and says what was refused: recipient, mail or credentials.
/// - What it cannot take now is `Later`, with the service's own wait if it gave one.
/// - A service that cannot be reached, or breaks off, is `Unavailable`.
/// - After any of these the next mail goes through once the service takes mails again.
/// - No error shows an address, a body or a secret, not even what the service said.
#[async_trait]
pub trait Mailer: Debug + Send + Sync + 'static {
    /// Hands a mail over. `Ok`: the service has it.
    async fn send(&self, mail: &Mail) -> Result<(), MailError>;
}
