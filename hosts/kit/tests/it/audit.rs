//! The audit log, through the product: what commands leave in it, and what somebody who writes to the database cannot hide.

pub(crate) mod commands;
mod keys;
mod passing;
mod sealing;
mod tampering;

use saas_core::{
    Actor, PageSize, TenantId,
    audit::{AuditFilter, AuditRow, Chain, Finding, Verified},
};
use saas_kit::{Saas, testing::TestSaas};

pub(crate) fn operator() -> Actor {
    Actor::system("test")
}

/// All rows of a chain, or of all of them, oldest first.
pub(crate) async fn rows(saas: &Saas, filter: &AuditFilter) -> Vec<AuditRow> {
    let (mut found, mut next) = (Vec::new(), None::<saas_core::Cursor>);
    loop {
        let page =
            saas.audit().list(&operator(), filter, next.as_ref(), PageSize::new(100).unwrap()).await.unwrap();
        found.extend(page.items);
        next = page.next;
        if next.is_none() {
            found.reverse();
            return found;
        }
    }
}

fn of(chain: Chain) -> AuditFilter {
    AuditFilter { chain: Some(chain), ..AuditFilter::default() }
}

/// Everything that is wrong with the log.
async fn verify(saas: &Saas) -> (Verified, Vec<Finding>) {
    let mut findings = Vec::new();
    let verified =
        saas.audit().verify(&operator(), None, &mut |finding| findings.push(finding.clone())).await;
    let verified = verified.unwrap();
    assert_eq!(verified.findings, findings.len() as u64);
    (verified, findings)
}

/// What is wrong, in short: chain by a name, position, what.
async fn findings(saas: &Saas) -> Vec<String> {
    let say = |it: &Finding| {
        let place = it.position.map(|position| format!(" at {position}")).unwrap_or_default();
        let row = if it.row.is_some() { "row" } else { "chain" };
        let chain = if it.chain == Chain::Platform { "platform" } else { "tenant" };
        format!("{chain}: {row}{place}: {}: {}", it.flaw.code(), it.flaw)
    };
    verify(saas).await.1.iter().map(say).collect()
}

/// A tenant whose chain has this many rows, sealed.
async fn with_chain(test: &TestSaas, email: &str, rows: usize) -> TenantId {
    let registered = test.register(email).await;
    let tenant = registered.tenant.id;
    // Registering leaves three.
    for _ in 3..rows {
        test.sign_in(email).await.unwrap();
    }
    test.saas.audit().seal().await.unwrap();
    let head = test.saas.audit().head(&operator(), Chain::Tenant(tenant)).await.unwrap().unwrap();
    assert_eq!(head.count, i64::try_from(rows).unwrap());
    tenant
}
