//! Mails: settings to configuration, without I/O; configuration to a mailer; and the job that sends.

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use saas_core::{Clock, InternalError, Mailer};
use saas_mail::{Brand, FolderMailer, Letters};

use crate::settings::{MailTransport, Settings};

#[cfg(feature = "resend")]
mod resend;
mod send;
#[cfg(feature = "smtp")]
mod smtp;

pub(crate) use send::{AT_ONCE, Sender};

/// A mailer that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailerError {
    /// Its TLS could not be set up.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The client could not be made.
    #[error("no client for mails could be made")]
    Client(#[source] InternalError),
}

/// How mails leave, judged and not yet opened.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// Through what the builder was given.
    Own(Arc<dyn Mailer>),
    Folder(PathBuf),
    #[cfg(feature = "smtp")]
    Smtp(saas_mail::SmtpConfig),
    #[cfg(feature = "resend")]
    Resend(saas_mail::ResendConfig),
}

impl Transport {
    /// What the settings say; the error names those that are wrong.
    pub(crate) fn of(settings: &Settings) -> Result<Self, String> {
        match settings.mail_transport() {
            MailTransport::Folder => Ok(Self::Folder(settings.mail_folder.clone())),
            #[cfg(feature = "smtp")]
            MailTransport::Smtp => smtp::config(settings)
                .map(Self::Smtp)
                .map_err(|error| format!("SMTP_HOST, SMTP_USERNAME, SMTP_PASSWORD: {error}")),
            #[cfg(feature = "resend")]
            MailTransport::Resend => resend::config(settings)
                .map(Self::Resend)
                .map_err(|error| format!("RESEND_API_KEY, RESEND_BASE_URL: {error}")),
            #[cfg(not(all(feature = "smtp", feature = "resend")))]
            other => Err(format!(
                "MAIL_TRANSPORT: this build has no {other} support: build with its feature `{other}`, or set another one"
            )),
        }
    }

    /// The word for it in metrics, that of the settings where they chose it.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Own(_) => "own",
            Self::Folder(_) => "folder",
            #[cfg(feature = "smtp")]
            Self::Smtp(_) => "smtp",
            #[cfg(feature = "resend")]
            Self::Resend(_) => "resend",
        }
    }

    /// The mailer. Nothing is connected before the first mail.
    #[cfg_attr(
        not(any(feature = "smtp", feature = "resend")),
        expect(clippy::unnecessary_wraps, reason = "only a client can fail")
    )]
    pub(crate) fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Mailer>, MailerError> {
        Ok(match self {
            Self::Own(mailer) => Arc::clone(mailer),
            Self::Folder(folder) => Arc::new(FolderMailer::new(folder, clock)),
            #[cfg(feature = "smtp")]
            Self::Smtp(config) => Arc::new(smtp::open(config, clock)?),
            #[cfg(feature = "resend")]
            Self::Resend(config) => Arc::new(resend::open(config, clock)?),
        })
    }
}

/// The product's letters, as the settings have it; the error names the setting that is wrong.
pub(crate) fn letters(settings: &Settings) -> Result<Letters, String> {
    let brand = Brand::new(&settings.app_name, settings.app_public_url.as_str(), settings.mail_from());
    let brand = brand.map_err(|error| format!("APP_NAME: mails have it as a name, and it is {error}"))?;
    Ok(Letters::new(brand.with_support(settings.mail_support_address.clone())))
}
