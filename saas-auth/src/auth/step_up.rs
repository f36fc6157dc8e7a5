//! Proving again who one is, within a session, before what is sensitive (ASVS 7.5, RFC 9470).

use std::time::Duration;

use chrono::TimeDelta;
use saas_core::{
    Actor, ErrorKind, Fault, FieldError, InternalError, Reach, Report, Secret, StoreError, Tx,
    actor::UserPrincipal, audit::AuditEvent,
};

use super::{
    Auth, FactorProof, OpenedSession, RecoveryError, Tokens,
    guesses::Guess,
    measures,
    second_factor::{Held, Trouble},
    sign_in::Use,
};
use crate::{
    AuthMethod, Changed, Factor, HashError, Reauthentication, Rotation, audited::SESSION_REAUTHENTICATED,
    token::AccessClaims,
};

/// How many wrong proofs a session may bring in a row. Who holds nothing but a session does not learn its password by trying.
const GUESSES: i64 = 5;

/// What proves again who somebody is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StepUpProof {
    /// Their password, as typed; of those who have no second factor.
    Password(Secret<String>),
    /// Their second factor.
    SecondFactor(FactorProof),
}

/// Why what is sensitive was not done: somebody has to prove first who they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepUpRequired {
    /// Nobody is signed in.
    #[error("sign in first")]
    Unauthenticated,
    /// The proof is too old, or not by the second factor that the user has.
    #[error("prove again who you are: with your second factor if you have one, else with your password")]
    Stale {
        /// How old it may be.
        max_age: Duration,
    },
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for StepUpRequired {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::Stale { max_age } => {
                Report::new(ErrorKind::Unauthenticated, "step_up_required").with_step_up(*max_age)
            }
            Self::Store(error) => error.report(),
        }
    }
}

/// Why nobody proved who they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepUpError {
    /// Nobody is signed in.
    #[error("sign in first")]
    Unauthenticated,
    /// The password or the code is wrong, or was used before.
    #[error("the password or the code is wrong")]
    Refused,
    /// Too many passwords were wrong: later.
    #[error("too many passwords were wrong: try again later")]
    TooOften {
        /// How much later.
        retry_after: Duration,
    },
    /// This session has brought too many that were wrong.
    #[error("too many passwords or codes were wrong in this session: sign in again")]
    Exhausted,
    /// A password, where a second factor is asked for.
    #[error("the second factor is asked for, not the password")]
    SecondFactorNeeded([FieldError; 1]),
    /// Too many codes were wrong: later.
    #[error("too many codes were wrong: try again later")]
    SecondFactorLocked {
        /// How much later.
        retry_after: Duration,
    },
    /// As many codes were wrong as may be.
    #[error("too many codes were wrong: use a recovery code, or ask support")]
    SecondFactorBlocked,
    /// The session ended meanwhile.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The password could not be checked.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that cannot happen.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for StepUpError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::Refused => Report::new(ErrorKind::Forbidden, "step_up_refused"),
            Self::TooOften { retry_after } => {
                Report::new(ErrorKind::RateLimited, "too_many_requests").with_retry_after(*retry_after)
            }
            Self::Exhausted => Report::new(ErrorKind::Forbidden, "step_up_exhausted"),
            Self::SecondFactorNeeded(fields) => {
                Report::new(ErrorKind::Invalid, "invalid_request").with_fields(fields)
            }
            Self::SecondFactorLocked { retry_after } => {
                Report::new(ErrorKind::RateLimited, "second_factor_locked").with_retry_after(*retry_after)
            }
            Self::SecondFactorBlocked => Report::new(ErrorKind::Forbidden, "second_factor_blocked"),
            Self::SessionEnded => Report::new(ErrorKind::Unauthenticated, "session_ended"),
            Self::Hash(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

const REACH: Reach = Reach::Platform("step-up");

impl Auth {
    /// Whether the actor proved who they are `max_age` ago at the latest, with their second factor if they have one. Signing in counts, and so
    /// does [`Auth::step_up`].
    pub async fn require_step_up(&self, actor: &Actor, max_age: Duration) -> Result<(), StepUpRequired> {
        let user = actor.user().ok_or(StepUpRequired::Unauthenticated)?;
        let enough =
            self.is_fresh(user, max_age) && (user.second_factor || !self.has_second_factor(user).await?);
        if enough { Ok(()) } else { Err(StepUpRequired::Stale { max_age }) }
    }

    /// How old a proof may be for what is sensitive, as the settings say.
    pub const fn step_up_max_age(&self) -> Duration {
        self.config.step_up_max_age
    }

    /// That whoever has a second factor showed it as lately as for what is sensitive; for who is asked for the password at the same time.
    pub(super) async fn require_second_factor(&self, user: &UserPrincipal) -> Result<(), StepUpRequired> {
        let max_age = self.config.step_up_max_age;
        if (user.second_factor && self.is_fresh(user, max_age)) || !self.has_second_factor(user).await? {
            Ok(())
        } else {
            Err(StepUpRequired::Stale { max_age })
        }
    }

    fn is_fresh(&self, user: &UserPrincipal, max_age: Duration) -> bool {
        // A time in the future is another replica's clock.
        self.now() - user.authenticated_at <= TimeDelta::from_std(max_age).unwrap_or(TimeDelta::MAX)
    }

    async fn has_second_factor(&self, user: &UserPrincipal) -> Result<bool, StoreError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        Ok(self.second_factor_of(&mut conn, user.user).await?.is_some())
    }

    /// Proves again who the actor is. The session goes on with new tokens; those before them have ended.
    pub async fn step_up(&self, actor: &Actor, proof: &StepUpProof) -> Result<Tokens, StepUpError> {
        let tokens = self.try_step_up(actor, proof).await;
        measures::step_up(&tokens);
        tokens
    }

    async fn try_step_up(&self, actor: &Actor, proof: &StepUpProof) -> Result<Tokens, StepUpError> {
        let user = actor.user().ok_or(StepUpError::Unauthenticated)?;
        let factor = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.second_factor_of(&mut conn, user.user).await?
        };
        if let (Some(_), StepUpProof::Password(_)) = (&factor, proof) {
            let message = "this user has a second factor: send a code of it, or a recovery code";
            return Err(StepUpError::SecondFactorNeeded([FieldError::new(
                "password",
                "second_factor_needed",
                message,
            )]));
        }
        let guess = self.count_guess(user, factor.is_some(), proof).await?;
        let proved = match proof {
            StepUpProof::Password(password) => self.own_password(actor, password).await?,
            StepUpProof::SecondFactor(proof) => self.own_factor(factor.as_ref(), proof)?,
        };
        let Some((method, what)) = proved else { return self.refuse_step_up(actor, user, guess).await };
        let mut tx = self.ports.storage.begin(REACH).await?;
        let counts = match &what {
            Some(what) => self.use_up_proof(&mut tx, actor, user.user, what).await?,
            None => true,
        };
        if !counts {
            drop(tx);
            return self.refuse_step_up(actor, user, guess).await;
        }
        let renewed = self.renew_session(&mut tx, user, method).await?.ok_or(StepUpError::SessionEnded)?;
        let event = AuditEvent::new(SESSION_REAUTHENTICATED).in_tenant(user.tenant).about(user.session);
        self.ports.audit.record(&mut tx, actor, event.because(method.as_str())).await?;
        tx.commit().await?;
        tracing::info!(user.id = %user.user, session.id = %user.session, method = method.as_str(), "stepped up");
        Ok(self.tokens_for(&renewed)?)
    }

    /// Counts it before anything is compared, and commits that: of the session's guesses, and for a code of the user's.
    async fn count_guess(
        &self,
        user: &UserPrincipal,
        enrolled: bool,
        proof: &StepUpProof,
    ) -> Result<Option<Guess>, StepUpError> {
        let mut tx = self.ports.storage.begin(REACH).await?;
        if !self.ports.sessions.guess(&mut tx, user.user, user.session, GUESSES, self.now()).await? {
            return Err(StepUpError::Exhausted);
        }
        tx.commit().await?;
        match proof {
            StepUpProof::SecondFactor(proof) if enrolled => {
                self.guess_at(user.user, proof).await?.map_err(|held| match held {
                    Held::For(retry_after) => StepUpError::SecondFactorLocked { retry_after },
                    Held::ForGood => StepUpError::SecondFactorBlocked,
                })
            }
            _ => Ok(None),
        }
    }

    /// Counted and compared as wherever a password is asked for once more.
    async fn own_password(&self, actor: &Actor, typed: &Secret<String>) -> Result<Proved, StepUpError> {
        match self.prove_password(actor, typed, "step_up").await {
            Ok(_) => Ok(Some((AuthMethod::Password, None))),
            Err(RecoveryError::WrongPassword) => Err(StepUpError::Refused),
            Err(RecoveryError::TooOften { retry_after }) => Err(StepUpError::TooOften { retry_after }),
            Err(RecoveryError::Unauthenticated) => Err(StepUpError::SessionEnded),
            Err(RecoveryError::StepUp(StepUpRequired::Stale { .. })) => Ok(None),
            Err(RecoveryError::Hash(error)) => Err(error.into()),
            Err(RecoveryError::Store(error) | RecoveryError::StepUp(StepUpRequired::Store(error))) => {
                Err(error.into())
            }
            Err(error) => Err(InternalError::new(error).into()),
        }
    }

    fn own_factor(&self, factor: Option<&Factor>, proof: &FactorProof) -> Result<Proved, StepUpError> {
        let Some(factor) = factor else { return Ok(None) };
        Ok(self.proved(factor, proof)?.map(|what| (proof.method(), Some(what))))
    }

    async fn refuse_step_up(
        &self,
        actor: &Actor,
        user: &UserPrincipal,
        guess: Option<Guess>,
    ) -> Result<Tokens, StepUpError> {
        if let Some(guess) = guess {
            self.guessed_wrong(actor, Some(user.user), &guess).await?;
        }
        let event = AuditEvent::new(SESSION_REAUTHENTICATED).in_tenant(user.tenant).about(user.session);
        self.ports.audit.record_alone(actor, event.refused("wrong_proof")).await?;
        tracing::info!(user.id = %user.user, session.id = %user.session, "step-up refused");
        Err(StepUpError::Refused)
    }

    /// Notes that the user proved who they are, and moves the session's tokens on: the access tokens by its version, the refresh token by its
    /// generation. `None` where the session has ended.
    pub(super) async fn renew_session(
        &self,
        tx: &mut Tx,
        user: &UserPrincipal,
        method: AuthMethod,
    ) -> Result<Option<OpenedSession>, StoreError> {
        let (now, sessions) = (self.now(), &self.ports.sessions);
        let Some((before, _)) = sessions.family(tx.conn(), user.session).await? else { return Ok(None) };
        let methods = before.session.methods.and(method);
        let again = Reauthentication { session: user.session, user: user.user, methods, now };
        if !sessions.authenticate_again(tx, &again).await? {
            return Ok(None);
        }
        // The row is ours until the commit: what it holds now, nobody else moves on.
        let Some((family, _)) = sessions.family(tx.conn(), user.session).await? else { return Ok(None) };
        let rotation = Rotation {
            session: user.session,
            user: user.user,
            tenant: family.session.tenant,
            client_id: AccessClaims::FIRST_PARTY,
            salt: &family.salt,
            generation: family.generation,
            now,
            idle_expires_at: now + self.config.idle_lifetime,
        };
        if sessions.rotate(tx, &rotation).await?.is_none() {
            return Ok(None);
        }
        let Some((family, known)) = sessions.family(tx.conn(), user.session).await? else { return Ok(None) };
        self.note_change(tx, Changed::User(user.user)).await?;
        Ok(Some(OpenedSession::new(&family, user.role, &known)))
    }
}

/// How somebody proved who they are, and what has to be used up for it.
type Proved = Option<(AuthMethod, Option<Use>)>;

impl From<Trouble> for StepUpError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => error.into(),
            Trouble::Internal(error) => error.into(),
        }
    }
}
