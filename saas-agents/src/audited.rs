//! What agents write into the audit log. Asking an agent is not in it: the run is what is kept of that.

use saas_core::audit::AuditAction;

/// A conversation was named, or its name taken away.
pub const CONVERSATION_RENAMED: AuditAction = AuditAction::new("agents.conversation.renamed");
/// A conversation was removed, with all that was said in it.
pub const CONVERSATION_REMOVED: AuditAction = AuditAction::new("agents.conversation.removed");
/// A run was told to stop.
pub const RUN_CANCELLED: AuditAction = AuditAction::new("agents.run.cancelled");

/// All of them.
pub const ACTIONS: &[AuditAction] = &[CONVERSATION_RENAMED, CONVERSATION_REMOVED, RUN_CANCELLED];
