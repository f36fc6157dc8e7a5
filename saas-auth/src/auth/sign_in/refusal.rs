//! How a sign-in ends that lets nobody in.

use saas_core::{Actor, InternalError, StoreError, TenantId, UserId, audit::AuditEvent};

use super::{REACH, SignInError};
use crate::{
    Auth, HashError,
    audited::SIGN_IN_REFUSED,
    auth::{measures, second_factor::Trouble},
};

/// How a sign-in ended that let nobody in.
pub(super) enum NotSignedIn {
    /// A password was compared, and that was it.
    Refused { user: Option<UserId>, reason: &'static str, answer: SignInError },
    /// It did not come to that.
    Failed(SignInError),
}

impl NotSignedIn {
    /// Not let in, and told nothing but that.
    pub(super) fn refused(user: UserId, reason: &'static str) -> Self {
        Self::Refused { user: Some(user), reason, answer: SignInError::InvalidCredentials }
    }
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

impl From<Trouble> for NotSignedIn {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => error.into(),
            Trouble::Internal(error) => error.into(),
        }
    }
}

impl Auth {
    /// Writes down that nobody was let in: in the chain of the tenant that it was about, or, where it is of none, among what is kept for a time
    /// only. Of an account that is not there nothing is known, not even what it would be called.
    pub(super) async fn record_refusal(
        &self,
        actor: &Actor,
        named: Option<TenantId>,
        user: Option<UserId>,
        reason: &'static str,
    ) -> Result<(), StoreError> {
        measures::refused(reason);
        // Whoever is not there is asked for all the same: it has to cost the same.
        let asked = user.unwrap_or_else(|| UserId::generate(&*self.ports.clock, &*self.ports.entropy));
        let tenant = {
            let mut conn = self.ports.storage.read(REACH).await?;
            match named {
                Some(tenant) => {
                    self.ports.memberships.standing(&mut conn, asked, tenant).await?.map(|_| tenant)
                }
                None => match self.ports.memberships.of_user(&mut conn, asked, 2).await?.as_slice() {
                    [only] => Some(only.tenant),
                    _ => None,
                },
            }
        };
        let event = AuditEvent::new(SIGN_IN_REFUSED).refused(reason);
        let event = if tenant.is_some() { event.in_tenant(tenant) } else { event.passing() };
        let event = match user {
            Some(user) => event.about(user),
            None => event,
        };
        self.ports.audit.record_alone(actor, event).await.map(drop)
    }
}
