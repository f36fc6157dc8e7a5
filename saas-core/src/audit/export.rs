//! What the audit log holds of a user, for the export of their account.

use serde_json::json;

use super::{Audit, AuditActor, AuditFilter, AuditId, AuditRow, AuditSubject, operator};
use crate::{Actor, Document, ExportError, UserId};

/// How many rows are read at once.
const ROUND: u32 = 100;

impl Audit {
    /// Writes, as items of the list that is open, the rows of what a user did and then those of what others did to them, each the newest
    /// first. For the product itself.
    pub async fn write_rows(
        &self,
        actor: &Actor,
        user: UserId,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        let by_them = AuditFilter { actor: Some(AuditActor::user(user)), ..AuditFilter::default() };
        self.write_filtered(actor, &by_them, |_| true, document).await?;
        self.write_rows_about(actor, user, user.into(), document).await
    }

    /// Writes, as items of the list that is open, the rows about a subject of what others than the user did. For the product itself.
    pub async fn write_rows_about(
        &self,
        actor: &Actor,
        user: UserId,
        subject: AuditSubject,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        let theirs = AuditActor::user(user);
        let about = AuditFilter { subject: Some(subject), ..AuditFilter::default() };
        self.write_filtered(actor, &about, |row| row.entry.actor != theirs.as_str(), document).await
    }

    async fn write_filtered(
        &self,
        actor: &Actor,
        filter: &AuditFilter,
        wanted: impl Fn(&AuditRow) -> bool,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        if !operator::is_operator(actor) {
            return Err(ExportError::Forbidden);
        }
        let mut before: Option<AuditId> = None;
        loop {
            let rows = {
                let mut conn = self.storage().read(operator::REACH).await?;
                self.log().list(&mut conn, filter, before, ROUND).await?
            };
            let Some(last) = rows.last() else { return Ok(()) };
            before = Some(last.entry.id);
            for row in rows.iter().filter(|row| wanted(row)) {
                document.item(&item(row)).await?;
            }
        }
    }
}

fn item(row: &AuditRow) -> serde_json::Value {
    let entry = &row.entry;
    json!({
        "id": entry.id.as_uuid(),
        "at": entry.at(),
        "tenant_id": entry.chain.tenant().map(crate::TenantId::as_uuid),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "request_id": entry.request_id.map(crate::RequestId::as_uuid),
    })
}
