//! Sign-in for a SaaS back end: users, Argon2id passwords, Ed25519 access tokens and rotating refresh tokens, behind one service.
//!
//! [`Auth`] is the one door: HTTP, the command line, jobs and embedders call the same methods. It stores through [`UserStore`] and
//! [`SessionStore`], hashes through [`PasswordHasher`], and asks [`Memberships`](saas_core::Memberships) who belongs to which tenant.
//! It serves no HTTP, reads no setting and starts no task; the crates `saas-auth-sql`, `saas-kit` and `saas-http` do.
//!
//! ```
//! use saas_auth::{Password, PasswordPolicy, RefreshToken};
//! use saas_core::Secret;
//!
//! let policy = PasswordPolicy::default();
//! let password = Password::new(&Secret::new("correct horse battery".to_owned()))?;
//! assert!(policy.check(&password).is_ok());
//! assert!(RefreshToken::parse("saas_rt_forged").is_err());
//! # Ok::<(), saas_auth::PasswordTooLong>(())
//! ```

pub mod audited;
mod auth;
mod change_feed;
#[cfg(feature = "conformance")]
pub mod conformance;
mod device;
pub mod keys;
mod mail_token;
mod one_time_token;
pub mod password;
mod refresh_token;
mod session;
pub mod token;
mod user;

pub use auth::{
    Auth, AuthConfig, AuthPorts, AuthenticateError, Authenticated, CommandError, ExportAccountError,
    Freshness, InsertError, JudgePasswordError, JudgedPassword, LogoutError, MailedToken, NewSession,
    OpenAuthError, OpenedSession, PasswordOwner, PrepareError, PreparedUser, Profile, RecoveryError,
    RecoveryRules, RefreshError, RefusedPassword, Registration, RevokeError, RotateKeysError, RotationReport,
    SessionsError, SignIn, SignInError, SigningKeysError, Tokens, UsersError,
};
pub use change_feed::{Change, ChangeFeed, ChangeId, Changed};
pub use device::Device;
pub use mail_token::{InvalidMailToken, MailPurpose, MailToken, MailTokens};
pub use one_time_token::{OneTimeToken, OneTimeTokenId, OneTimeTokenStore, Undos};
pub use password::{
    Argon2id, Argon2idParams, BreachedAtSignIn, BreachedPasswords, CommonPasswords, HashError, Password,
    PasswordAdvice, PasswordHash, PasswordHasher, PasswordHistory, PasswordPolicy, PasswordTooLong,
    WeakPassword, WhenUnknown,
};
pub use refresh_token::{InvalidRefreshToken, Lineage, RefreshKeys, RefreshToken};
pub use saas_core::{Keyring, KeyringError};
pub use session::{
    Family, PageStart, Revocation, Rotated, Rotation, Session, SessionFilter, SessionPage, SessionStore,
    Snapshot,
};
pub use user::{Credentials, InsertUserError, User, UserStatus, UserStore};
