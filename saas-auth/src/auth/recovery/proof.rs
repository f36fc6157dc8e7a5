//! Asking a signed-in user for their password once more.

use saas_core::{Actor, Secret, actor::UserPrincipal, audit::AuditEvent};

use super::{REACH, RecoveryError, password_of, quota::Quota};
use crate::{Auth, PasswordHash, User, UserStatus, audited::PASSWORD_REFUSED};

/// How many wrong ones an hour a user may type: whoever has copied a token shall not find the password by it.
const GUESSES: Quota = Quota { name: "own_password", most: 5 };

impl Auth {
    /// The user with the hash of their password, if that is what they typed, and with their second factor lately if they have one. A wrong one counts and is written down; exactly one hash is
    /// computed before either answer.
    pub(in crate::auth) async fn prove_password<'a>(
        &self,
        actor: &'a Actor,
        typed: &Secret<String>,
        what_for: &'static str,
    ) -> Result<(&'a UserPrincipal, User, PasswordHash), RecoveryError> {
        let principal = actor.user().ok_or(RecoveryError::Unauthenticated)?;
        // Before the password is: whoever holds no more than a session and the password learns nothing of it here.
        self.require_second_factor(principal).await?;
        let subject = principal.user.as_uuid();
        // Before anything is compared: of guesses beside each other no more are compared than may be.
        self.quotas.take(&GUESSES, subject.as_bytes(), self.ports.clock.monotonic())?;
        let (user, hash) = self.credentials_of(principal).await?;
        let password = password_of(typed)?;
        let right = match &hash {
            Some(hash) => self.ports.hasher.verify(password, hash.clone()).await?,
            None => self.ports.hasher.hash(password).await.map(|_| false)?,
        };
        match hash {
            Some(hash) if right => {
                self.quotas.give_back(&GUESSES, subject.as_bytes());
                Ok((principal, user, hash))
            }
            _ => {
                let event = AuditEvent::new(PASSWORD_REFUSED).about(user.id).refused(what_for);
                self.ports.audit.record_alone(actor, event).await?;
                tracing::info!(user.id = %user.id, "a password that was asked for once more was wrong");
                Err(RecoveryError::WrongPassword)
            }
        }
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
}
