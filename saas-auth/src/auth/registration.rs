//! The part of registration that is auth's: the user. Tenancy's `register` is the door.

use std::ops::Deref;

use saas_core::{
    Actor, DisplayName, Email, ErrorKind, Fault, Report, Secret, StoreError, TenantName, Tx, UserId,
    audit::AuditEvent,
};

use super::{Auth, JudgePasswordError, JudgedPassword, PasswordOwner};
use crate::{InsertUserError, PasswordAdvice, User, UserStatus, audited::USER_CREATED};

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
    /// The tenant that they found, whose name no password may be made of.
    pub tenant_name: Option<TenantName>,
}

impl Registration {
    /// With an address and a password.
    pub fn new(email: Email, password: Secret<String>) -> Self {
        Self { email, password, display_name: None, tenant_name: None }
    }

    /// With a name.
    #[must_use]
    pub fn with_display_name(mut self, display_name: Option<DisplayName>) -> Self {
        self.display_name = display_name;
        self
    }

    /// As the founder of a tenant of that name.
    #[must_use]
    pub fn with_tenant_name(mut self, tenant_name: Option<TenantName>) -> Self {
        self.tenant_name = tenant_name;
        self
    }
}

/// A user who was written in a transaction that is not over yet, or has just been: they have no second factor that could be gone around.
#[derive(Debug, Clone)]
pub struct NewUser {
    user: User,
}

impl NewUser {
    /// The user.
    pub fn into_user(self) -> User {
        self.user
    }
}

impl Deref for NewUser {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

/// A user whose password was judged and hashed: what remains is to write it.
#[derive(Debug, Clone)]
pub struct PreparedUser {
    email: Email,
    display_name: Option<DisplayName>,
    password: JudgedPassword,
}

impl PreparedUser {
    /// What is to be said of a password that was accepted and could be better.
    pub const fn password_advice(&self) -> Option<&PasswordAdvice> {
        self.password.advice.as_ref()
    }
}

/// Why a registration cannot be prepared: its password is not good enough, or could not be judged.
pub type PrepareError = JudgePasswordError;

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
        let owner = PasswordOwner::Newcomer {
            email: &registration.email,
            display_name: registration.display_name.as_ref(),
            tenant: registration.tenant_name.as_ref(),
        };
        let password = self.judge_password("password", &registration.password, owner).await?;
        Ok(PreparedUser { email: registration.email, display_name: registration.display_name, password })
    }

    /// Writes the user into the caller's transaction.
    pub async fn insert_in(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        prepared: PreparedUser,
    ) -> Result<NewUser, InsertError> {
        let user = User {
            id: UserId::generate(&*self.ports.clock, &*self.ports.entropy),
            email: prepared.email,
            display_name: prepared.display_name,
            status: UserStatus::Active,
            email_verified_at: None,
            password_compromised_at: None,
            created_at: self.now(),
        };
        match self.ports.users.insert(tx, &user, &prepared.password.hash).await {
            Ok(()) => {
                // Whatever was guessed before there was an account is none of its owner's business.
                self.ports.guesses.clear(tx, &self.guess_keys.account(&user.email)).await?;
                // Users are over all tenants: it is the platform's to know.
                self.ports.audit.record(tx, actor, AuditEvent::new(USER_CREATED).about(user.id)).await?;
                Ok(NewUser { user })
            }
            Err(InsertUserError::EmailTaken) => Err(InsertError::EmailTaken),
            Err(InsertUserError::Store(error)) => Err(InsertError::Store(error)),
        }
    }
}
