//! What tenancy writes into the audit log.

use saas_core::audit::AuditAction;

/// A tenant was founded.
pub const TENANT_CREATED: AuditAction = AuditAction::new("tenancy.tenant.created");
/// A user became a member; the reason says in which role.
pub const MEMBER_ADDED: AuditAction = AuditAction::new("tenancy.member.added");

/// A tenant was suspended; the reason says why.
pub const TENANT_SUSPENDED: AuditAction = AuditAction::new("tenancy.tenant.suspended");

/// All of them.
pub const ACTIONS: &[AuditAction] = &[TENANT_CREATED, MEMBER_ADDED, TENANT_SUSPENDED];
