//! Second factors: what they are worth, and the commands on them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, Conn, ErrorKind, Fault, InternalError, Permissions, Principal, Reach, Report, Role, Secret,
    SendMail, StoreError, Tx, UserId,
    audit::{AuditActor, AuditEvent},
};

use super::{
    Auth, FactorProof, StepUpRequired, Tokens,
    guesses::{Guess, Locked},
    sign_in::Use,
};
use crate::{AuthMethods, Factor, GuessKind, TotpSeed, audited::RECOVERY_CODE_USED};

mod commands;
mod operators;

/// What somebody's second factor is like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecondFactorState {
    /// Since when they have an authenticator app; none while they have none.
    pub enrolled_at: Option<DateTime<Utc>>,
    /// How many recovery codes they have left.
    pub recovery_codes_left: i64,
    /// Whether they have to have one, in the tenant that they act in.
    pub required: bool,
}

/// What an authenticator app is told, once.
#[derive(Debug)]
#[non_exhaustive]
pub struct TotpEnrolment {
    /// The seed, in base32, for who types it.
    pub secret: Secret<String>,
    /// The same as a URI (`otpauth://totp/…`), for who shows it as a picture.
    pub uri: Secret<String>,
}

/// A second factor that was added.
#[derive(Debug)]
#[non_exhaustive]
pub struct AddedFactor {
    /// The recovery codes; nobody can show them again.
    pub recovery_codes: Vec<Secret<String>>,
    /// The tokens that the session goes on with; those before it have ended.
    pub tokens: Tokens,
}

/// Why a command on a second factor failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecondFactorError {
    /// Nobody is signed in, or somebody who may not is.
    #[error(transparent)]
    StepUp(#[from] StepUpRequired),
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// There is no such user.
    #[error("there is no such user")]
    UserNotFound,
    /// There is a second factor already.
    #[error("there is an authenticator app already: remove it first")]
    AlreadyEnrolled,
    /// There is none.
    #[error("there is no second factor")]
    NotEnrolled,
    /// There is none that waits for its first code.
    #[error("no authenticator app waits for its first code: begin to add one first")]
    NotBegun,
    /// It is not the code of that app now.
    #[error(
        "the code is wrong: type the one that the app shows now, and see that the device's time is right"
    )]
    InvalidCode,
    /// The session ended meanwhile.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that cannot happen.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for SecondFactorError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::StepUp(error) => error.report(),
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::UserNotFound => Report::new(ErrorKind::NotFound, "user_not_found"),
            Self::AlreadyEnrolled => Report::new(ErrorKind::Conflict, "second_factor_enrolled"),
            Self::NotEnrolled => Report::new(ErrorKind::NotFound, "second_factor_not_found"),
            Self::NotBegun => Report::new(ErrorKind::Conflict, "second_factor_not_begun"),
            Self::InvalidCode => Report::new(ErrorKind::Invalid, "invalid_code"),
            Self::SessionEnded => Report::new(ErrorKind::Unauthenticated, "session_ended"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

/// What keeps a code from being compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Too many were wrong: later.
    For(Duration),
    /// As many were wrong as may be.
    ForGood,
}

const REACH: Reach = Reach::Platform("second factors");

impl Auth {
    /// The user's second factor, if they have one that counts. Signing in asks them for it.
    pub async fn second_factor_of(
        &self,
        conn: &mut Conn,
        user: UserId,
    ) -> Result<Option<Factor>, StoreError> {
        let factor = self.ports.second_factors.factor(conn, user).await?;
        Ok(factor.filter(|factor| factor.confirmed_at.is_some()))
    }

    /// What somebody in this role may do who proved who they are so: nothing but what everybody may, as to add a second factor, where they have
    /// to have one and did not use it.
    pub(super) fn permitted(&self, role: Role, methods: AuthMethods) -> Permissions {
        if self.config.second_factor.requires(role) && !methods.has_second_factor() {
            return Permissions::default();
        }
        role.permissions()
    }

    /// What has to be used up for this proof to count; `None` where it is wrong.
    pub(super) fn proved(&self, factor: &Factor, proof: &FactorProof) -> Result<Option<Use>, InternalError> {
        match proof {
            FactorProof::Code(code) => {
                let step = self.seed(factor)?.matching_step(code, self.now())?;
                Ok(step.map(Use::Step))
            }
            FactorProof::RecoveryCode(code) => {
                self.second_factor_keys.code_hashes(factor.user, code).map(Use::Code).map(Some)
            }
        }
    }

    /// Uses it up; `false` when it was before. Who used a recovery code is told.
    pub(super) async fn use_up_proof(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: UserId,
        what: &Use,
    ) -> Result<bool, Trouble> {
        let was_good = match what {
            Use::Step(step) => self.ports.second_factors.use_step(tx, user, *step).await?,
            Use::Code(hashes) => self.use_code(tx, actor, user, hashes).await?,
        };
        if was_good {
            self.forget_code_guesses(tx, user).await?;
        }
        Ok(was_good)
    }

    async fn use_code(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: UserId,
        hashes: &[[u8; 32]],
    ) -> Result<bool, Trouble> {
        for hash in hashes {
            if self.ports.second_factors.use_code(tx, user, hash).await? {
                let event = AuditEvent::new(RECOVERY_CODE_USED).about(user);
                // Who signs in is nobody until they have.
                let event = match actor.principal {
                    Principal::Anonymous => event.by(AuditActor::user(user)),
                    _ => event,
                };
                self.ports.audit.record(tx, actor, event).await?;
                self.tell(tx, &SendMail::RecoveryCodeUsed { user }).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets the wrong codes: a right one came, or a recovery code, or the app is gone.
    pub(super) async fn forget_code_guesses(&self, tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
        self.ports.guesses.clear(tx, &self.guess_keys.second_factor(user)).await
    }

    /// Leaves a mail behind, where mails are sent.
    async fn tell(&self, tx: &mut Tx, mail: &SendMail) -> Result<(), Trouble> {
        if let Some(jobs) = &self.ports.jobs {
            jobs.insert(tx, &jobs.prepare(mail)?).await?;
        }
        Ok(())
    }

    /// Counts a guess at the user's codes before it is compared, wherever it is asked for. A recovery code is none: 80 random bits are nobody's to
    /// guess, and the way in for whom somebody else keeps out by wrong codes.
    pub(super) async fn guess_at(
        &self,
        user: UserId,
        proof: &FactorProof,
    ) -> Result<Result<Option<Guess>, Held>, StoreError> {
        if let FactorProof::RecoveryCode(_) = proof {
            return Ok(Ok(None));
        }
        if let Some(guess) = self.guess_second_factor(user).await? {
            return Ok(Ok(Some(guess)));
        }
        let a_second = Duration::from_secs(1);
        Ok(Err(match self.lock_of(user, GuessKind::SecondFactor).await? {
            Some(Locked::UntilUnlocked) => Held::ForGood,
            Some(Locked::Until(at)) => {
                Held::For((at - self.now()).to_std().unwrap_or_default().max(a_second))
            }
            None => Held::For(a_second),
        }))
    }

    fn seed(&self, factor: &Factor) -> Result<TotpSeed, InternalError> {
        let id = factor.user.as_uuid();
        let opened = self.ports.fields.unseal(Factor::seed_field(id.as_bytes()), &factor.seed);
        let bytes = opened.map_err(InternalError::new)?;
        TotpSeed::from_bytes(bytes.expose()).ok_or_else(|| InternalError::new("the envelope holds no seed"))
    }
}

/// What goes wrong beside whoever asks.
#[derive(Debug)]
pub(super) enum Trouble {
    Store(StoreError),
    Internal(InternalError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<InternalError> for Trouble {
    fn from(error: InternalError) -> Self {
        Self::Internal(error)
    }
}

impl From<Trouble> for SecondFactorError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => error.into(),
            Trouble::Internal(error) => error.into(),
        }
    }
}
