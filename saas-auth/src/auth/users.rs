//! Commands on users.

use saas_core::{
    Actor, Cursor, Email, ErrorKind, Fault, InvalidCursor, Page, PageSize, Reach, Report, SessionId,
    StoreError, UserId, audit::AuditEvent,
};

use super::{Auth, keys::is_operator, measures};
use crate::{
    Changed, Revocation, Session, Undos, User, UserStatus,
    audited::{USER_DISABLED, USER_ENABLED},
};

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

/// Why users were not listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// The cursor is of another list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for UsersError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::Cursor(_) => Report::new(ErrorKind::Invalid, "invalid_cursor"),
            Self::Store(error) => error.report(),
        }
    }
}

/// What cursors of the list of all users are marked with.
const EVERYBODY: &str = "users";

const OPERATOR: Reach = Reach::Platform("an operator's look at users");

impl Auth {
    /// The signed-in user.
    pub async fn me(&self, actor: &Actor) -> Result<Profile, CommandError> {
        let user = actor.user().ok_or(CommandError::Unauthenticated)?.user;
        let mut conn = self.ports.storage.read(Reach::Platform("a user's own profile")).await?;
        self.ports.users.by_id(&mut conn, user).await?.ok_or(CommandError::NotFound)
    }

    /// A page of all users of the deployment, in the order in which they came. For operators.
    pub async fn users(
        &self,
        actor: &Actor,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<User>, UsersError> {
        if !is_operator(actor) {
            return Err(UsersError::Forbidden);
        }
        let after =
            after.map(|cursor| cursor.key(EVERYBODY)?.parse().map_err(|_| InvalidCursor)).transpose()?;
        let mut conn = self.ports.storage.read(OPERATOR).await?;
        let users = self.ports.users.list(&mut conn, after, size.and_one_more()).await?;
        Ok(Page::cut(users, size, |last| Cursor::new(EVERYBODY, &last.id.to_string())))
    }

    /// Any user, by id. For operators.
    pub async fn user(&self, actor: &Actor, id: UserId) -> Result<User, CommandError> {
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        let mut conn = self.ports.storage.read(OPERATOR).await?;
        self.ports.users.by_id(&mut conn, id).await?.ok_or(CommandError::NotFound)
    }

    /// Any user, by e-mail address. For operators.
    pub async fn user_by_email(&self, actor: &Actor, email: &Email) -> Result<User, CommandError> {
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        let mut conn = self.ports.storage.read(OPERATOR).await?;
        let found = self.ports.users.credentials(&mut conn, email).await?;
        found.map(|found| found.user).ok_or(CommandError::NotFound)
    }

    /// Any session, by id, one that has ended as well. For operators.
    pub async fn session(&self, actor: &Actor, id: SessionId) -> Result<Option<Session>, CommandError> {
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        let mut conn = self.ports.storage.read(OPERATOR).await?;
        let family = self.ports.sessions.family(&mut conn, id).await?;
        Ok(family.map(|(family, _)| family.session))
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
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        let now = self.now();
        let mut tx = self.ports.storage.begin(Reach::Platform("a user's status")).await?;
        if !self.ports.users.set_status(&mut tx, user, status, now).await? {
            return Err(CommandError::NotFound);
        }
        let ended = if status == UserStatus::Disabled {
            self.forget_devices(&mut tx, user).await?;
            self.end_given_out(&mut tx, user, Undos::End).await?;
            self.ports.sessions.revoke_all(&mut tx, user, Revocation::UserDisabled, now).await?
        } else {
            0
        };
        self.note_change(&mut tx, Changed::User(user)).await?;
        let action = if status == UserStatus::Disabled { USER_DISABLED } else { USER_ENABLED };
        self.ports.audit.record(&mut tx, actor, AuditEvent::new(action).about(user)).await?;
        tx.commit().await?;
        measures::sessions_revoked(Revocation::UserDisabled, ended);
        tracing::info!(user.id = %user, user.status = status.as_str(), "user status set");
        Ok(())
    }
}
