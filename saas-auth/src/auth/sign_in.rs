//! Signing in: a first factor, then what is asked of whoever has it, a second factor if they have one, then the session.
//!
//! Each step takes what the one before it made, and nothing else makes it: [`Proven`](first_factor::Proven) comes out of a first factor, [`Admitted`] out of the
//! admission, which a user with a second factor passes with it alone, and a session is opened for nobody who is not admitted. So no first
//! factor, whichever come later, can go around what follows it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, Email, ErrorKind, Fault, InternalError, RateLimitError, Reach, Report, Secret, StoreError,
    TenantChoice, TenantId,
};

use self::{
    admission::{Admitted, AdmittedBy},
    first_factor::Right,
    refusal::NotSignedIn,
};
use super::{Auth, Tokens, measures, open_session::Opening};
use crate::{Credentials, HashError, PasswordHash, User, UserStatus, password::BreachedError};

mod admission;
mod attempt;
mod first_factor;
mod refusal;
mod second_factor;
mod throttle;

pub(super) use second_factor::Use;
pub use second_factor::{FactorProof, SecondFactorSignIn};
pub use throttle::ThrottleRules;

/// Who wants in, and where.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignIn {
    /// The address.
    pub email: Email,
    /// The password, as typed.
    pub password: Secret<String>,
    /// The tenant; needed by those who belong to several.
    pub tenant: Option<TenantId>,
    /// What an earlier sign-in gave this device: it has guesses of its own then. One that is not good is like none.
    pub device_token: Option<Secret<String>>,
}

impl SignIn {
    /// With an address and a password.
    pub fn new(email: Email, password: Secret<String>) -> Self {
        Self { email, password, tenant: None, device_token: None }
    }

    /// Into this tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: Option<TenantId>) -> Self {
        self.tenant = tenant;
        self
    }

    /// On a device that had this token from an earlier sign-in.
    #[must_use]
    pub fn with_device_token(mut self, device_token: Option<Secret<String>>) -> Self {
        self.device_token = device_token;
        self
    }
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Unknown address, wrong password, locked account, disabled user or no member of that tenant: the answer does not tell which.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// The password is right and the user belongs to several tenants: name one of them.
    #[error("the user belongs to several tenants: name one of them as tenant_id")]
    TenantRequired {
        /// Those they may choose from.
        choices: Vec<TenantChoice>,
    },
    /// Too many wrong passwords came from there, whomever they were for.
    #[error("too many sign-ins that failed came from your network: try again later")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Sign-ins cannot be counted now, and so nobody may try.
    #[error(transparent)]
    Limits(#[from] RateLimitError),
    /// The password is right, and others know it: it has to be reset by mail before anybody is let in.
    #[error("this password is in a list of stolen ones: reset it by mail, then sign in with the new one")]
    PasswordCompromised,
    /// It could not be asked whether others know the password, and the policy wants to know.
    #[error(transparent)]
    Breached(#[from] BreachedError),
    /// The password is right and the user has a second factor: show it together with the challenge.
    #[error("the second factor is asked for: send a code of it with the challenge")]
    SecondFactorRequired {
        /// Stands for the password until then.
        challenge: Secret<String>,
        /// When it ends.
        expires_at: DateTime<Utc>,
    },
    /// The challenge is forged, over, used, has seen too many codes, or what it was made for is not so any more.
    #[error("the challenge is not good any more: sign in again")]
    InvalidChallenge,
    /// It is no code of the second factor, or one that was used.
    #[error("the code is wrong or was used already")]
    InvalidCode,
    /// Too many codes were wrong: later.
    #[error("too many codes were wrong: try again later, or use a recovery code")]
    SecondFactorLocked {
        /// How much later.
        retry_after: Duration,
    },
    /// As many codes were wrong as may be.
    #[error("too many codes were wrong: use a recovery code, or ask support")]
    SecondFactorBlocked,
    /// The password could not be checked.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokens could not be signed.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for SignInError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::InvalidCredentials => Report::new(ErrorKind::Unauthenticated, "invalid_credentials"),
            Self::TenantRequired { .. } => Report::new(ErrorKind::Conflict, "tenant_required"),
            Self::Throttled { retry_after } => {
                Report::new(ErrorKind::RateLimited, "too_many_attempts").with_retry_after(*retry_after)
            }
            Self::Limits(error) => error.report(),
            Self::PasswordCompromised => Report::new(ErrorKind::Forbidden, "password_compromised"),
            Self::Breached(error) => error.report(),
            Self::SecondFactorRequired { .. } => {
                Report::new(ErrorKind::Unauthenticated, "second_factor_required")
            }
            Self::InvalidChallenge => Report::new(ErrorKind::Unauthenticated, "invalid_challenge"),
            Self::InvalidCode => Report::new(ErrorKind::Unauthenticated, "invalid_second_factor"),
            Self::SecondFactorLocked { retry_after } => {
                Report::new(ErrorKind::RateLimited, "second_factor_locked").with_retry_after(*retry_after)
            }
            Self::SecondFactorBlocked => Report::new(ErrorKind::Forbidden, "second_factor_blocked"),
            Self::Hash(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

const REACH: Reach = Reach::Platform("sign-in");

/// Why somebody is not let in whose password was replaced between its comparison and their session.
const PASSWORD_REPLACED: &str = "password_changed_meanwhile";

impl Auth {
    /// Checks a password and opens a session.
    pub async fn sign_in(&self, actor: &Actor, command: SignIn) -> Result<Tokens, SignInError> {
        let tokens = self.signed_in(actor, command).await;
        measures::sign_in(&tokens);
        tokens
    }

    async fn signed_in(&self, actor: &Actor, command: SignIn) -> Result<Tokens, SignInError> {
        match self.try_sign_in(actor, &command).await {
            Ok(tokens) => Ok(tokens),
            Err(NotSignedIn::Refused { user, reason, answer }) => {
                self.record_refusal(actor, command.tenant, user, reason).await?;
                Err(answer)
            }
            Err(NotSignedIn::Failed(error)) => Err(error),
        }
    }

    async fn try_sign_in(&self, actor: &Actor, command: &SignIn) -> Result<Tokens, NotSignedIn> {
        match self.sign_in_once(actor, command).await {
            // Another hash took the place of the one that was compared with: of a new password, or of the same one, which another sign-in hashed
            // anew. Comparing with it tells.
            Err(NotSignedIn::Refused { reason: PASSWORD_REPLACED, .. }) => {
                self.sign_in_once(actor, command).await
            }
            done => done,
        }
    }

    async fn sign_in_once(&self, actor: &Actor, command: &SignIn) -> Result<Tokens, NotSignedIn> {
        let right = self.compare(actor, command).await?;
        let attempt = right.attempt.clone();
        self.is_right_so_far(&attempt);
        let let_in = self.let_in(actor, command, right).await;
        self.settle(actor, &attempt).await;
        match let_in {
            Ok(mut tokens) => {
                self.was_right_and_cleared(&attempt);
                tokens.device_token = self.device_token(command, &attempt);
                Ok(tokens)
            }
            Err(refused) => {
                // What was right is right no more, and clears nothing.
                if matches!(refused, NotSignedIn::Refused { reason: PASSWORD_REPLACED, .. }) {
                    self.not_compared(&attempt).await;
                } else {
                    self.was_right(&attempt).await;
                }
                Err(refused)
            }
        }
    }

    async fn let_in(&self, actor: &Actor, command: &SignIn, right: Right) -> Result<Tokens, NotSignedIn> {
        let proven = self.first_factor(actor, right).await?;
        let admitted = self.admit(proven, command.tenant).await?;
        self.open_admitted(actor, admitted).await
    }

    async fn open_admitted(&self, actor: &Actor, admitted: Admitted) -> Result<Tokens, NotSignedIn> {
        let Admitted { user, tenant, role, methods, by } = admitted;
        let mut tx = self.ports.storage.begin(REACH).await?;
        // Held until the commit: whoever disables the user now either comes first and is seen, or finds this session and ends it.
        let held = self.ports.users.shared(&mut tx, user.id).await?;
        if held.as_ref().is_none_or(|held| held.user.status != UserStatus::Active) {
            return Err(NotSignedIn::refused(user.id, "user_disabled"));
        }
        match &by {
            AdmittedBy::Password { compared, attempt } => {
                still_has(held, &user, compared)?;
                self.was_right_in(&mut tx, attempt).await?;
            }
            AdmittedBy::SecondFactor(spent) => self.spend(&mut tx, actor, &user, spent).await?,
        }
        let opening = Opening { user: &user, tenant, role, methods };
        let opened = self.write_session(&mut tx, actor, opening).await?;
        tx.commit().await?;
        tracing::info!(user.id = %user.id, tenant.id = %tenant, session.id = %opened.lineage.session, "signed in");
        Ok(self.tokens_for(&opened)?)
    }
}

/// That the user, whose row is held, has the address and the password that were compared. Whoever sets a new one waits for the row, then ends
/// what stands on the old one: sessions and challenges. None that comes later shall stand on it.
fn still_has(held: Option<Credentials>, user: &User, compared: &PasswordHash) -> Result<(), NotSignedIn> {
    let has =
        held.is_some_and(|held| held.user.email == user.email && held.password.as_ref() == Some(compared));
    if has { Ok(()) } else { Err(NotSignedIn::refused(user.id, PASSWORD_REPLACED)) }
}
