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
/// All sessions of a user were ended, or all but one; the reason says which.
pub const SESSIONS_ENDED: AuditAction = AuditAction::new("auth.sessions.ended");
/// A session switched to another tenant, and so is in this one no more.
pub const SESSION_LEFT: AuditAction = AuditAction::new("auth.session.left");
/// A session switched to this tenant.
pub const SESSION_ENTERED: AuditAction = AuditAction::new("auth.session.entered");
/// A password was compared, and nobody was signed in; the reason says why.
pub const SIGN_IN_REFUSED: AuditAction = AuditAction::new("auth.sign_in.refused");
/// A right password was hashed anew, with today's parameters and pepper.
pub const PASSWORD_REHASHED: AuditAction = AuditAction::new("auth.password.rehashed");
/// A right password was found among stolen ones.
pub const PASSWORD_COMPROMISED: AuditAction = AuditAction::new("auth.password.compromised");
/// Too many guesses at somebody's secret were wrong: nobody may guess at it for a while; the reason says which, or that it is until somebody
/// unlocks.
pub const ACCOUNT_LOCKED: AuditAction = AuditAction::new("auth.account.locked");
/// Somebody was unlocked; the reason says by what.
pub const ACCOUNT_UNLOCKED: AuditAction = AuditAction::new("auth.account.unlocked");
/// Passwords were wrong for many accounts, from one network or one password for all; the subject is a name for it that tells nothing.
pub const STUFFING_SUSPECTED: AuditAction = AuditAction::new("auth.stuffing.suspected");
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
    SESSION_LEFT,
    SESSION_ENTERED,
    SIGN_IN_REFUSED,
    PASSWORD_REHASHED,
    PASSWORD_COMPROMISED,
    ACCOUNT_LOCKED,
    ACCOUNT_UNLOCKED,
    STUFFING_SUSPECTED,
    SESSION_REAUTHENTICATED,
    FACTOR_BEGUN,
    FACTOR_ADDED,
    FACTOR_REMOVED,
    RECOVERY_CODES_REPLACED,
    RECOVERY_CODE_USED,
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
