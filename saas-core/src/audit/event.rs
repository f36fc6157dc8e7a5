//! What a command says of itself.

use super::{AuditAction, AuditActor, AuditOutcome, AuditSubject, Chain};
use crate::TenantId;

/// What a command has to say: [`Audit::record`](super::Audit::record) makes a row of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditEvent {
    /// What was done.
    pub action: AuditAction,
    /// The chain that it belongs to.
    pub chain: Chain,
    /// To whom or what.
    pub subject: Option<AuditSubject>,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// Why, in one word of the program's.
    pub reason: Option<&'static str>,
    /// Who did it, where the actor was not known yet when it asked: who signs in.
    pub by: Option<AuditActor>,
}

impl AuditEvent {
    /// Something that was done, of no tenant and to nobody in particular.
    pub const fn new(action: AuditAction) -> Self {
        let (chain, outcome) = (Chain::Platform, AuditOutcome::Success);
        Self { action, chain, subject: None, outcome, reason: None, by: None }
    }

    /// In a tenant's chain, or in the platform's.
    #[must_use]
    pub fn in_tenant(self, tenant: impl Into<Option<TenantId>>) -> Self {
        Self { chain: Chain::from(tenant.into()), ..self }
    }

    /// Of nobody's, where anybody can have as many rows written as they like: it is kept for a time only ([`Audit::purge_passing`]).
    ///
    /// [`Audit::purge_passing`]: super::Audit::purge_passing
    #[must_use]
    pub fn passing(self) -> Self {
        Self { chain: Chain::Passing, ..self }
    }

    /// To whom or what.
    #[must_use]
    pub fn about(self, subject: impl Into<AuditSubject>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Why.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// It was refused, and why.
    #[must_use]
    pub fn refused(self, reason: &'static str) -> Self {
        Self { outcome: AuditOutcome::Failure, reason: Some(reason), ..self }
    }

    /// Who it turned out to be.
    #[must_use]
    pub fn by(self, actor: AuditActor) -> Self {
        Self { by: Some(actor), ..self }
    }
}
