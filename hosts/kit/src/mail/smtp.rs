//! SMTP, by the settings.

use std::sync::Arc;

use saas_core::{Clock, Secret};
use saas_mail::{InvalidSmtpConfig, Smtp, SmtpConfig, SmtpTls};

use super::MailerError;
use crate::{
    settings::{Settings, SmtpEncryption},
    tls,
};

/// What the settings say. Without a host there is none, which loading them has told.
pub(super) fn config(settings: &Settings) -> Result<SmtpConfig, InvalidSmtpConfig> {
    let encryption = match settings.smtp_tls {
        SmtpEncryption::StartTls => SmtpTls::StartTls,
        SmtpEncryption::Implicit => SmtpTls::Implicit,
        SmtpEncryption::None => SmtpTls::None,
    };
    let config = SmtpConfig::new(settings.smtp_host.as_deref().unwrap_or_default(), encryption)?;
    let port = settings.smtp_port.unwrap_or_else(|| encryption.default_port());
    let config = config.with_port(port).with_timeout(settings.mail_timeout.duration());
    match (&settings.smtp_username, &settings.smtp_password) {
        (Some(user), Some(password)) => config.with_credentials(Secret::new(user.clone()), password.clone()),
        _ => Ok(config),
    }
}

pub(super) fn open(config: &SmtpConfig, clock: Arc<dyn Clock>) -> Result<Smtp, MailerError> {
    // What speaks without TLS must not need this machine's certificates.
    let tls = if config.is_encrypted() { tls::client()? } else { tls::client_that_trusts_nobody()? };
    Ok(Smtp::new(config.clone(), tls, clock))
}
