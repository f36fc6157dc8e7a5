//! Registration: a user, their tenant, their membership and their first session, or nothing of it.

use saas_auth::{
    InsertError, NewSession, NewUser, OpenedSession, PasswordAdvice, PrepareError, PreparedUser,
    Registration, Tokens, User,
};
use saas_core::{
    Actor, DisplayName, Email, ErrorKind, Fault, InternalError, Principal, Reach, Report, Role, Secret,
    SendMail, Slug, StoreError, TenantId, TenantName, TenantState, Tx, audit::AuditEvent, clock::stored_now,
    entropy::random,
};

use crate::{
    SignupPolicy, Tenancy, Tenant,
    audited::{MEMBER_ADDED, TENANT_CREATED},
};

/// Who registers, and the tenant that they found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Register {
    /// Their address.
    pub email: Email,
    /// Their password, as typed.
    pub password: Secret<String>,
    /// The name of their tenant.
    pub tenant_name: TenantName,
    /// How they want to be called.
    pub display_name: Option<DisplayName>,
}

impl Register {
    /// With an address, a password and a tenant's name.
    pub fn new(email: Email, password: Secret<String>, tenant_name: TenantName) -> Self {
        Self { email, password, tenant_name, display_name: None }
    }

    /// With a name of their own.
    #[must_use]
    pub fn with_display_name(mut self, display_name: Option<DisplayName>) -> Self {
        self.display_name = display_name;
        self
    }
}

/// A registration that was judged and hashed: what remains is to write it.
#[derive(Debug, Clone)]
pub struct PreparedRegistration {
    user: PreparedUser,
    tenant_name: TenantName,
}

impl PreparedRegistration {
    /// What is to be said of a password that was accepted and could be better.
    pub const fn password_advice(&self) -> Option<&PasswordAdvice> {
        self.user.password_advice()
    }
}

/// What was written into a caller's transaction; it is there once that commits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegisteredIn {
    /// The user.
    pub user: User,
    /// Their tenant.
    pub tenant: Tenant,
    /// Their first session: sign its tokens after the commit with [`saas_auth::Auth::tokens_for`].
    pub session: OpenedSession,
}

/// What registering answers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Registered {
    /// The user.
    pub user: User,
    /// Their tenant.
    pub tenant: Tenant,
    /// The tokens of their first session.
    pub tokens: Tokens,
    /// What is to be said of a password that was accepted and could be better.
    pub password_advice: Option<PasswordAdvice>,
}

/// What signing up answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignedUp {
    /// Registered, and signed in.
    Registered(Box<Registered>),
    /// Whoever has the address was mailed how it goes on; it does not tell whether it is new.
    Mailed,
}

/// Why a registration was refused before anything was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareRegistrationError {
    /// The policy does not let everybody in.
    #[error("registration is not open: ask for an invitation")]
    Closed,
    /// The user part.
    #[error(transparent)]
    User(#[from] PrepareError),
}

impl Fault for PrepareRegistrationError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Closed => Report::new(ErrorKind::Forbidden, "registration_closed"),
            Self::User(error) => error.report(),
        }
    }
}

/// Why a prepared registration was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterInError {
    /// Another user has the address.
    #[error("the e-mail address is already registered")]
    EmailTaken,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No slug was free.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for RegisterInError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::EmailTaken => Report::new(ErrorKind::Conflict, "email_taken"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

impl From<InsertError> for RegisterInError {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::EmailTaken => Self::EmailTaken,
            InsertError::Store(error) => Self::Store(error),
            other => Self::Internal(InternalError::new(other)),
        }
    }
}

/// Why nobody was registered; nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Refused before anything was written.
    #[error(transparent)]
    Prepare(#[from] PrepareRegistrationError),
    /// Not written.
    #[error(transparent)]
    Write(#[from] RegisterInError),
}

impl RegisterError {
    /// What is to be said of a password that was not accepted.
    pub const fn password_advice(&self) -> Option<&PasswordAdvice> {
        match self {
            Self::Prepare(PrepareRegistrationError::User(PrepareError::Refused(refused))) => refused.advice(),
            _ => None,
        }
    }
}

impl Fault for RegisterError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Prepare(error) => error.report(),
            Self::Write(error) => error.report(),
        }
    }
}

/// How often another slug is tried before giving up; each try has four more random hex digits.
const SLUG_TRIES: usize = 10;

impl Tenancy {
    /// Registers in a transaction of its own, and tells of an address that is taken: for whoever may know that. Forms that anybody reaches
    /// call [`Tenancy::sign_up`].
    pub async fn register(&self, actor: &Actor, command: Register) -> Result<Registered, RegisterError> {
        let registered = self.try_register(actor, command).await;
        // The name and its labels are the earlier system's.
        let result = if registered.is_ok() { "register_success" } else { "register_error" };
        let policy = self.config.signup.as_str();
        metrics::counter!("signup_attempts_total", "result" => result, "policy" => policy).increment(1);
        registered
    }

    /// Registers whoever asks, who is not known yet. Where users have to prove their address the answer is the same for every address: a new
    /// one is mailed what proves it, the user of one that is taken is told; nobody is signed in.
    pub async fn sign_up(&self, actor: &Actor, command: Register) -> Result<SignedUp, RegisterError> {
        if !self.auth.requires_verified_email() {
            return Ok(SignedUp::Registered(Box::new(self.register(actor, command).await?)));
        }
        let done = self.sign_up_by_mail(actor, command).await;
        let result = if done.is_ok() { "register_success" } else { "register_error" };
        let policy = self.config.signup.as_str();
        metrics::counter!("signup_attempts_total", "result" => result, "policy" => policy).increment(1);
        done.map(|()| SignedUp::Mailed)
    }

    async fn sign_up_by_mail(&self, actor: &Actor, command: Register) -> Result<(), RegisterError> {
        let email = command.email.clone();
        let prepared = self.prepare_registration(actor, command).await?;
        let mut tx =
            self.ports.storage.begin(Reach::Platform("registration")).await.map_err(RegisterInError::from)?;
        match self.found_account_in(&mut tx, actor, prepared).await {
            Ok((user, tenant)) => {
                self.auth
                    .begin_verification_of(&mut tx, actor, &user)
                    .await
                    .map_err(RegisterInError::from)?;
                tracing::info!(user.id = %user.id, tenant.id = %tenant.id, "registered");
            }
            Err(RegisterInError::EmailTaken) => self
                .auth
                .tell_already_registered(&mut tx, actor, &email)
                .await
                .map_err(RegisterInError::from)?,
            Err(error) => return Err(error.into()),
        }
        tx.commit().await.map_err(RegisterInError::from)?;
        Ok(())
    }

    async fn try_register(&self, actor: &Actor, command: Register) -> Result<Registered, RegisterError> {
        let prepared = self.prepare_registration(actor, command).await?;
        let password_advice = prepared.password_advice().cloned();
        let mut tx =
            self.ports.storage.begin(Reach::Platform("registration")).await.map_err(RegisterInError::from)?;
        let RegisteredIn { user, tenant, session } = self.register_in(&mut tx, actor, prepared).await?;
        tx.commit().await.map_err(RegisterInError::from)?;
        tracing::info!(user.id = %user.id, tenant.id = %tenant.id, "registered");
        let tokens = self.auth.tokens_for(&session).map_err(RegisterInError::from)?;
        Ok(Registered { user, tenant, tokens, password_advice })
    }

    /// Judges and hashes: the slow part, which comes before any transaction.
    pub async fn prepare_registration(
        &self,
        actor: &Actor,
        command: Register,
    ) -> Result<PreparedRegistration, PrepareRegistrationError> {
        let let_in =
            self.config.signup == SignupPolicy::Public || matches!(actor.principal, Principal::System(_));
        if !let_in {
            return Err(PrepareRegistrationError::Closed);
        }
        let user = Registration::new(command.email, command.password)
            .with_display_name(command.display_name)
            .with_tenant_name(Some(command.tenant_name.clone()));
        Ok(PreparedRegistration {
            user: self.auth.prepare_registration(user).await?,
            tenant_name: command.tenant_name,
        })
    }

    /// Writes a prepared registration into the caller's transaction, and leaves the mail that welcomes them behind in it.
    pub async fn register_in(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        prepared: PreparedRegistration,
    ) -> Result<RegisteredIn, RegisterInError> {
        let (user, tenant) = self.found_account_in(tx, actor, prepared).await?;
        let new = NewSession { user: &user, tenant: tenant.id, role: Role::Owner };
        let session = self.auth.open_session_in(tx, actor, new).await?;
        if let Some(jobs) = &self.ports.jobs {
            let welcome = SendMail::Welcome { user: user.id, tenant: tenant.id };
            jobs.insert(tx, &jobs.prepare(&welcome)?.in_tenant(tenant.id)).await?;
        }
        if self.auth.requires_verified_email() {
            self.auth.begin_verification_of(tx, actor, &user).await?;
        }
        Ok(RegisteredIn { user: user.into_user(), tenant, session })
    }

    /// A user, their tenant, and that they own it.
    async fn found_account_in(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        prepared: PreparedRegistration,
    ) -> Result<(NewUser, Tenant), RegisterInError> {
        let user = self.auth.insert_in(tx, actor, prepared.user).await?;
        let tenant = self.found_in(tx, prepared.tenant_name).await?;
        self.ports.memberships.insert(tx, user.id, tenant.id, Role::Owner, tenant.created_at).await?;
        let founded = AuditEvent::new(TENANT_CREATED).in_tenant(tenant.id).about(tenant.id);
        self.ports.audit.record(tx, actor, founded).await?;
        let added = AuditEvent::new(MEMBER_ADDED).in_tenant(tenant.id).about(user.id);
        self.ports.audit.record(tx, actor, added.because(Role::Owner.as_str())).await?;
        Ok((user, tenant))
    }

    /// A new tenant under the first free slug that its name suggests.
    async fn found_in(&self, tx: &mut Tx, name: TenantName) -> Result<Tenant, RegisterInError> {
        let plain = Slug::from_name(name.as_str());
        let mut tenant = Tenant {
            id: TenantId::generate(&*self.ports.clock, &*self.ports.entropy),
            slug: plain.clone(),
            name,
            state: TenantState::Active,
            created_at: stored_now(&*self.ports.clock),
        };
        for _ in 0..SLUG_TRIES {
            if self.ports.tenants.insert(tx, &tenant).await? {
                return Ok(tenant);
            }
            tenant.slug = plain.with_suffix(random(&*self.ports.entropy));
        }
        Err(InternalError::new("no free slug was found for the tenant's name").into())
    }
}
