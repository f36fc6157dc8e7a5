//! What is asked of whoever has a first factor: a tenant that they belong to, and their second factor.

use saas_core::{Conn, Role, TenantId, TenantState};

use super::{
    REACH, SignInError, attempt::Attempt, first_factor::Proven, refusal::NotSignedIn, second_factor::Spent,
};
use crate::{Auth, AuthMethod, AuthMethods, PasswordHash, User};

/// The most tenants that are offered to choose from.
const CHOICES: u32 = 50;

/// A proven user who may come in, and where. Nothing but this file and a met challenge makes one.
pub(super) struct Admitted {
    pub(super) user: User,
    pub(super) tenant: TenantId,
    pub(super) role: Role,
    pub(super) methods: AuthMethods,
    pub(super) by: AdmittedBy,
}

/// What lets somebody in. It has to hold still as their session is opened, in one transaction with it.
pub(super) enum AdmittedBy {
    /// A password alone, by the hash that it was compared with: they have no second factor.
    Password { compared: PasswordHash, attempt: Attempt },
    /// A second factor after the password; what proved it is used up.
    SecondFactor(Spent),
}

impl Auth {
    /// Lets a proven user in, or says what is missing.
    pub(super) async fn admit(
        &self,
        proven: Proven,
        named: Option<TenantId>,
    ) -> Result<Admitted, NotSignedIn> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let (tenant, role) = self.tenant_for(&mut conn, &proven.user, named).await?;
        let enrolled = self.second_factor_of(&mut conn, proven.user.id).await?.is_some();
        drop(conn);
        if enrolled {
            return Err(self.challenge(&proven, tenant).await?);
        }
        let Proven { user, password, attempt } = proven;
        let methods = AuthMethods::of(AuthMethod::Password);
        Ok(Admitted { user, tenant, role, methods, by: AdmittedBy::Password { compared: password, attempt } })
    }

    /// The tenant to sign in to: the named one, or the only one.
    pub(super) async fn tenant_for(
        &self,
        conn: &mut Conn,
        user: &User,
        named: Option<TenantId>,
    ) -> Result<(TenantId, Role), NotSignedIn> {
        if let Some(tenant) = named {
            let standing = self.ports.memberships.standing(conn, user.id, tenant).await?;
            return standing
                .filter(|standing| standing.tenant_state == TenantState::Active)
                .map(|standing| (tenant, standing.role))
                .ok_or_else(|| NotSignedIn::refused(user.id, "no_member"));
        }
        let choices = self.ports.memberships.of_user(conn, user.id, CHOICES).await?;
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
