//! The job that sends a mail.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::{counter, histogram};
use saas_auth::{Auth, CommandError, LockId, Session, User, UserStatus};
use saas_core::{
    Actor, Clock, Fault, Mail, MailError, Mailbox, Mailer, Refusal, SendMail, UserId, fault::chain,
};
use saas_mail::{Letter, Letters, Secured};
use saas_tenancy::{Tenancy, TenantError};

use crate::jobs::{Attempt, JobError, JobHandler};

/// How many mails a process hands over at once.
pub(crate) const AT_ONCE: usize = 4;

/// Does [`SendMail`]: looks up whom it is to, puts it into words, and hands it over under the job's id.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) auth: Auth,
    pub(crate) tenancy: Tenancy,
    pub(crate) letters: Letters,
    pub(crate) mailer: Arc<dyn Mailer>,
    /// The word for it in metrics.
    pub(crate) transport: &'static str,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl JobHandler<SendMail> for Sender {
    async fn run(&self, job: SendMail, attempt: &Attempt) -> Result<(), JobError> {
        let Some((letter, to)) = self.letter(job, attempt).await? else {
            tracing::info!(job.id = %attempt.id(), "a mail has nobody any more that it could go to");
            return Ok(());
        };
        let mail = self.letters.mail(&letter, to, attempt.id().into());
        self.send(&mail.map_err(|error| JobError::Hopeless(chain(&error)))?).await
    }
}

impl Sender {
    /// What the mail says and whom it is to, as both are now; `None` where one of them is not there any more.
    async fn letter(&self, job: SendMail, attempt: &Attempt) -> Result<Option<(Letter, Mailbox)>, JobError> {
        Ok(match job {
            SendMail::Welcome { user, tenant } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                let tenant = match self.tenancy.tenant(&actor(), tenant).await {
                    Ok(tenant) => tenant,
                    Err(TenantError::NotFound) => return Ok(None),
                    Err(error) => return Err(JobError::Retry(chain(&error))),
                };
                Some((
                    Letter::Welcome { name: user.display_name.clone(), tenant: tenant.name },
                    mailbox(user),
                ))
            }
            SendMail::SessionRevoked { user, session } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                // One that was purged since was ended all the same, which is worth telling.
                let session = self.auth.session(&actor(), session).await.map_err(failed)?;
                let device = session.as_ref().and_then(device);
                let name = user.display_name.clone();
                Some((Letter::SessionRevoked { name, at: attempt.enqueued_at(), device }, mailbox(user)))
            }
            SendMail::UnlockAccount { user, lock } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                // Whoever signed in meanwhile needs no mail, and nothing would unlock.
                let token =
                    self.auth.unlock_token(&actor(), LockId::from_uuid(lock)).await.map_err(failed)?;
                let Some(token) = token.filter(|token| token.user == user.id) else { return Ok(None) };
                let secured = Secured { token: token.token, expires_at: token.expires_at };
                Some((Letter::UnlockAccount { name: user.display_name.clone(), secured }, mailbox(user)))
            }
            other => return Err(JobError::Retry(format!("this release does not know the mail {other:?}"))),
        })
    }

    /// Somebody who may sign in: nobody else is mailed about it.
    async fn user(&self, id: UserId) -> Result<Option<User>, JobError> {
        match self.auth.user(&actor(), id).await {
            Ok(user) => Ok(Some(user).filter(|user| user.status == UserStatus::Active)),
            Err(CommandError::NotFound) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Hands it over, and says what the job is to do when that fails.
    async fn send(&self, mail: &Mail) -> Result<(), JobError> {
        let began = self.clock.monotonic();
        let sent = self.mailer.send(mail).await;
        self.measure(mail, &sent, self.clock.monotonic().saturating_sub(began));
        let error = match sent {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let (text, wait) = (chain(&error), error.report().retry_after);
        Err(match error {
            // The mail is good, and goes when the settings are.
            MailError::Refused { what: Refusal::Credentials, .. } => JobError::Retry(text),
            MailError::Refused { .. } => JobError::Hopeless(text),
            _ => wait.map_or_else(
                || JobError::Retry(text.clone()),
                |wait| JobError::RetryAfter(text.clone(), wait),
            ),
        })
    }

    /// The names and `category` are the earlier system's.
    fn measure(&self, mail: &Mail, sent: &Result<(), MailError>, took: Duration) {
        let result = match sent {
            Ok(()) => "success",
            Err(MailError::Refused { .. }) => "refused",
            Err(MailError::Later { .. }) => "later",
            Err(_) => "unavailable",
        };
        let (transport, category) = (self.transport, mail.template);
        counter!("email_delivery_attempts_total", "transport" => transport, "category" => category, "result" => result)
            .increment(1);
        histogram!("email_delivery_latency_seconds", "transport" => transport).record(took);
    }
}

fn actor() -> Actor {
    Actor::system("mail")
}

fn failed(error: CommandError) -> JobError {
    match error {
        CommandError::Store(error) => JobError::Store(error),
        other => JobError::Retry(chain(&other)),
    }
}

fn mailbox(user: User) -> Mailbox {
    Mailbox::new(user.email).named(user.display_name)
}

/// `Firefox on Linux`, as far as it is known.
fn device(session: &Session) -> Option<String> {
    match (&session.device.browser, &session.device.platform) {
        (Some(browser), Some(platform)) => Some(format!("{browser} on {platform}")),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    }
}
