//! The first factor: a password.

use super::{REACH, SignIn, SignInError, refusal::NotSignedIn};
use crate::{Auth, Credentials, Password, PasswordHash, User, UserStatus};

/// Somebody who proved to be this user.
pub(super) struct Proven {
    pub(super) user: User,
    /// What their password was compared with: once that is another one, they have proved nothing.
    pub(super) password: PasswordHash,
}

impl Auth {
    /// The user, if the password is theirs and they may sign in; exactly one hash is computed whatever the answer.
    pub(super) async fn first_factor(&self, command: &SignIn) -> Result<Proven, NotSignedIn> {
        let found = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.credentials(&mut conn, &command.email).await?
        };
        let found = found.and_then(|Credentials { user, password }| Some((user, password?)));
        // No stored hash is of a password that long; what is refused for its length alone tells nothing about an account, and costs too
        // little to be written down each time.
        let password = Password::new(&command.password)
            .map_err(|_| NotSignedIn::Failed(SignInError::InvalidCredentials))?;
        let right = match &found {
            Some((_, hash)) => self.ports.hasher.verify(password, hash.clone()).await?,
            // Nothing to compare with, and it has to cost the same.
            None => self.ports.hasher.hash(password).await.map(|_| false)?,
        };
        match found {
            Some((user, password)) if right && user.status == UserStatus::Active => {
                Ok(Proven { user, password })
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
}
