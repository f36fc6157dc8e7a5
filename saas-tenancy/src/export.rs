//! What tenancy holds of a user, for the export of their account.

use saas_core::{Actor, Document, ExportError, Principal, Reach, TenantId, TenantState, UserId};
use serde_json::json;

use crate::{Held, Tenancy};

/// How many memberships are read at once.
const ROUND: u32 = 50;

impl Tenancy {
    /// Writes the list of a user's memberships, and tells of which tenants they are. For the product itself.
    pub async fn write_memberships(
        &self,
        actor: &Actor,
        user: UserId,
        document: &mut Document,
    ) -> Result<Vec<TenantId>, ExportError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(ExportError::Forbidden);
        }
        let mut tenants: Vec<TenantId> = Vec::new();
        document.begin_list("memberships")?;
        loop {
            let held = {
                let mut conn = self.ports.storage.read(Reach::Platform("the export of an account")).await?;
                self.ports.memberships.held(&mut conn, user, tenants.last().copied(), ROUND).await?
            };
            if held.is_empty() {
                break;
            }
            for held in held {
                document.item(&item(&held)).await?;
                tenants.push(held.tenant.id);
            }
        }
        document.end_list();
        Ok(tenants)
    }
}

fn item(held: &Held) -> serde_json::Value {
    let suspended = held.tenant.state != TenantState::Active;
    json!({
        "tenant_id": held.tenant.id.as_uuid(),
        "tenant_slug": held.tenant.slug.as_str(),
        "tenant_name": held.tenant.name.as_str(),
        "tenant_suspended": suspended,
        "role": held.role.as_str(),
        "since": held.since,
        "role_since": held.role_since,
    })
}
