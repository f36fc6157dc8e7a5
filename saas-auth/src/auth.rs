//! The service.

use std::{sync::Arc, time::Duration};

use saas_core::{
    Audit, Clock, Entropy, FieldCipher, Memberships, SecretStore, Storage, clock::stored_now, jobs::Jobs,
};

use crate::{
    BreachedPasswords, ChangeFeed, Keyring, KeyringError, MailTokens, OneTimeTokenStore, PasswordHasher,
    PasswordHistory, PasswordPolicy, RefreshKeys, SessionStore, UserStore,
    keys::{KeySet, KeySetError},
    token::{AccessTokenRules, AccessTokens},
};

mod authenticate;
mod changes;
mod decisions;
mod deletion;
mod export;
mod keys;
mod measures;
mod open_session;
mod passwords;
mod recovery;
mod refresh;
mod registration;
mod renewal;
mod sessions;
mod sign_in;
mod users;
mod view;

pub use authenticate::{AuthenticateError, Authenticated, Freshness};
pub use export::ExportAccountError;
pub use keys::{RotateKeysError, RotationReport, SigningKeysError};
pub use open_session::{NewSession, OpenedSession, Tokens};
pub use passwords::{JudgePasswordError, JudgedPassword, PasswordOwner, RefusedPassword};
pub use recovery::{MailedToken, RecoveryError, RecoveryRules};
pub use refresh::RefreshError;
pub use registration::{InsertError, PrepareError, PreparedUser, Registration};
pub use sessions::{LogoutError, RevokeError, SessionsError};
pub use sign_in::{SignIn, SignInError};
pub use users::{CommandError, Profile, UsersError};

/// What auth works with.
#[derive(Debug, Clone)]
pub struct AuthPorts {
    /// Where transactions come from.
    pub storage: Arc<dyn Storage>,
    /// Where users are.
    pub users: Arc<dyn UserStore>,
    /// Where sessions are.
    pub sessions: Arc<dyn SessionStore>,
    /// Where one-time tokens are.
    pub one_time_tokens: Arc<dyn OneTimeTokenStore>,
    /// Who belongs to which tenant.
    pub memberships: Arc<dyn Memberships>,
    /// How other processes hear of changes; call [`Auth::hear_changes`] every second.
    pub changes: Arc<dyn ChangeFeed>,
    /// Where what was done is written down.
    pub audit: Audit,
    /// What hashes passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Who knows which passwords were stolen somewhere.
    pub breached: Arc<dyn BreachedPasswords>,
    /// Where the passwords are that users had before.
    pub history: Arc<dyn PasswordHistory>,
    /// What encrypts personal data at rest; call [`FieldCipher::reload`] every [`FieldCipher::RELOAD_INTERVAL`].
    pub fields: Arc<FieldCipher>,
    /// Where keys are.
    pub secrets: Arc<dyn SecretStore>,
    /// Where the mails that are to be sent are left; without it nobody is mailed.
    pub jobs: Option<Jobs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// How auth behaves.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// What access tokens have in common.
    pub tokens: AccessTokenRules,
    /// How long a session lives without being refreshed.
    pub idle_lifetime: Duration,
    /// How long a session lives at most.
    pub absolute_lifetime: Duration,
    /// How long a refresh token that was just replaced still gets its successor again; at most a minute.
    pub refresh_grace: Duration,
    /// How old what a request is decided by may be, 5 s at most; zero asks the storage each time. A change in this process counts at once
    /// whatever this says, one in another process as soon as [`Auth::hear_changes`] reads it.
    pub decision_max_age: Duration,
    /// What new passwords must be, and what becomes of known ones.
    pub password_policy: PasswordPolicy,
    /// How addresses are proved, and passwords set anew.
    pub recovery: RecoveryRules,
    /// How long a signing key is published before it signs: how long others may cache the JWKS, and [`KeySet::RELOAD_SLACK`]. Less than
    /// [`KeySet::MIN_PUBLISH_DELAY`] counts as that.
    pub key_publish_delay: Duration,
}

impl AuthConfig {
    /// The product's defaults: a session ends after 30 days without use and after 90 in any case, a replaced refresh token is forgiven
    /// for 10 s, a request is decided by what was true 5 s ago at the latest, a new password has 15 characters, others may cache the JWKS for 5 minutes.
    pub fn new(tokens: AccessTokenRules) -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Self {
            tokens,
            idle_lifetime: days(30),
            absolute_lifetime: days(90),
            refresh_grace: Duration::from_secs(10),
            decision_max_age: Duration::from_secs(5),
            password_policy: PasswordPolicy::default(),
            recovery: RecoveryRules::default(),
            key_publish_delay: Duration::from_mins(5) + KeySet::RELOAD_SLACK,
        }
    }
}

/// The longest that anybody is let in by what is no longer true.
const MAX_DECISION_AGE: Duration = Duration::from_secs(5);

/// Users, sign-in, sessions and tokens.
///
/// Every method takes an [`Actor`](saas_core::Actor) first and decides itself what that actor may do. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Auth {
    ports: AuthPorts,
    config: AuthConfig,
    tokens: Arc<AccessTokens>,
    refresh_keys: RefreshKeys,
    mail_tokens: MailTokens,
    quotas: Arc<recovery::Quotas>,
    unknown_keys: Arc<keys::Throttle>,
    decisions: Arc<decisions::Decisions>,
    heard: Arc<changes::Heard>,
    measures: Arc<measures::Measures>,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenAuthError {
    /// A keyring could not be loaded or made.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The signing keys could not be loaded or made.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl Auth {
    /// Loads the keys, making them where there are none yet.
    pub async fn open(ports: AuthPorts, config: AuthConfig) -> Result<Self, OpenAuthError> {
        let (secrets, clock, entropy) = (&*ports.secrets, &ports.clock, &ports.entropy);
        let masters = Keyring::load_or_create(secrets, crate::refresh_token::MASTERS, &**entropy).await?;
        let mailed = Keyring::load_or_create(secrets, crate::mail_token::MASTERS, &**entropy).await?;
        let keys = KeySet::load_or_create(secrets, &**clock, &**entropy).await?;
        let tokens = AccessTokens::new(config.tokens.clone(), keys, Arc::clone(clock), Arc::clone(entropy));
        let decisions = decisions::Decisions::new(config.decision_max_age.min(MAX_DECISION_AGE));
        Ok(Self {
            ports,
            config,
            tokens: Arc::new(tokens),
            refresh_keys: RefreshKeys::new(masters),
            mail_tokens: MailTokens::new(mailed),
            quotas: Arc::default(),
            unknown_keys: Arc::default(),
            decisions: Arc::new(decisions),
            heard: Arc::default(),
            measures: Arc::new(measures::Measures::new()),
        })
    }

    /// The access tokens, for whoever verifies them without a session and for the published keys.
    pub fn access_tokens(&self) -> &AccessTokens {
        &self.tokens
    }

    /// What makes the tokens that go by mail.
    pub const fn mail_tokens(&self) -> &MailTokens {
        &self.mail_tokens
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        stored_now(&*self.ports.clock)
    }
}
