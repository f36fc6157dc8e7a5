//! Commands on users.

use saas_core::{Actor, ErrorKind, Fault, Principal, Reach, Report, StoreError, UserId};

use super::Auth;
use crate::{Revocation, User, UserStatus};

/// The signed-in user, as they may see themselves.
pub type Profile = User;

/// Why a command on a user failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Nobody is signed in.
    #[error("sign in first")]
    Unauthenticated,
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for CommandError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Unauthenticated => Report::new(ErrorKind::Unauthenticated, "unauthenticated"),
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "user_not_found"),
            Self::Store(error) => error.report(),
        }
    }
}

impl Auth {
    /// The signed-in user.
    pub async fn me(&self, actor: &Actor) -> Result<Profile, CommandError> {
        let user = actor.user().ok_or(CommandError::Unauthenticated)?.user;
        let mut conn = self.ports.storage.read(Reach::Platform("a user's own profile")).await?;
        self.ports.users.by_id(&mut conn, user).await?.ok_or(CommandError::NotFound)
    }

    /// Disables a user and ends their sessions, together. For operators.
    pub async fn disable_user(&self, actor: &Actor, user: UserId) -> Result<(), CommandError> {
        self.set_status(actor, user, UserStatus::Disabled).await
    }

    /// Lets a disabled user sign in again; sessions that ended stay ended. For operators.
    pub async fn enable_user(&self, actor: &Actor, user: UserId) -> Result<(), CommandError> {
        self.set_status(actor, user, UserStatus::Active).await
    }

    async fn set_status(&self, actor: &Actor, user: UserId, status: UserStatus) -> Result<(), CommandError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(CommandError::Forbidden);
        }
        let now = self.now();
        let mut tx = self.ports.storage.begin(Reach::Platform("a user's status")).await?;
        if !self.ports.users.set_status(&mut tx, user, status, now).await? {
            return Err(CommandError::NotFound);
        }
        if status == UserStatus::Disabled {
            self.ports.sessions.revoke_all(&mut tx, user, Revocation::UserDisabled, now).await?;
        }
        tx.commit().await?;
        tracing::info!(user.id = %user, user.status = status.as_str(), "user status set");
        Ok(())
    }
}
