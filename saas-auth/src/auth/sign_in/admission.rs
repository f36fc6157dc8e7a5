//! What is asked of whoever has a first factor: a tenant that they belong to.

use saas_core::{Role, TenantId, TenantState};

use super::{REACH, SignInError, first_factor::Proven, refusal::NotSignedIn};
use crate::{Auth, User};

/// The most tenants that are offered to choose from.
const CHOICES: u32 = 50;

/// A proven user who may come in, and where.
pub(super) struct Admitted {
    pub(super) proven: Proven,
    pub(super) tenant: TenantId,
    pub(super) role: Role,
}

impl Auth {
    /// Lets a proven user in, or says what is missing.
    pub(super) async fn admit(
        &self,
        proven: Proven,
        named: Option<TenantId>,
    ) -> Result<Admitted, NotSignedIn> {
        let (tenant, role) = self.tenant_for(&proven.user, named).await?;
        Ok(Admitted { proven, tenant, role })
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
                .ok_or_else(|| NotSignedIn::refused(user.id, "no_member"));
        }
        let choices = self.ports.memberships.of_user(&mut conn, user.id, CHOICES).await?;
        match choices.as_slice() {
            [] => Err(NotSignedIn::refused(user.id, "no_member")),
            [only] => Ok((only.tenant, only.role)),
            _ => {
                let answer = SignInError::TenantRequired { choices };
                Err(NotSignedIn::Refused { user: Some(user.id), reason: "tenant_required", answer })
            }
        }
    }
}
