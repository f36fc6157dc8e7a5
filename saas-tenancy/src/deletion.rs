//! The end of an account.

use saas_auth::{Changed, RecoveryError};
use saas_core::{
    Actor, ErrorKind, Fault, InternalError, Principal, Reach, Report, Role, Secret, StoreError, TenantState,
    UserDeleted, UserId, audit::AuditEvent, clock::stored_now, jobs::EnqueueError,
};

use crate::{Tenancy, audited::TENANT_SUSPENDED};

/// Why an account was not deleted; nothing was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteAccountError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// The user is the only owner of a tenant that has other members.
    #[error(
        "the user is the only owner of a tenant with other members: give somebody the role, or remove the members first"
    )]
    LastOwner,
    /// Who they are was not proved.
    #[error(transparent)]
    Proof(#[from] RecoveryError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that cannot happen.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for DeleteAccountError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "user_not_found"),
            Self::LastOwner => Report::new(ErrorKind::Conflict, "last_owner"),
            Self::Proof(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
}

impl From<EnqueueError> for DeleteAccountError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Store(error) => Self::Store(error),
            other => Self::Internal(InternalError::new(other)),
        }
    }
}

impl Tenancy {
    /// Deletes the actor's own account, if that is their password: user, sessions, memberships and tokens at once, what other domains keep
    /// of them by a job. A tenant whose only member they are is suspended.
    pub async fn delete_account(
        &self,
        actor: &Actor,
        password: &Secret<String>,
    ) -> Result<(), DeleteAccountError> {
        let user = self.auth.confirm_password(actor, password, "account_deletion").await?;
        self.delete(actor, user.id).await
    }

    /// Deletes any account, as [`Tenancy::delete_account`] does. For operators.
    pub async fn delete_user(&self, actor: &Actor, user: UserId) -> Result<(), DeleteAccountError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(DeleteAccountError::Forbidden);
        }
        self.delete(actor, user).await
    }

    async fn delete(&self, actor: &Actor, user: UserId) -> Result<(), DeleteAccountError> {
        let now = stored_now(&*self.ports.clock);
        let mut tx = self.ports.storage.begin(Reach::Platform("the end of an account")).await?;
        let leaving = self.ports.memberships.leaving(&mut tx, user).await?;
        let last_owner =
            |tenant: &&crate::Leaving| tenant.role == Role::Owner && tenant.owners == 1 && tenant.members > 1;
        if leaving.iter().find(last_owner).is_some() {
            return Err(DeleteAccountError::LastOwner);
        }
        for left in leaving.iter().filter(|left| left.members == 1) {
            self.ports.tenants.set_state(&mut tx, left.tenant, TenantState::Suspended, now).await?;
            self.auth.note_change(&mut tx, Changed::Tenant(left.tenant)).await?;
            let event = AuditEvent::new(TENANT_SUSPENDED).in_tenant(left.tenant).about(left.tenant);
            self.ports.audit.record(&mut tx, actor, event.because("last_member_left")).await?;
        }
        if !self.auth.delete_in(&mut tx, actor, user).await? {
            return Err(DeleteAccountError::NotFound);
        }
        if let Some(jobs) = &self.ports.jobs {
            let tenants = leaving.iter().map(|left| left.tenant).collect();
            jobs.enqueue(&mut tx, &UserDeleted { user, tenants }).await?;
        }
        tx.commit().await?;
        tracing::info!(user.id = %user, "user deleted");
        Ok(())
    }
}
