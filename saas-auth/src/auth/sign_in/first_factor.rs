//! The first factor: a password.

use saas_core::Actor;

use super::{
    REACH, SignIn, SignInError,
    attempt::{Approach, Attempt},
    refusal::NotSignedIn,
};
use crate::{
    Auth, Credentials, HashError, Password, PasswordHash, User, UserStatus, auth::passwords::LookedAfter,
};

/// Somebody who proved to be this user.
pub(super) struct Proven {
    pub(super) user: User,
    /// What their password was compared with: once that is another one, they have proved nothing.
    pub(super) password: PasswordHash,
    pub(super) attempt: Attempt,
}

/// A password that is right; whether it lets anybody in is not known yet.
pub(super) struct Right {
    user: User,
    password: Password,
    hash: PasswordHash,
    pub(super) attempt: Attempt,
}

/// What there is to compare, and whether it may be.
struct LookedUp {
    /// Whose address it is.
    account: Option<User>,
    /// Nothing where they have no password.
    hash: Option<PasswordHash>,
    password: Password,
    attempt: Attempt,
}

impl Auth {
    /// Compares the password; exactly one hash is computed whatever the answer.
    pub(super) async fn compare(&self, actor: &Actor, command: &SignIn) -> Result<Right, NotSignedIn> {
        let approach = self.approach(actor, command).await?;
        let toll = approach.toll;
        let looked_up = self.look_up(actor, command, approach).await;
        if let Err(error) = &looked_up {
            self.refund(actor, toll.as_ref(), error).await;
        }
        let LookedUp { account, hash, password, attempt } = looked_up?;
        let stored = account.as_ref().zip(hash.as_ref());
        let compared = match stored.filter(|_| attempt.is_granted()) {
            Some((user, hash)) => self.is_right(user, &password, hash).await,
            // Nothing to compare with, or nobody may, and it has to cost the same.
            None => self.ports.hasher.hash(password.clone()).await.map(|_| false),
        };
        let right = match compared {
            Ok(right) => right,
            Err(error) => {
                self.not_compared(&attempt).await;
                return Err(error.into());
            }
        };
        if !right {
            self.was_wrong(actor, command, &attempt, account.as_ref()).await?;
        }
        match account.zip(hash) {
            Some((user, hash)) if right => Ok(Right { user, password, hash, attempt }),
            Some((user, _)) => {
                tracing::info!(user.id = %user.id, password.right = false, "sign-in refused");
                let reason = if attempt.is_granted() { "wrong_password" } else { "locked" };
                Err(NotSignedIn::refused(user.id, reason))
            }
            None => {
                tracing::info!("sign-in refused: no such account");
                let answer = SignInError::InvalidCredentials;
                Err(NotSignedIn::Refused { user: None, reason: "unknown_account", answer })
            }
        }
    }

    /// Whoever has the right password, if they may sign in and once that was looked after.
    pub(super) async fn first_factor(&self, actor: &Actor, right: Right) -> Result<Proven, NotSignedIn> {
        let Right { mut user, password, hash, attempt } = right;
        if user.status != UserStatus::Active {
            tracing::info!(user.id = %user.id, password.right = true, "sign-in refused");
            return Err(NotSignedIn::refused(user.id, "user_disabled"));
        }
        match self.look_after_password(actor, &user, &password, &hash).await {
            LookedAfter::Fine { known, rehashed } => {
                user.password_compromised_at =
                    user.password_compromised_at.or_else(|| known.then(|| self.now()));
                Ok(Proven { user, password: rehashed.unwrap_or(hash), attempt })
            }
            LookedAfter::Compromised => {
                let answer = SignInError::PasswordCompromised;
                Err(NotSignedIn::Refused { user: Some(user.id), reason: "password_compromised", answer })
            }
            LookedAfter::Unknown(error) => Err(NotSignedIn::Failed(error.into())),
        }
    }

    /// Looks somebody up, and reserves the guess.
    async fn look_up(
        &self,
        actor: &Actor,
        command: &SignIn,
        approach: Approach,
    ) -> Result<LookedUp, NotSignedIn> {
        let found = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.credentials(&mut conn, &command.email).await?
        };
        let (account, hash) = found.map(|Credentials { user, password }| (user, password)).unzip();
        // No stored hash is of a password that long; what is refused for its length alone tells nothing about an account, and costs too
        // little to be written down each time.
        let password = Password::new(&command.password)
            .map_err(|_| NotSignedIn::Failed(SignInError::InvalidCredentials))?;
        let attempt =
            self.attempt(actor, command, approach, account.as_ref().map(|user: &User| user.id)).await?;
        Ok(LookedUp { account, hash: hash.flatten(), password, attempt })
    }

    /// Whether the password is the stored hash's. A hash that cannot be compared with is nobody's password, and costs and answers what a
    /// wrong one does.
    async fn is_right(
        &self,
        user: &User,
        password: &Password,
        hash: &PasswordHash,
    ) -> Result<bool, HashError> {
        match self.ports.hasher.verify(password.clone(), hash.clone()).await {
            Err(HashError::Internal(error)) => {
                tracing::error!(
                    error = saas_core::fault::chain(&error),
                    user.id = %user.id,
                    "a stored password hash cannot be compared with: is a pepper missing?"
                );
                self.ports.hasher.hash(password.clone()).await.map(|_| false)
            }
            compared => compared,
        }
    }
}
