//! The first factor: a password.

use saas_core::Actor;

use super::{REACH, SignIn, SignInError, refusal::NotSignedIn};
use crate::{
    Auth, Credentials, HashError, Password, PasswordHash, User, UserStatus, auth::passwords::LookedAfter,
};

/// Somebody who proved to be this user.
pub(super) struct Proven {
    pub(super) user: User,
    /// What their password was compared with: once that is another one, they have proved nothing.
    pub(super) password: PasswordHash,
}

impl Auth {
    /// The user, if the password is theirs and they may sign in; exactly one hash is computed whatever the answer.
    pub(super) async fn first_factor(&self, actor: &Actor, command: &SignIn) -> Result<Proven, NotSignedIn> {
        let found = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.credentials(&mut conn, &command.email).await?
        };
        let found = found.and_then(|Credentials { user, password }| Some((user, password?)));
        // No stored hash is of a password that long; what is refused for its length alone tells nothing about an account, and costs too
        // little to be written down each time.
        let password = Password::new(&command.password)
            .map_err(|_| NotSignedIn::Failed(SignInError::InvalidCredentials))?;
        let (found, right) = match found {
            Some((user, hash)) => {
                let right = self.is_right(&user, &password, &hash).await?;
                (Some((user, hash)), right)
            }
            // Nothing to compare with, and it has to cost the same.
            None => (None, self.ports.hasher.hash(password.clone()).await.map(|_| false)?),
        };
        match found {
            Some((user, hash)) if right && user.status == UserStatus::Active => {
                self.proven(actor, user, &password, hash).await
            }
            Some((user, _)) => {
                tracing::info!(user.id = %user.id, password.right = right, "sign-in refused");
                Err(NotSignedIn::refused(user.id, if right { "user_disabled" } else { "wrong_password" }))
            }
            None => {
                tracing::info!("sign-in refused: no such account");
                let answer = SignInError::InvalidCredentials;
                Err(NotSignedIn::Refused { user: None, reason: "unknown_account", answer })
            }
        }
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

    /// Whoever has the right password, once that was looked after.
    async fn proven(
        &self,
        actor: &Actor,
        mut user: User,
        password: &Password,
        hash: PasswordHash,
    ) -> Result<Proven, NotSignedIn> {
        match self.look_after_password(actor, &user, password, &hash).await {
            LookedAfter::Fine { known, rehashed } => {
                user.password_compromised_at =
                    user.password_compromised_at.or_else(|| known.then(|| self.now()));
                Ok(Proven { user, password: rehashed.unwrap_or(hash) })
            }
            LookedAfter::Compromised => {
                let answer = SignInError::PasswordCompromised;
                Err(NotSignedIn::Refused { user: Some(user.id), reason: "password_compromised", answer })
            }
            LookedAfter::Unknown(error) => Err(NotSignedIn::Failed(error.into())),
        }
    }
}
