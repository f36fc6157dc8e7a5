//! What auth writes into the audit log.

use saas_core::audit::AuditAction;

/// A user was registered.
pub const USER_CREATED: AuditAction = AuditAction::new("auth.user.created");
/// A user may not sign in any more, and their sessions ended.
pub const USER_DISABLED: AuditAction = AuditAction::new("auth.user.disabled");
/// A disabled user may sign in again.
pub const USER_ENABLED: AuditAction = AuditAction::new("auth.user.enabled");
/// Somebody signed in, or registered.
pub const SESSION_OPENED: AuditAction = AuditAction::new("auth.session.opened");
/// One session was ended; the reason says how.
pub const SESSION_ENDED: AuditAction = AuditAction::new("auth.session.ended");
/// All sessions of a user were ended.
pub const SESSIONS_ENDED: AuditAction = AuditAction::new("auth.sessions.ended");
/// A password was compared, and nobody was signed in; the reason says why.
pub const SIGN_IN_REFUSED: AuditAction = AuditAction::new("auth.sign_in.refused");
/// Somebody proved again who they are within a session, or tried to.
pub const SESSION_REAUTHENTICATED: AuditAction = AuditAction::new("auth.session.reauthenticated");
/// Somebody began to set up an authenticator app; it counts for nothing yet.
pub const FACTOR_BEGUN: AuditAction = AuditAction::new("auth.second_factor.begun");
/// An authenticator app was added: signing in asks for its code from now on.
pub const FACTOR_ADDED: AuditAction = AuditAction::new("auth.second_factor.added");
/// An authenticator app was removed, and the recovery codes with it.
pub const FACTOR_REMOVED: AuditAction = AuditAction::new("auth.second_factor.removed");
/// New recovery codes took the place of the old ones.
pub const RECOVERY_CODES_REPLACED: AuditAction = AuditAction::new("auth.recovery_codes.replaced");
/// A recovery code was used in the place of an authenticator app.
pub const RECOVERY_CODE_USED: AuditAction = AuditAction::new("auth.recovery_code.used");
/// A refresh token was used again, and its session ended: somebody holds a copy.
pub const REFRESH_TOKEN_REUSED: AuditAction = AuditAction::new("auth.refresh_token.reused");
/// A step of a rotation of the signing keys was made; the reason says which.
pub const SIGNING_KEYS_ROTATED: AuditAction = AuditAction::new("auth.signing_keys.rotated");

/// All of them.
pub const ACTIONS: &[AuditAction] = &[
    USER_CREATED,
    USER_DISABLED,
    USER_ENABLED,
    SESSION_OPENED,
    SESSION_ENDED,
    SESSIONS_ENDED,
    SIGN_IN_REFUSED,
    SESSION_REAUTHENTICATED,
    FACTOR_BEGUN,
    FACTOR_ADDED,
    FACTOR_REMOVED,
    RECOVERY_CODES_REPLACED,
    RECOVERY_CODE_USED,
    REFRESH_TOKEN_REUSED,
    SIGNING_KEYS_ROTATED,
];
