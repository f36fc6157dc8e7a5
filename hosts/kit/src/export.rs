//! The export of an account: everything that the product holds of a user, as one JSON document.
//!
//! Each service writes what is its own; `hosts/http/tests/it/export.rs` holds the document against every column that there is.

use futures_util::{FutureExt as _, stream::BoxStream};
use saas_auth::{ExportAccountError, User};
use saas_core::{Actor, Document, ExportError, Secret, UserId, clock::stored_now};

use crate::Saas;

/// The version of the document. A member that is taken away or changes its meaning makes a new one.
const VERSION: u32 = 1;

/// An account that may be written out, which the audit log has noted.
#[derive(Debug)]
pub struct AccountExport {
    saas: Saas,
    user: User,
}

impl Saas {
    /// The export of the actor's own account, if that is their password. Wrong ones are counted.
    pub async fn export_own_account(
        &self,
        actor: &Actor,
        password: &Secret<String>,
    ) -> Result<AccountExport, ExportAccountError> {
        let user = self.parts.auth.allow_own_export(actor, password).await?;
        Ok(AccountExport { saas: self.clone(), user })
    }

    /// The export of any account. For operators.
    pub async fn export_account(
        &self,
        actor: &Actor,
        user: UserId,
    ) -> Result<AccountExport, ExportAccountError> {
        let user = self.parts.auth.allow_export(actor, user).await?;
        Ok(AccountExport { saas: self.clone(), user })
    }
}

impl AccountExport {
    /// Whose it is.
    pub const fn user(&self) -> &User {
        &self.user
    }

    /// The document's bytes, as they are read: nothing is read ahead of who takes them. What is written while it is read may be in it or not.
    pub fn chunks(self) -> BoxStream<'static, Result<Vec<u8>, ExportError>> {
        Document::written_by(|document| self.write(document).boxed())
    }

    async fn write(self, mut document: Document) -> Result<(), ExportError> {
        let (parts, user, actor) = (&self.saas.parts, &self.user, Actor::system("export"));
        document.member("version", &VERSION)?;
        document.member("exported_at", &stored_now(&*parts.clock))?;
        parts.auth.write_user(&actor, user, &mut document).await?;
        let tenants = parts.tenancy.write_memberships(&actor, user.id, &mut document).await?;
        document.begin_list("conversations")?;
        for tenant in tenants {
            parts.agents.write_conversations(&actor, tenant, user.id, &mut document).await?;
        }
        document.end_list();
        document.begin_list("audit")?;
        parts.audit.write_rows(&actor, user.id, &mut document).await?;
        parts.auth.write_rows_about_sessions(&actor, user.id, &mut document).await?;
        document.end_list();
        document.end().await
    }
}
