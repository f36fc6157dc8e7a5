//! Asking a signed-in user for their password once more.

use std::time::Duration;

use saas_core::{Actor, Secret, UserId, actor::UserPrincipal, audit::AuditEvent, fault::chain};

use super::{REACH, RecoveryError, password_of};
use crate::{
    Auth, GuessKind, PasswordHash, User, UserStatus,
    audited::PASSWORD_REFUSED,
    auth::guesses::{Guess, Locked},
};

impl Auth {
    /// The user with the hash of their password, if that is what they typed, and with their second factor lately if they have one. A wrong
    /// password counts and is written down; exactly one hash is computed before either answer. What is counted is this user's alone: strangers
    /// who lock the account do not keep them from it, and whoever has copied a token finds no password by it.
    pub(in crate::auth) async fn prove_password<'a>(
        &self,
        actor: &'a Actor,
        typed: &Secret<String>,
        what_for: &'static str,
    ) -> Result<(&'a UserPrincipal, User, PasswordHash), RecoveryError> {
        let principal = actor.user().ok_or(RecoveryError::Unauthenticated)?;
        // Before the password is: whoever holds no more than a session and the password learns nothing of it here.
        self.require_second_factor(principal).await?;
        let (user, hash) = self.credentials_of(principal).await?;
        let password = password_of(typed)?;
        // Before anything is compared: of guesses beside each other no more are compared than may be.
        let guess = self.guess_own_password(user.id).await?;
        let compared = match &hash {
            Some(hash) => self.ports.hasher.verify(password, hash.clone()).await,
            None => self.ports.hasher.hash(password).await.map(|_| false),
        };
        let right = match compared {
            Ok(right) => right,
            Err(error) => {
                self.take_back_or_say(&guess).await;
                return Err(error.into());
            }
        };
        match hash {
            Some(hash) if right => {
                self.guessed_right_alone(&guess).await;
                Ok((principal, user, hash))
            }
            _ => {
                let event = AuditEvent::new(PASSWORD_REFUSED).about(user.id).refused(what_for);
                self.ports.audit.record_alone(actor, event).await?;
                self.guessed_wrong(actor, Some(user.id), &guess).await?;
                tracing::info!(user.id = %user.id, "a password that was asked for once more was wrong");
                Err(RecoveryError::WrongPassword)
            }
        }
    }

    async fn guess_own_password(&self, user: UserId) -> Result<Guess, RecoveryError> {
        let id = self.guess_keys.own_password(user);
        if let Some(guess) = self.reserve(id, GuessKind::OwnPassword, Some(user)).await? {
            return Ok(guess);
        }
        let retry_after = match self.lock_of(user, GuessKind::OwnPassword).await? {
            Some(Locked::Until(at)) => (at - self.now()).to_std().unwrap_or_default(),
            // Until then nobody can say more.
            Some(Locked::UntilUnlocked) => self.config.guesses.longest_wait,
            None => Duration::ZERO,
        };
        Err(RecoveryError::TooOften { retry_after })
    }

    async fn credentials_of(
        &self,
        principal: &UserPrincipal,
    ) -> Result<(User, Option<PasswordHash>), RecoveryError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let user = self.ports.users.by_id(&mut conn, principal.user).await?;
        let user = user.filter(|user| user.status == UserStatus::Active);
        let user = user.ok_or(RecoveryError::Unauthenticated)?;
        let found = self.ports.users.credentials(&mut conn, &user.email).await?;
        Ok((user.clone(), found.filter(|found| found.user.id == user.id).and_then(|found| found.password)))
    }

    /// As [`Auth::take_back`], where it is in nobody's way if it fails.
    pub(in crate::auth) async fn take_back_or_say(&self, guess: &Guess) {
        if let Err(error) = self.take_back(guess).await {
            tracing::warn!(error = chain(&error), "a guess that was not compared stays counted");
        }
    }
}
