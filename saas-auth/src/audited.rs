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
/// Too many guesses at somebody's secret were wrong: nobody may guess at it for a while; the reason says which, or that it is until somebody
/// unlocks.
pub const ACCOUNT_LOCKED: AuditAction = AuditAction::new("auth.account.locked");
/// Somebody was unlocked; the reason says by what.
pub const ACCOUNT_UNLOCKED: AuditAction = AuditAction::new("auth.account.unlocked");
/// Passwords were wrong for many accounts, from one network or one password for all; the subject is a name for it that tells nothing.
pub const STUFFING_SUSPECTED: AuditAction = AuditAction::new("auth.stuffing.suspected");
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
    ACCOUNT_LOCKED,
    ACCOUNT_UNLOCKED,
    STUFFING_SUSPECTED,
    REFRESH_TOKEN_REUSED,
    SIGNING_KEYS_ROTATED,
];
