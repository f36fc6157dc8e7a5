//! `saas audit`: who did what, and whether what is written of it is still what was written.

use saas_core::{
    PageSize, RequestId,
    audit::{AuditEntry, AuditFilter, AuditId, AuditRow, Chain, Finding, Head, Seal},
    text::hex,
};
use saas_kit::Saas;
use serde::Serialize;

use super::{date, operator};
use crate::{
    arguments::{Audit, ListAudit, WhichChain},
    context::Context,
    failure::{Exit, Failure},
    output,
    text::{counted, pairs, table},
};

pub(crate) fn run(context: &Context, command: &Audit) -> Result<(), Failure> {
    match command {
        Audit::List(arguments) => list(context, arguments),
        Audit::Verify(which) => verify(context, *which),
        Audit::Export(which) => context.with_saas(async |saas| export(saas, *which).await),
    }
}

/// A row as programs read it: its texts are what is hashed.
#[derive(Serialize)]
struct RowView {
    id: String,
    tenant_id: String,
    at: Option<String>,
    at_us: i64,
    actor: String,
    action: String,
    subject: Option<String>,
    outcome: String,
    reason: Option<String>,
    request_id: Option<String>,
    version: i64,
    key_id: String,
    mac: String,
    seal: Option<SealView>,
}

#[derive(Serialize)]
struct SealView {
    position: i64,
    previous_hash: String,
    hash: String,
    key_id: String,
    mac: String,
}

#[derive(Serialize)]
struct HeadView {
    tenant_id: String,
    count: i64,
    hash: String,
    purged_count: i64,
    purged_hash: String,
    purged_at_us: Option<i64>,
    key_id: String,
    mac: String,
}

impl From<&Seal> for SealView {
    fn from(seal: &Seal) -> Self {
        Self {
            position: seal.position,
            previous_hash: hex(&seal.previous_hash),
            hash: hex(&seal.hash),
            key_id: seal.key_id.clone(),
            mac: hex(&seal.mac),
        }
    }
}

impl From<&AuditRow> for RowView {
    fn from(AuditRow { entry, seal }: &AuditRow) -> Self {
        let AuditEntry { actor, action, subject, outcome, reason, key_id, .. } = entry.clone();
        Self {
            id: entry.id.to_string(),
            tenant_id: entry.chain.to_string(),
            at: entry.at().map(date),
            at_us: entry.at_us,
            actor,
            action,
            subject,
            outcome,
            reason,
            request_id: entry.request_id.as_ref().map(RequestId::to_string),
            version: entry.version,
            key_id,
            mac: hex(&entry.mac),
            seal: seal.as_ref().map(SealView::from),
        }
    }
}

impl From<&Head> for HeadView {
    fn from(head: &Head) -> Self {
        Self {
            tenant_id: head.chain.to_string(),
            count: head.count,
            hash: hex(&head.hash),
            purged_count: head.purged_count,
            purged_hash: hex(&head.purged_hash),
            purged_at_us: head.purged_at_us,
            key_id: head.key_id.clone(),
            mac: hex(&head.mac),
        }
    }
}

#[derive(Serialize)]
struct Listed {
    rows: Vec<RowView>,
    next: Option<String>,
}

fn list(context: &Context, arguments: &ListAudit) -> Result<(), Failure> {
    let filter = AuditFilter {
        chain: arguments.which.chain(),
        actor: arguments.actor.clone(),
        subject: arguments.subject.clone(),
        action: arguments.action.clone(),
        from: arguments.from,
        until: arguments.until,
    };
    let page = context.with_saas(async |saas| {
        let page = saas.audit().list(&operator(), &filter, arguments.after.as_ref(), arguments.limit).await;
        page.map_err(Failure::fault)
    })?;
    let next = page.next.map(|cursor| cursor.as_str().to_owned());
    let listed = Listed { rows: page.items.iter().map(RowView::from).collect(), next };
    context.out().data(&listed, |listed| {
        let row = |row: &RowView| {
            let at = row.at.clone().unwrap_or_else(|| row.at_us.to_string());
            let what = match &row.reason {
                Some(reason) => format!("{} ({reason})", row.outcome),
                None => row.outcome.clone(),
            };
            let subject = row.subject.clone().unwrap_or_default();
            [at, row.action.clone(), what, row.actor.clone(), subject]
        };
        table(
            ["AT", "ACTION", "OUTCOME", "ACTOR", "SUBJECT"],
            &listed.rows.iter().map(row).collect::<Vec<_>>(),
        )
    })?;
    if let (false, Some(next)) = (context.out().is_json(), &listed.next) {
        output::say(&format!("there are more: saas audit list --after {next}"));
    }
    Ok(())
}

#[derive(Serialize)]
struct Found {
    finding: FindingView,
}

#[derive(Serialize)]
struct FindingView {
    tenant_id: String,
    id: Option<String>,
    position: Option<i64>,
    code: &'static str,
    message: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            tenant_id: finding.chain.to_string(),
            id: finding.row.as_ref().map(AuditId::to_string),
            position: finding.position,
            code: finding.flaw.code(),
            message: finding.flaw.to_string(),
        }
    }
}

impl FindingView {
    fn line(&self) -> String {
        let chain = match self.tenant_id.as_str() {
            "platform" => "the platform".to_owned(),
            "passing" => "what is nobody's".to_owned(),
            tenant => format!("tenant {tenant}"),
        };
        let row = self.id.as_ref().map(|id| format!(", row {id}")).unwrap_or_default();
        let position = self.position.map(|position| format!(" at position {position}")).unwrap_or_default();
        format!("{chain}{row}{position}: {}\n", self.message)
    }
}

#[derive(Serialize)]
struct Summed {
    verified: Sums,
}

#[derive(Serialize)]
struct Sums {
    chains: u64,
    sealed: u64,
    unsealed: u64,
    purged: u64,
    findings: u64,
}

fn verify(context: &Context, which: WhichChain) -> Result<(), Failure> {
    let out = context.out();
    let verified = context.with_saas(async |saas| {
        // What cannot be written ends it once there is nothing more to read: there may be a million of them.
        let mut written = Ok(());
        let mut write = |finding: &Finding| {
            let finding = FindingView::from(finding);
            if written.is_ok() {
                written = if out.is_json() {
                    output::line(&Found { finding })
                } else {
                    output::text(&finding.line())
                };
            }
        };
        let verified = saas.audit().verify(&operator(), which.chain(), &mut write).await;
        let verified = verified.map_err(Failure::fault)?;
        written.map(|()| verified)
    })?;
    let sums = Sums {
        chains: verified.chains,
        sealed: verified.sealed,
        unsealed: verified.unsealed,
        purged: verified.purged,
        findings: verified.findings,
    };
    if out.is_json() {
        output::line(&Summed { verified: sums })?;
    } else {
        let [chains, sealed, unsealed, purged] =
            [sums.chains, sums.sealed, sums.unsealed, sums.purged].map(|count| count.to_string());
        let lines = [
            ("chains", chains.as_str()),
            ("sealed rows", &sealed),
            ("purged before", &purged),
            ("not sealed yet", &unsealed),
        ];
        output::text(&pairs(lines))?;
    }
    if verified.findings > 0 {
        let found = counted(usize::try_from(verified.findings).unwrap_or(usize::MAX), "thing");
        let text = format!("the audit log is not what was written: {found} found");
        return Err(
            Failure::new(Exit::Failed, "audit_broken", text).with_hint("what each means: docs/audit.md")
        );
    }
    Ok(())
}

#[derive(Serialize)]
struct RowLine {
    row: RowView,
}

#[derive(Serialize)]
struct HeadLine {
    head: HeadView,
}

/// How many rows are read at once.
fn page() -> PageSize {
    PageSize::new(PageSize::MAX).unwrap_or_default()
}

async fn export(saas: &Saas, which: WhichChain) -> Result<(), Failure> {
    if let Some(chain) = which.chain() {
        return export_chain(saas, chain).await;
    }
    let mut last = None;
    while let Some(chain) = saas.audit().next_chain(&operator(), last).await.map_err(Failure::fault)? {
        export_chain(saas, chain).await?;
        last = Some(chain);
    }
    Ok(())
}

/// The rows that the chain's end counts now, and that end: what is sealed meanwhile is left to the next export.
async fn export_chain(saas: &Saas, chain: Chain) -> Result<(), Failure> {
    let head = saas.audit().head(&operator(), chain).await.map_err(Failure::fault)?;
    let count = head.as_ref().map_or(i64::MAX, |head| head.count);
    let mut last = None;
    loop {
        let rows = saas.audit().sealed(&operator(), chain, last, page()).await.map_err(Failure::fault)?;
        let placed = |row: &AuditRow| row.seal.as_ref().map(|seal| (seal.position, row.entry.id));
        let Some(newest) = rows.last().and_then(placed) else { break };
        last = Some(newest);
        let counted = |row: &&AuditRow| placed(row).is_some_and(|(position, _)| position <= count);
        for row in rows.iter().filter(counted) {
            output::line(&RowLine { row: row.into() })?;
        }
        if newest.0 >= count {
            break;
        }
    }
    if let Some(head) = &head {
        output::line(&HeadLine { head: head.into() })?;
    }
    Ok(())
}
