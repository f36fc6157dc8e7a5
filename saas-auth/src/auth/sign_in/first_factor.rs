//! The first factor: a password.

use saas_core::{Actor, UserId};

use super::{
    REACH, SignIn, SignInError,
    attempt::{Approach, Attempt},
    refusal::NotSignedIn,
};
use crate::{Auth, Credentials, Password, PasswordHash, User, UserStatus};

/// Somebody who proved to be this user.
pub(super) struct Proven {
    pub(super) user: User,
    pub(super) attempt: Attempt,
}

/// What there is to compare, and whether it may be.
struct LookedUp {
    account: Option<UserId>,
    /// Who may have that password: nobody where there is no hash of one.
    user: Option<User>,
    hash: Option<PasswordHash>,
    password: Password,
    attempt: Attempt,
}

impl Auth {
    /// The user, if the password is theirs and they may sign in; exactly one hash is computed whatever the answer.
    pub(super) async fn first_factor(&self, actor: &Actor, command: &SignIn) -> Result<Proven, NotSignedIn> {
        let approach = self.approach(actor, command).await?;
        let toll = approach.toll;
        let looked_up = self.look_up(actor, command, approach).await;
        if let Err(error) = &looked_up {
            self.refund(actor, toll.as_ref(), error).await;
        }
        let LookedUp { account, user, hash, password, attempt } = looked_up?;
        let compared = match hash.filter(|_| attempt.is_granted()) {
            Some(hash) => self.ports.hasher.verify(password, hash).await,
            // Nothing to compare with, or nobody may, and it has to cost the same.
            None => self.ports.hasher.hash(password).await.map(|_| false),
        };
        let right = match compared {
            Ok(right) => right,
            Err(error) => {
                self.not_compared(&attempt).await;
                return Err(error.into());
            }
        };
        if right {
            if let Some(user) = user.as_ref().filter(|user| user.status != UserStatus::Active) {
                self.was_right(&attempt).await;
                self.settle(actor, &attempt).await;
                tracing::info!(user.id = %user.id, password.right = right, "sign-in refused");
                return Err(NotSignedIn::refused(user.id, "user_disabled"));
            }
        } else {
            self.was_wrong(actor, command, &attempt, account).await?;
        }
        match user {
            Some(user) if right => Ok(Proven { user, attempt }),
            Some(user) => {
                tracing::info!(user.id = %user.id, password.right = right, "sign-in refused");
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
        let account = found.as_ref().map(|found| found.user.id);
        let (user, hash) = found.and_then(|Credentials { user, password }| Some((user, password?))).unzip();
        // No stored hash is of a password that long; what is refused for its length alone tells nothing about an account, and costs too
        // little to be written down each time.
        let password = Password::new(&command.password)
            .map_err(|_| NotSignedIn::Failed(SignInError::InvalidCredentials))?;
        let attempt = self.attempt(actor, command, approach, account).await?;
        Ok(LookedUp { account, user, hash, password, attempt })
    }
}
