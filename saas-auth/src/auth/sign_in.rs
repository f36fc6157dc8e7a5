//! Sign-in with a password.

use saas_core::{
    Actor, Email, ErrorKind, Fault, InternalError, Reach, Report, Role, Secret, StoreError, TenantChoice,
    TenantId, TenantState, UserId, audit::AuditEvent,
};

use super::{Auth, NewSession, Tokens, measures};
use crate::{Credentials, HashError, Password, User, UserStatus, audited::SIGN_IN_REFUSED};

/// Who wants in, and where.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignIn {
    /// The address.
    pub email: Email,
    /// The password, as typed.
    pub password: Secret<String>,
    /// The tenant; needed by those who belong to several.
    pub tenant: Option<TenantId>,
}

impl SignIn {
    /// With an address and a password.
    pub fn new(email: Email, password: Secret<String>) -> Self {
        Self { email, password, tenant: None }
    }

    /// Into this tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: Option<TenantId>) -> Self {
        self.tenant = tenant;
        self
    }
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Unknown address, wrong password, disabled user or no member of that tenant: the answer does not tell which.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// The password is right and the user belongs to several tenants: name one of them.
    #[error("the user belongs to several tenants: name one of them as tenant_id")]
    TenantRequired {
        /// Those they may choose from.
        choices: Vec<TenantChoice>,
    },
    /// The password could not be checked.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokens could not be signed.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for SignInError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::InvalidCredentials => Report::new(ErrorKind::Unauthenticated, "invalid_credentials"),
            Self::TenantRequired { .. } => Report::new(ErrorKind::Conflict, "tenant_required"),
            Self::Hash(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

/// The most tenants that are offered to choose from.
const CHOICES: u32 = 50;

const REACH: Reach = Reach::Platform("sign-in");

impl Auth {
    /// Checks a password and opens a session.
    pub async fn sign_in(&self, actor: &Actor, command: SignIn) -> Result<Tokens, SignInError> {
        let tokens = self.signed_in(actor, command).await;
        measures::sign_in(&tokens);
        tokens
    }

    async fn signed_in(&self, actor: &Actor, command: SignIn) -> Result<Tokens, SignInError> {
        match self.try_sign_in(actor, &command).await {
            Ok(tokens) => Ok(tokens),
            Err(NotSignedIn::Refused { user, reason, answer }) => {
                self.record_refusal(actor, &command, user, reason).await?;
                Err(answer)
            }
            Err(NotSignedIn::Failed(error)) => Err(error),
        }
    }

    async fn try_sign_in(&self, actor: &Actor, command: &SignIn) -> Result<Tokens, NotSignedIn> {
        let user = self.first_factor(command).await?;
        let (tenant, role) = self.tenant_for(&user, command.tenant).await?;
        let mut tx = self.ports.storage.begin(REACH).await?;
        // Held until the commit: whoever disables the user now either comes first and is seen, or finds this session and ends it.
        let still_active = self
            .ports
            .users
            .shared(&mut tx, user.id)
            .await?
            .is_some_and(|user| user.status == UserStatus::Active);
        if !still_active {
            return Err(refused(user.id, "user_disabled"));
        }
        let opened = self.open_session_in(&mut tx, actor, NewSession { user: &user, tenant, role }).await?;
        tx.commit().await?;
        tracing::info!(user.id = %user.id, tenant.id = %tenant, session.id = %opened.lineage.session, "signed in");
        Ok(self.tokens_for(&opened)?)
    }

    /// The user, if the password is theirs and they may sign in; exactly one hash is computed whatever the answer.
    async fn first_factor(&self, command: &SignIn) -> Result<User, NotSignedIn> {
        let found = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.credentials(&mut conn, &command.email).await?
        };
        let found = found.and_then(|Credentials { user, password }| Some((user, password?)));
        // No stored hash is of a password that long; what is refused for its length alone tells nothing about an account, and costs too
        // little to be written down each time.
        let password = Password::new(&command.password)
            .map_err(|_| NotSignedIn::Failed(SignInError::InvalidCredentials))?;
        let (user, right) = match found {
            Some((user, hash)) => (Some(user), self.ports.hasher.verify(password, hash).await?),
            // Nothing to compare with, and it has to cost the same.
            None => (None, self.ports.hasher.hash(password).await.map(|_| false)?),
        };
        match user {
            Some(user) if right && user.status == UserStatus::Active => Ok(user),
            Some(user) => {
                tracing::info!(user.id = %user.id, password.right = right, "sign-in refused");
                Err(refused(user.id, if right { "user_disabled" } else { "wrong_password" }))
            }
            None => {
                tracing::info!("sign-in refused: no such account");
                let answer = SignInError::InvalidCredentials;
                Err(NotSignedIn::Refused { user: None, reason: "unknown_account", answer })
            }
        }
    }

    /// The tenant to sign in to: the named one, or the only one.
    async fn tenant_for(
        &self,
        user: &User,
        named: Option<TenantId>,
    ) -> Result<(TenantId, Role), NotSignedIn> {
        let mut conn = self.ports.storage.read(REACH).await?;
        if let Some(tenant) = named {
            let standing = self.ports.memberships.standing(&mut conn, user.id, tenant).await?;
            return standing
                .filter(|standing| standing.tenant_state == TenantState::Active)
                .map(|standing| (tenant, standing.role))
                .ok_or_else(|| refused(user.id, "no_member"));
        }
        let choices = self.ports.memberships.of_user(&mut conn, user.id, CHOICES).await?;
        match choices.as_slice() {
            [] => Err(refused(user.id, "no_member")),
            [only] => Ok((only.tenant, only.role)),
            _ => {
                let answer = SignInError::TenantRequired { choices };
                Err(NotSignedIn::Refused { user: Some(user.id), reason: "tenant_required", answer })
            }
        }
    }

    /// Writes down that nobody was let in: in the chain of the tenant that it was about, or in the platform's. Of an account that is not there
    /// nothing is known, not even what it would be called.
    async fn record_refusal(
        &self,
        actor: &Actor,
        command: &SignIn,
        user: Option<UserId>,
        reason: &'static str,
    ) -> Result<(), StoreError> {
        // Whoever is not there is asked for all the same: it has to cost the same.
        let asked = user.unwrap_or_else(|| UserId::generate(&*self.ports.clock, &*self.ports.entropy));
        let tenant = {
            let mut conn = self.ports.storage.read(REACH).await?;
            match command.tenant {
                Some(tenant) => {
                    self.ports.memberships.standing(&mut conn, asked, tenant).await?.map(|_| tenant)
                }
                None => match self.ports.memberships.of_user(&mut conn, asked, 2).await?.as_slice() {
                    [only] => Some(only.tenant),
                    _ => None,
                },
            }
        };
        let event = AuditEvent::new(SIGN_IN_REFUSED).in_tenant(tenant).refused(reason);
        let event = match user {
            Some(user) => event.about(user),
            None => event,
        };
        self.ports.audit.record_alone(actor, event).await.map(drop)
    }
}

/// How a sign-in ended that let nobody in.
enum NotSignedIn {
    /// A password was compared, and that was it.
    Refused { user: Option<UserId>, reason: &'static str, answer: SignInError },
    /// It did not come to that.
    Failed(SignInError),
}

fn refused(user: UserId, reason: &'static str) -> NotSignedIn {
    NotSignedIn::Refused { user: Some(user), reason, answer: SignInError::InvalidCredentials }
}

impl From<StoreError> for NotSignedIn {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<HashError> for NotSignedIn {
    fn from(error: HashError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<InternalError> for NotSignedIn {
    fn from(error: InternalError) -> Self {
        Self::Failed(error.into())
    }
}
