//! [`Mailer`] over SMTP (RFC 5321) to a submission server (RFC 6409), as lettre speaks it, with TLS by a configuration that is handed in.

use std::{
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lettre::transport::smtp::{
    client::AsyncSmtpConnection,
    commands::{Data, Mail as MailFrom, Rcpt},
    extension::{ClientId, Extension, MailParameter},
};
use rustls::ClientConfig;
use saas_core::{Clock, Mail, MailError, Mailer, Refusal, clock::within};

use crate::{
    mime::{address, message},
    timed_out::TimedOut,
};

mod config;
mod connect;
mod failure;
mod stream;

pub use config::{InvalidSmtpConfig, SmtpConfig, SmtpTls};
use failure::{Phase, failed};

/// How many connections are kept open between mails.
const KEPT: usize = 4;
/// How long. Servers end what is idle after minutes.
const IDLE: Duration = Duration::from_secs(30);

/// The [`Mailer`] over an SMTP server.
///
/// - SMTP knows no idempotency key. What is sent again has the same `Message-ID`, which follows from the mail's key, and most programs show
///   it once; when an answer is lost after the server took the mail, it is sent again.
/// - The server's words are in no error, for they may repeat an address; its codes are.
#[derive(Clone)]
pub struct Smtp {
    shared: Arc<Shared>,
}

struct Shared {
    config: SmtpConfig,
    tls: Arc<ClientConfig>,
    clock: Arc<dyn Clock>,
    /// Connections that have done all they were asked, and since when they wait.
    idle: Mutex<Vec<(AsyncSmtpConnection, Duration)>>,
}

impl Smtp {
    /// Over that configuration of TLS: whom it trusts, and by which library.
    pub fn new(config: SmtpConfig, tls: ClientConfig, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { config, tls: Arc::new(tls), clock, idle: Mutex::default() }) }
    }

    async fn deliver(&self, mail: &Mail) -> Result<(), MailError> {
        let message = message(mail, self.shared.clock.now())?;
        let (from, to) = (address(&mail.from)?, address(&mail.to)?);
        let mut connection = self.connection(from.domain()).await?;
        let mut parameters = Vec::new();
        if [&from, &to].into_iter().any(|address| !address.to_string().is_ascii()) {
            // RFC 6531, section 3.2.
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(MailError::refused(Refusal::Recipient, "smtputf8_unsupported"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let sender = connection.command(MailFrom::new(Some(from), parameters)).await;
        sender.map_err(|error| failed(&error, Phase::Sender))?;
        let recipient = connection.command(Rcpt::new(to, Vec::new())).await;
        recipient.map_err(|error| failed(&error, Phase::Recipient))?;
        connection.command(Data).await.map_err(|error| failed(&error, Phase::Content))?;
        let taken = connection.message(&message.formatted()).await;
        taken.map_err(|error| failed(&error, Phase::Content))?;
        // One that was left half-way is never used again: its next answer would belong to the last question.
        self.keep(connection);
        Ok(())
    }

    /// One that is kept and still answers, or a new one.
    async fn connection(&self, hello: &str) -> Result<AsyncSmtpConnection, MailError> {
        while let Some(mut connection) = self.take() {
            if connection.test_connected().await {
                return Ok(connection);
            }
        }
        let Shared { config, tls, .. } = &*self.shared;
        connect::connect(config, tls, &ClientId::Domain(hello.to_owned())).await
    }

    fn take(&self) -> Option<AsyncSmtpConnection> {
        let now = self.shared.clock.monotonic();
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| now.saturating_sub(*since) < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let now = self.shared.clock.monotonic();
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push((connection, now));
        }
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let limit = self.shared.config.timeout;
        let delivered = within(&*self.shared.clock, limit, self.deliver(mail)).await;
        delivered.unwrap_or_else(|| Err(MailError::unavailable(TimedOut(limit))))
    }
}

impl Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
