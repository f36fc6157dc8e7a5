//! What a mailed token does: prove an address, set a new password, change an address and take that back.
//!
//! A command writes the token's row and leaves the mail behind in one transaction; the job that sends the mail derives the token. Whoever
//! is to have none gets a row of nobody's and a mail to nobody, so that asking costs the same whoever is asked for. Rows are locked in one
//! order: the user, their tokens, their sessions.

use std::time::Duration;

use saas_core::{
    Actor, Email, ErrorKind, Fault, FieldError, Grant, InternalError, Quota, RateLimitError, Reach, Report,
    Secret, SendMail, StoreError, Tx, UserId,
    jobs::EnqueueError,
    rate_limit::{Subject, WhenAway},
};
use uuid::Uuid;

use super::{
    Auth, JudgePasswordError, PasswordOwner, StepUpRequired,
    network::{ADDRESS, places},
};
use crate::{
    HashError, MailPurpose, MailToken, OneTimeToken, OneTimeTokenId, Password, PasswordHash, Undos, User,
    UserStatus,
};

mod email_change;
mod mailed;
mod password;
mod proof;
mod unlock;
mod verification;

pub use mailed::MailedToken;

/// How addresses are proved, and passwords set anew.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryRules {
    /// Whether a user has to prove their address before they use the product: registering then answers the same for every address.
    pub require_verified_email: bool,
    /// How long a mail that proves an address is good, and one that changes it.
    pub verification_lifetime: Duration,
    /// How often an hour one may be asked for, for one address.
    pub verifications_per_address: u32,
    /// How often an hour they may be asked for from one network.
    pub verifications_per_network: u32,
    /// How long a mail that resets a password is good.
    pub reset_lifetime: Duration,
    /// How often an hour one may be asked for, for one address.
    pub resets_per_address: u32,
    /// How often an hour they may be asked for from one network.
    pub resets_per_network: u32,
    /// For how long a change of address can be undone.
    pub undo_lifetime: Duration,
}

impl Default for RecoveryRules {
    /// The product's: nobody has to prove an address, which takes an hour and may be asked for 3 times an hour, 10 times from one network;
    /// a reset takes 30 minutes, 5 times, 20 from one network; a change of address can be undone for 7 days.
    fn default() -> Self {
        Self {
            require_verified_email: false,
            verification_lifetime: Duration::from_hours(1),
            verifications_per_address: 3,
            verifications_per_network: 10,
            reset_lifetime: Duration::from_mins(30),
            resets_per_address: 5,
            resets_per_network: 20,
            undo_lifetime: Duration::from_hours(7 * 24),
        }
    }
}

/// Why an address was not proved or changed, or a password not set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Nobody is signed in.
    #[error("sign in first")]
    Unauthenticated,
    /// This actor may not.
    #[error("your role does not allow this")]
    Forbidden,
    /// There is no such user for this actor.
    #[error("there is no such user")]
    NotFound,
    /// Wrong, used, over, replaced by a newer one, or made for what is not so any more: the answer does not tell which.
    #[error("the token is not good: ask for a new mail")]
    InvalidToken,
    /// The user has a second factor, and did not show it lately.
    #[error(transparent)]
    StepUp(#[from] StepUpRequired),
    /// The current password is wrong.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The new password is not good enough, or could not be judged.
    #[error(transparent)]
    NewPassword(Box<JudgePasswordError>),
    /// The new address is the one that they have.
    #[error("that is the address already")]
    SameAddress([FieldError; 1]),
    /// Somebody else has the old address by now.
    #[error("the e-mail address is already registered")]
    EmailTaken,
    /// Asked for too often.
    #[error("that was asked for too often: try again later")]
    TooOften {
        /// How much later.
        retry_after: Duration,
    },
    /// It cannot be counted now how often that was asked for, and so nobody may.
    #[error(transparent)]
    Limits(#[from] RateLimitError),
    /// Somebody else changed the password at the same time.
    #[error("the password was changed at the same time: try again")]
    Contended,
    /// A password could not be hashed or compared.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that cannot happen.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for RecoveryError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "user_not_found"),
            Self::InvalidToken => Report::new(ErrorKind::Invalid, "invalid_one_time_token"),
            Self::StepUp(error) => error.report(),
            Self::WrongPassword => Report::new(ErrorKind::Forbidden, "wrong_password"),
            Self::NewPassword(error) => error.report(),
            Self::SameAddress(fields) => {
                Report::new(ErrorKind::Invalid, "invalid_request").with_fields(fields)
            }
            Self::EmailTaken => Report::new(ErrorKind::Conflict, "email_taken"),
            Self::TooOften { retry_after } => {
                Report::new(ErrorKind::RateLimited, "too_many_requests").with_retry_after(*retry_after)
            }
            Self::Limits(error) => error.report(),
            Self::Contended => Report::new(ErrorKind::Conflict, "password_changed_meanwhile"),
            Self::Hash(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

impl From<JudgePasswordError> for RecoveryError {
    fn from(error: JudgePasswordError) -> Self {
        Self::NewPassword(Box::new(error))
    }
}

impl From<EnqueueError> for RecoveryError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Store(error) => Self::Store(error),
            other => Self::Internal(InternalError::new(other)),
        }
    }
}

const REACH: Reach = Reach::Platform("an account's recovery");

/// A token to write down.
struct Issue<'a> {
    purpose: MailPurpose,
    /// Who is to have it; without one it is nobody's.
    user: Option<&'a User>,
    /// The address that it is bound to.
    bound: &'a Email,
    /// The addresses that it is about besides; they are enveloped.
    other: Option<&'a str>,
    lifetime: Duration,
}

impl Auth {
    /// Whether a user has to prove their address before they use the product.
    pub const fn requires_verified_email(&self) -> bool {
        self.config.recovery.require_verified_email
    }

    /// Writes a token down; a newer one of its purpose takes the place of the older one.
    async fn issue(&self, tx: &mut Tx, issue: &Issue<'_>) -> Result<Uuid, RecoveryError> {
        let id = OneTimeTokenId::generate(&*self.ports.clock, &*self.ports.entropy);
        let (tokens, now) = (&self.mail_tokens, self.now());
        let key = tokens.current().to_owned();
        let other_address = issue.other.and_then(|other| {
            self.ports.fields.seal(mailed::other_field(id.as_uuid().as_bytes()), other.as_bytes())
        });
        let token = OneTimeToken {
            id,
            user: issue.user.map(|user| user.id),
            purpose: issue.purpose,
            address: tokens.address(&key, issue.bound)?,
            other_address,
            hash: tokens.hash(issue.purpose, &key, id.as_uuid())?,
            key,
            created_at: now,
            expires_at: now + issue.lifetime,
            used_at: None,
        };
        self.ports.one_time_tokens.insert(tx, &token).await?;
        Ok(id.as_uuid())
    }

    /// The row of a token that is still good, and its user as they are; nothing is used up.
    async fn presented(
        &self,
        token: &Secret<String>,
        purpose: MailPurpose,
    ) -> Result<(OneTimeToken, User), RecoveryError> {
        let presented = MailToken::parse(token.expose()).map_err(|_| RecoveryError::InvalidToken)?;
        let mut conn = self.ports.storage.read(REACH).await?;
        let id = OneTimeTokenId::from_uuid(presented.row);
        let stored = self.ports.one_time_tokens.by_id(&mut conn, id).await?;
        let stored = stored
            .filter(|stored| stored.purpose == purpose && presented.has(&stored.hash))
            .filter(|stored| stored.is_live(self.now()))
            .ok_or(RecoveryError::InvalidToken)?;
        let id = stored.user.ok_or(RecoveryError::InvalidToken)?;
        let user = self.ports.users.by_id(&mut conn, id).await?;
        let user = user.filter(|user| user.status == UserStatus::Active);
        Ok((stored, user.ok_or(RecoveryError::InvalidToken)?))
    }

    /// That the user still has the address that the token was made for.
    fn is_bound_to(&self, token: &OneTimeToken, address: &Email) -> Result<(), RecoveryError> {
        if self.mail_tokens.address(&token.key, address)? == token.address {
            Ok(())
        } else {
            Err(RecoveryError::InvalidToken)
        }
    }

    /// Ends what was given out on the word of what is not so any more: mailed tokens, and challenges for a second factor.
    pub(super) async fn end_given_out(
        &self,
        tx: &mut Tx,
        user: UserId,
        undos: Undos,
    ) -> Result<(), StoreError> {
        self.ports.one_time_tokens.end(tx, user, undos).await?;
        self.ports.challenges.end(tx, user).await
    }

    /// Uses a token up: one of all that try.
    async fn use_up(&self, tx: &mut Tx, token: &OneTimeToken) -> Result<(), RecoveryError> {
        let (tokens, now) = (&self.ports.one_time_tokens, self.now());
        let used = tokens.consume(tx, token.id, token.purpose, &token.hash, now).await?;
        used.map(drop).ok_or(RecoveryError::InvalidToken)
    }

    /// Leaves a mail behind in the caller's transaction.
    async fn mail(&self, tx: &mut Tx, mail: SendMail) -> Result<(), RecoveryError> {
        if let Some(jobs) = &self.ports.jobs {
            jobs.enqueue(tx, &mail).await?;
        }
        Ok(())
    }

    /// Judges and hashes a new password: the slow part, which comes before any transaction.
    async fn new_password(&self, user: &User, typed: &Secret<String>) -> Result<PasswordHash, RecoveryError> {
        Ok(self.judge_password("new_password", typed, PasswordOwner::User(user)).await?.hash)
    }

    /// Takes from the quota of the network that asks, and from that of the address that it asks for.
    async fn ask(&self, actor: &Actor, address: &Email, quotas: Quotas) -> Result<(), RecoveryError> {
        let (network, _) = places(actor);
        self.take(&quotas.of_network, Subject::new(ADDRESS, &network)).await?;
        self.take(&quotas.of_address, Subject::new("email", address.as_str().as_bytes())).await
    }

    /// Takes one, if there is one left. While they cannot be counted nobody may ask.
    async fn take(&self, quota: &Quota, subject: Subject<'_>) -> Result<(), RecoveryError> {
        match self.ports.limits.take(quota, subject, 1, WhenAway::Refuse).await? {
            Grant::Allowed { .. } => Ok(()),
            Grant::Refused { retry_after, .. } => Err(RecoveryError::TooOften { retry_after }),
        }
    }
}

/// How often something may be asked for.
struct Quotas {
    of_address: Quota,
    of_network: Quota,
}

impl Quotas {
    /// So many times an hour for one address, and from one network.
    const fn an_hour(name: &'static str, of_address: u32, of_network: u32) -> Self {
        Self {
            of_address: Quota::new(name, of_address, HOUR),
            of_network: Quota::new(name, of_network, HOUR),
        }
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// What an address is typed as, for who compares a password that is longer than any.
fn password_of(typed: &Secret<String>) -> Result<Password, RecoveryError> {
    Password::new(typed).map_err(|_| RecoveryError::WrongPassword)
}
