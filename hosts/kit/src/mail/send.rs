//! The job that sends a mail.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::{counter, histogram};
use saas_auth::{Auth, CommandError, MailedToken, OneTimeTokenId, RecoveryError, Session, User, UserStatus};
use saas_core::{
    Actor, Clock, DisplayName, Email, Fault, Mail, MailError, Mailbox, Mailer, Refusal, SendMail, UserId,
    fault::chain,
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
        let id = OneTimeTokenId::from_uuid;
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
            SendMail::NewSignIn { user, session } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                // One that has ended since was opened all the same; of one that was purged there is nothing to tell.
                let Some(session) = self.auth.session(&actor(), session).await.map_err(failed)? else {
                    return Ok(None);
                };
                let place = self.auth.place_of(&session).map(|place| place.to_string());
                let place = place.or_else(|| self.auth.address_of(&session));
                let (name, device) = (user.display_name.clone(), device(&session));
                Some((Letter::NewSignIn { name, at: session.created_at, device, place }, mailbox(user)))
            }
            SendMail::PasswordChanged { user } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                let name = user.display_name.clone();
                Some((Letter::PasswordChanged { name, at: attempt.enqueued_at() }, mailbox(user)))
            }
            SendMail::AlreadyRegistered { user } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                Some((Letter::AlreadyRegistered { name: user.display_name.clone() }, mailbox(user)))
            }
            SendMail::VerifyEmail { token } => {
                self.secured(id(token), |name, secured, _| Some(Letter::VerifyEmail { name, secured }))
                    .await?
            }
            SendMail::PasswordReset { token } => {
                self.secured(id(token), |name, secured, _| Some(Letter::PasswordReset { name, secured }))
                    .await?
            }
            SendMail::UnlockAccount { token } => {
                self.secured(id(token), |name, secured, _| Some(Letter::UnlockAccount { name, secured }))
                    .await?
            }
            SendMail::PasswordResetByAdmin { token } => {
                self.secured(id(token), |name, secured, _| {
                    Some(Letter::PasswordResetByAdmin { name, secured })
                })
                .await?
            }
            SendMail::EmailChangeConfirm { token } => self.change_confirm(id(token)).await?,
            SendMail::EmailChangeNotice { token } => {
                self.secured(id(token), |name, secured, new_address| {
                    Some(Letter::EmailChangeNotice { name, new_address: new_address?, secured })
                })
                .await?
            }
            SendMail::FactorAdded { user } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                let (name, at) = (user.display_name.clone(), attempt.enqueued_at());
                Some((Letter::FactorAdded { name, at, factor: authenticator() }, mailbox(user)))
            }
            SendMail::FactorRemoved { user } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                let (name, at) = (user.display_name.clone(), attempt.enqueued_at());
                Some((Letter::FactorRemoved { name, at, factor: authenticator() }, mailbox(user)))
            }
            SendMail::RecoveryCodeUsed { user } => {
                let Some(user) = self.user(user).await? else { return Ok(None) };
                let state = self.auth.second_factor_of_user(&actor(), user.id).await;
                let left = state.map_err(|error| JobError::Retry(chain(&error)))?.recovery_codes_left;
                let (name, at) = (user.display_name.clone(), attempt.enqueued_at());
                Some((Letter::RecoveryCodeUsed { name, at, left }, mailbox(user)))
            }
            other => return Err(JobError::Retry(format!("this release does not know the mail {other:?}"))),
        })
    }

    /// A letter with a token, derived now and stored nowhere; `None` for one that nobody can use any more, or never could.
    async fn secured(
        &self,
        token: OneTimeTokenId,
        letter: impl FnOnce(Option<DisplayName>, Secured, Option<Email>) -> Option<Letter>,
    ) -> Result<Option<(Letter, Mailbox)>, JobError> {
        let Some(mailed) = self.mailed(token).await? else { return Ok(None) };
        let name = mailed.user.display_name.clone();
        let to = Mailbox::new(mailed.to).named(name.clone());
        let secured = Secured { token: mailed.token, expires_at: mailed.expires_at };
        Ok(letter(name, secured, mailed.new_address).map(|letter| (letter, to)))
    }

    /// To the new address of somebody who wants another one; where it is somebody else's, that one hears of it instead.
    async fn change_confirm(&self, token: OneTimeTokenId) -> Result<Option<(Letter, Mailbox)>, JobError> {
        let Some(mailed) = self.mailed(token).await? else { return Ok(None) };
        match self.auth.user_by_email(&actor(), &mailed.to).await {
            Ok(owner) if owner.id != mailed.user.id => {
                let owner = Some(owner).filter(|owner| owner.status == UserStatus::Active);
                return Ok(owner.map(|owner| {
                    (Letter::AlreadyRegistered { name: owner.display_name.clone() }, mailbox(owner))
                }));
            }
            Ok(_) | Err(CommandError::NotFound) => {}
            Err(error) => return Err(failed(error)),
        }
        self.secured(token, |name, secured, _| Some(Letter::EmailChangeConfirm { name, secured })).await
    }

    async fn mailed(&self, token: OneTimeTokenId) -> Result<Option<MailedToken>, JobError> {
        let mailed = self.auth.mailed_token(&actor(), token).await;
        mailed.map_err(|error| match error {
            RecoveryError::Store(error) => JobError::Store(error),
            other => JobError::Retry(chain(&other)),
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

/// The one kind of second factor that there is.
fn authenticator() -> DisplayName {
    DisplayName::from_stored("Authenticator app".to_owned())
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
