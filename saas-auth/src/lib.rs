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
mod auth_methods;
mod challenge;
mod change_feed;
#[cfg(feature = "conformance")]
pub mod conformance;
mod device;
mod guess;
pub mod keys;
mod mail_token;
mod one_time_token;
pub mod password;
mod recovery_code;
mod refresh_token;
mod second_factor;
mod session;
mod session_cookie;
pub mod token;
mod totp;
mod user;

pub use auth::{
    AddedFactor, Auth, AuthConfig, AuthPorts, AuthenticateError, Authenticated, CommandError, ExamineSession,
    ExportAccountError, FactorProof, Freshness, Guess, GuessCount, InsertError, JudgePasswordError,
    JudgedPassword, Locked, LogoutError, MailedToken, NewSession, NewUser, OpenAuthError, OpenedSession,
    PasswordOwner, PrepareError, PreparedUser, Profile, RecoveryError, RecoveryRules, RefreshError,
    RefusedPassword, Registration, RevokeError, RotateKeysError, RotationReport, SecondFactorError,
    SecondFactorSignIn, SecondFactorState, SessionCredential, SessionsError, SignIn, SignInError,
    SignInEvent, SignInOutcome, SigningKeysError, StepUpError, StepUpProof, StepUpRequired, SwitchError,
    ThrottleRules, Tokens, TotpEnrolment, UsersError,
};
pub use auth_methods::{AuthMethod, AuthMethods};
pub use challenge::{Challenge, ChallengeId, ChallengeStore};
pub use change_feed::{Change, ChangeFeed, ChangeId, Changed};
pub use device::Device;
pub use guess::{
    DeviceId, DeviceToken, Forgiven, GuessId, GuessKeys, GuessKind, GuessRules, GuessStore, Guesses,
    InvalidDeviceToken, NewGuess, Reserved,
};
pub use mail_token::{InvalidMailToken, MailPurpose, MailToken, MailTokens};
pub use one_time_token::{OneTimeToken, OneTimeTokenId, OneTimeTokenStore, Undos};
pub use password::{
    Argon2id, Argon2idParams, BreachedAtSignIn, BreachedPasswords, CommonPasswords, HashError, Password,
    PasswordAdvice, PasswordHash, PasswordHasher, PasswordHistory, PasswordPolicy, PasswordTooLong,
    WeakPassword, WhenUnknown,
};
pub use recovery_code::{InvalidRecoveryCode, RecoveryCode};
pub use refresh_token::{InvalidRefreshToken, Lineage, RefreshKeys, RefreshToken};
pub use saas_core::{Keyring, KeyringError};
pub use second_factor::{Factor, SecondFactorPolicy, SecondFactorStore};
pub use session::{
    Family, PageStart, Reauthentication, Revocation, Rotated, Rotation, Session, SessionFilter, SessionPage,
    SessionStore, Snapshot, Touch,
};
pub use session_cookie::{InvalidSessionCookie, SessionCookie};
pub use totp::{InvalidTotpCode, TotpCode, TotpSeed};
pub use user::{Credentials, InsertUserError, User, UserStatus, UserStore};
