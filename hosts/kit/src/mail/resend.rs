//! Resend, by the settings.

use std::sync::Arc;

use saas_core::{Clock, InternalError, Secret};
use saas_mail::{InvalidResendConfig, Resend, ResendConfig};

use super::MailerError;
use crate::{settings::Settings, tls};

/// What the settings say. Without a key there is none, which loading them has told.
pub(super) fn config(settings: &Settings) -> Result<ResendConfig, InvalidResendConfig> {
    let key = settings.resend_api_key.clone().unwrap_or_else(|| Secret::new(String::new()));
    let config = ResendConfig::new(key)?.with_base_url(settings.resend_base_url.as_str())?;
    let templates = [
        ("verify_email", &settings.resend_email_verification_template_id),
        ("password_reset", &settings.resend_password_reset_template_id),
    ];
    let templates = templates.into_iter().filter_map(|(letter, id)| Some((letter, id.as_ref()?)));
    let config = templates.fold(config, |config, (letter, id)| config.with_template(letter, id));
    Ok(config.with_timeout(settings.mail_timeout.duration()))
}

pub(super) fn open(config: &ResendConfig, clock: Arc<dyn Clock>) -> Result<Resend, MailerError> {
    // What speaks plain HTTP alone must not need this machine's certificates.
    let tls = if config.is_encrypted() { tls::client()? } else { tls::client_that_trusts_nobody()? };
    let http = config.client_builder().tls_backend_preconfigured(tls).build();
    let http = http.map_err(|error| MailerError::Client(InternalError::new(error)))?;
    Ok(Resend::new(http, config.clone(), clock))
}
