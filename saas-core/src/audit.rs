//! The audit log: who did what to whom, written in the transaction that did it, and chained afterwards so that nobody changes it unseen.
//!
//! A command [records](Audit::record) a row in its own transaction: there with what it did or not at all, and nothing that commands of one
//! tenant could wait for each other by. [`Audit::seal`], which the kit calls twice a second, gives the new rows of each tenant their places in
//! the tenant's chain. [`Audit::verify`] finds and names what was changed, removed or put in since. What that protects against, and what not,
//! is in `docs/audit.md`.
//!
//! A row holds ids and words of the program: no secret, no address of a person or a machine, nothing that somebody typed.

mod action;
mod audit_log;
mod chain;
mod event;
mod export;
mod operator;
mod purge;
mod seal;
mod secrets;
mod service;
mod verify;

pub use action::{AuditAction, AuditActor, AuditOutcome, AuditSubject, InvalidAuditWord};
pub use audit_log::{AuditEntry, AuditFilter, AuditLog, AuditRow, Chain, Head, Seal};
pub use event::AuditEvent;
pub use operator::AuditError;
pub use purge::{PurgeError, Purged};
pub use seal::SealRound;
pub use secrets::ReplaceSecretError;
pub use service::Audit;
pub use verify::{Finding, Flaw, Verified};

crate::id! {
    /// A row of the audit log.
    pub AuditId
}

/// The first row of a tenant's chain was sealed; in the platform's chain, so that a chain that is gone whole is missed.
pub const CHAIN_BEGUN: AuditAction = AuditAction::new("audit.chain.begun");
/// A tenant's chain was removed.
pub const CHAIN_PURGED: AuditAction = AuditAction::new("audit.chain.purged");
/// A migration was applied.
pub const MIGRATED: AuditAction = AuditAction::new("storage.schema.migrated");
/// A dead job is tried again.
pub const JOB_RETRIED: AuditAction = AuditAction::new("jobs.job.retried");
/// A job was removed undone.
pub const JOB_CANCELLED: AuditAction = AuditAction::new("jobs.job.cancelled");
/// A data key was added, which personal data comes under.
pub const DATA_KEYS_ROTATED: AuditAction = AuditAction::new("secrets.data_keys.rotated");
/// Personal data is brought under the active data key: in the transaction of the first values.
pub const VALUES_REENCRYPTED: AuditAction = AuditAction::new("secrets.values.reencrypted");

/// The actions of this crate's own.
pub const ACTIONS: &[AuditAction] =
    &[CHAIN_BEGUN, CHAIN_PURGED, MIGRATED, JOB_RETRIED, JOB_CANCELLED, DATA_KEYS_ROTATED, VALUES_REENCRYPTED];
