//! The part of registration that is auth's: the user. Tenancy's `register` is the door.

use saas_core::{
    Actor, DisplayName, Email, ErrorKind, Fault, FieldError, InternalError, Report, Secret, StoreError, Tx,
    UserId, audit::AuditEvent,
};

use super::Auth;
use crate::{HashError, InsertUserError, Password, PasswordHash, User, UserStatus, audited::USER_CREATED};

/// A user to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registration {
    /// Their address.
    pub email: Email,
    /// Their password, as typed.
    pub password: Secret<String>,
    /// How they want to be called.
    pub display_name: Option<DisplayName>,
}

impl Registration {
    /// With an address and a password.
    pub fn new(email: Email, password: Secret<String>) -> Self {
        Self { email, password, display_name: None }
    }

    /// With a name.
    #[must_use]
    pub fn with_display_name(mut self, display_name: Option<DisplayName>) -> Self {
        self.display_name = display_name;
        self
    }
}

/// A user whose password was judged and hashed: what remains is to write it.
#[derive(Debug, Clone)]
pub struct PreparedUser {
    email: Email,
    display_name: Option<DisplayName>,
    password: PasswordHash,
}

/// Why a registration cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The password is not good enough; the field says why.
    #[error("the password is not accepted")]
    Password([FieldError; 1]),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl Fault for PrepareError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Password(fields) => Report::new(ErrorKind::Invalid, "invalid_password").with_fields(fields),
            Self::Hash(error) => error.report(),
        }
    }
}

/// Why a prepared user was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// Another user has the address.
    #[error("the e-mail address is already registered")]
    EmailTaken,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for InsertError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::EmailTaken => Report::new(ErrorKind::Conflict, "email_taken"),
            Self::Store(error) => error.report(),
        }
    }
}

impl Auth {
    /// Judges and hashes the password: the slow part, which comes before any transaction.
    pub async fn prepare_registration(
        &self,
        registration: Registration,
    ) -> Result<PreparedUser, PrepareError> {
        let refused = |message: &dyn std::fmt::Display| {
            PrepareError::Password([FieldError::new("password", "weak_password", message)])
        };
        let password = Password::new(&registration.password).map_err(|error| refused(&error))?;
        self.config.password_policy.check(&password).map_err(|error| refused(&error))?;
        let password = self.ports.hasher.hash(password).await?;
        Ok(PreparedUser { email: registration.email, display_name: registration.display_name, password })
    }

    /// Writes the user into the caller's transaction.
    pub async fn insert_in(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        prepared: PreparedUser,
    ) -> Result<User, InsertError> {
        let user = User {
            id: UserId::generate(&*self.ports.clock, &*self.ports.entropy),
            email: prepared.email,
            display_name: prepared.display_name,
            status: UserStatus::Active,
            email_verified_at: None,
            created_at: self.now(),
        };
        match self.ports.users.insert(tx, &user, &prepared.password).await {
            Ok(()) => {
                // Whatever was guessed before there was an account is none of its owner's business.
                self.ports.guesses.clear(tx, &self.guess_keys.account(&user.email)).await?;
                // Users are over all tenants: it is the platform's to know.
                self.ports.audit.record(tx, actor, AuditEvent::new(USER_CREATED).about(user.id)).await?;
                Ok(user)
            }
            Err(InsertUserError::EmailTaken) => Err(InsertError::EmailTaken),
            Err(InsertUserError::Store(error)) => Err(InsertError::Store(error)),
        }
    }
}

impl From<InternalError> for PrepareError {
    fn from(error: InternalError) -> Self {
        Self::Hash(error.into())
    }
}
