//! Where the server is and how we show who we are.

use std::{net::IpAddr, time::Duration};

use rustls::pki_types::ServerName;
use saas_core::Secret;

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SmtpTls {
    /// From its first byte (RFC 8314, section 3.3), on port 465.
    Implicit,
    /// By the command `STARTTLS` (RFC 3207), on port 587; a server that does not offer it gets no mail.
    StartTls,
    /// Not at all, on port 25: for a relay on this machine.
    None,
}

impl SmtpTls {
    /// The port that goes with it.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

/// What [`Smtp`](crate::Smtp) is told about the server.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: SmtpTls,
    pub(super) credentials: Option<(Secret<String>, Secret<String>)>,
    pub(super) timeout: Duration,
}

/// A value that cannot be used. It is not in the message: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSmtpConfig {
    /// Not the name or the address of a host.
    #[error("the host is neither a name nor an IP address")]
    Host,
    /// Empty, or with a control character.
    #[error("the user name or the password is empty or has a control character in it")]
    Credentials,
    /// Everybody on the way could read them.
    #[error("a password must not go unencrypted to another machine")]
    ExposedCredentials,
}

impl SmtpConfig {
    /// A server, its port the usual one; a mail may take 30 s.
    pub fn new(host: &str, tls: SmtpTls) -> Result<Self, InvalidSmtpConfig> {
        let host = host.trim().trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(host.as_str()).map_err(|_| InvalidSmtpConfig::Host)?;
        Ok(Self { host, port: tls.default_port(), tls, credentials: None, timeout: Duration::from_secs(30) })
    }

    /// Whether anything of it is encrypted.
    pub const fn is_encrypted(&self) -> bool {
        !matches!(self.tls, SmtpTls::None)
    }

    /// On another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// As somebody whom the server knows.
    pub fn with_credentials(
        self,
        user: Secret<String>,
        password: Secret<String>,
    ) -> Result<Self, InvalidSmtpConfig> {
        let fits =
            |text: &Secret<String>| !text.expose().is_empty() && !text.expose().contains(char::is_control);
        if !fits(&user) || !fits(&password) {
            return Err(InvalidSmtpConfig::Credentials);
        }
        if self.tls == SmtpTls::None && !is_loopback(&self.host) {
            return Err(InvalidSmtpConfig::ExposedCredentials);
        }
        Ok(Self { credentials: Some((user, password)), ..self })
    }

    /// With another time in which a mail has to be taken, connecting included.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

/// Whether that is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_never_goes_in_the_clear_to_another_machine() {
        for (host, fits) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("mail.example.com", false),
            ("10.0.0.1", false),
        ] {
            let config = SmtpConfig::new(host, SmtpTls::None).unwrap();
            let told = config.with_credentials(secret("ada"), secret("pass word"));
            assert_eq!(told.is_ok(), fits, "{host}");
        }
        let config = SmtpConfig::new("mail.example.com", SmtpTls::StartTls).unwrap();
        let config = config.with_credentials(secret("the-user"), secret("the-password")).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("the-user") && !shown.contains("the-password"), "{shown}");
        assert_eq!(config.port, 587);
    }

    #[test]
    fn what_is_no_host_or_no_credential_is_refused() {
        for host in ["", "a b", "https://mail.example.com", "mail.example.com:25", "ada@example.com"] {
            assert_eq!(
                SmtpConfig::new(host, SmtpTls::Implicit).err(),
                Some(InvalidSmtpConfig::Host),
                "{host}"
            );
        }
        let config = SmtpConfig::new("mail.example.com", SmtpTls::Implicit).unwrap();
        for (user, password) in [("", "p"), ("u", ""), ("u\r\nQUIT", "p"), ("u", "p\0")] {
            let refused = config.clone().with_credentials(secret(user), secret(password));
            assert_eq!(refused.err(), Some(InvalidSmtpConfig::Credentials));
        }
    }
}
