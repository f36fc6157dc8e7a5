//! What auth writes into the audit log.

use saas_core::audit::AuditAction;

/// A user was registered.
pub const USER_CREATED: AuditAction = AuditAction::new("auth.user.created");
/// A user may not sign in any more, and their sessions ended.
pub const USER_DISABLED: AuditAction = AuditAction::new("auth.user.disabled");
/// A disabled user may sign in again.
pub const USER_ENABLED: AuditAction = AuditAction::new("auth.user.enabled");
/// A user was deleted, with their sessions and tokens.
pub const USER_DELETED: AuditAction = AuditAction::new("auth.user.deleted");
/// Everything that is held of a user was written out, for who asked.
pub const USER_EXPORTED: AuditAction = AuditAction::new("auth.user.exported");
/// Somebody signed in, or registered.
pub const SESSION_OPENED: AuditAction = AuditAction::new("auth.session.opened");
/// One session was ended; the reason says how.
pub const SESSION_ENDED: AuditAction = AuditAction::new("auth.session.ended");
/// All sessions of a user were ended.
pub const SESSIONS_ENDED: AuditAction = AuditAction::new("auth.sessions.ended");
/// A password was compared, and nobody was signed in; the reason says why.
pub const SIGN_IN_REFUSED: AuditAction = AuditAction::new("auth.sign_in.refused");
/// A right password was hashed anew, with today's parameters and pepper.
pub const PASSWORD_REHASHED: AuditAction = AuditAction::new("auth.password.rehashed");
/// A right password was found among stolen ones.
pub const PASSWORD_COMPROMISED: AuditAction = AuditAction::new("auth.password.compromised");
/// A refresh token was used again, and its session ended: somebody holds a copy.
pub const REFRESH_TOKEN_REUSED: AuditAction = AuditAction::new("auth.refresh_token.reused");
/// A step of a rotation of the signing keys was made; the reason says which.
pub const SIGNING_KEYS_ROTATED: AuditAction = AuditAction::new("auth.signing_keys.rotated");

/// A user proved that their address is theirs.
pub const EMAIL_VERIFIED: AuditAction = AuditAction::new("auth.email.verified");
/// A mail that proves an address was asked for; about nobody where nobody is to have one.
pub const EMAIL_VERIFICATION_REQUESTED: AuditAction = AuditAction::new("auth.email.verification_requested");
/// A user asked for another address; it is not theirs yet.
pub const EMAIL_CHANGE_REQUESTED: AuditAction = AuditAction::new("auth.email.change_requested");
/// A user has another address.
pub const EMAIL_CHANGED: AuditAction = AuditAction::new("auth.email.changed");
/// A user took their old address back, and lost password and sessions.
pub const EMAIL_CHANGE_UNDONE: AuditAction = AuditAction::new("auth.email.change_undone");
/// A mail that resets a password was asked for; about nobody where nobody is to have one. The reason says who asked.
pub const PASSWORD_RESET_REQUESTED: AuditAction = AuditAction::new("auth.password.reset_requested");
/// A user has another password, by a mailed token.
pub const PASSWORD_RESET: AuditAction = AuditAction::new("auth.password.reset");
/// A user changed their password, knowing the one before.
pub const PASSWORD_CHANGED: AuditAction = AuditAction::new("auth.password.changed");
/// A signed-in user was asked for their password, and typed another one; the reason says for what.
pub const PASSWORD_REFUSED: AuditAction = AuditAction::new("auth.password.refused");
/// Somebody registered with an address that a user has.
pub const REGISTRATION_REPEATED: AuditAction = AuditAction::new("auth.registration.repeated");

/// All of them.
pub const ACTIONS: &[AuditAction] = &[
    USER_CREATED,
    USER_DISABLED,
    USER_ENABLED,
    USER_DELETED,
    USER_EXPORTED,
    SESSION_OPENED,
    SESSION_ENDED,
    SESSIONS_ENDED,
    SIGN_IN_REFUSED,
    PASSWORD_REHASHED,
    PASSWORD_COMPROMISED,
    REFRESH_TOKEN_REUSED,
    SIGNING_KEYS_ROTATED,
    EMAIL_VERIFIED,
    EMAIL_VERIFICATION_REQUESTED,
    EMAIL_CHANGE_REQUESTED,
    EMAIL_CHANGED,
    EMAIL_CHANGE_UNDONE,
    PASSWORD_RESET_REQUESTED,
    PASSWORD_RESET,
    PASSWORD_CHANGED,
    PASSWORD_REFUSED,
    REGISTRATION_REPEATED,
];
