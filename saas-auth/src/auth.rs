//! The service.

use std::{sync::Arc, time::Duration};

use saas_core::{
    Audit, Clock, Entropy, FieldCipher, Memberships, RateLimits, SecretStore, Storage, clock::stored_now,
    jobs::Jobs,
};

use crate::{
    BreachedPasswords, ChallengeStore, ChangeFeed, GuessKeys, GuessRules, GuessStore, Keyring, KeyringError,
    MailTokens, OneTimeTokenStore, PasswordHasher, PasswordHistory, PasswordPolicy, RefreshKeys,
    SecondFactorPolicy, SecondFactorStore, SessionStore, UserStore,
    challenge::SecondFactorKeys,
    keys::{KeySet, KeySetError},
    token::{AccessTokenRules, AccessTokens},
};

mod authenticate;
mod changes;
mod cookies;
mod decisions;
mod deletion;
mod examine;
mod export;
mod guesses;
mod keys;
mod measures;
mod network;
mod open_session;
mod passwords;
mod recovery;
mod refresh;
mod registration;
mod renewal;
mod second_factor;
mod sessions;
mod sign_in;
mod sign_ins;
mod step_up;
mod switch;
mod users;
mod view;

pub use authenticate::{AuthenticateError, Authenticated, Freshness};
pub use examine::ExamineSession;
pub use export::ExportAccountError;
pub use guesses::{Guess, GuessCount, Locked};
pub use keys::{RotateKeysError, RotationReport, SigningKeysError};
pub use open_session::{NewSession, OpenedSession, Tokens};
pub use passwords::{JudgePasswordError, JudgedPassword, PasswordOwner, RefusedPassword};
pub use recovery::{MailedToken, RecoveryError, RecoveryRules};
pub use refresh::RefreshError;
pub use registration::{InsertError, NewUser, PrepareError, PreparedUser, Registration};
pub use second_factor::{AddedFactor, SecondFactorError, SecondFactorState, TotpEnrolment};
pub use sessions::{LogoutError, RevokeError, SessionsError};
pub use sign_in::{FactorProof, SecondFactorSignIn, SignIn, SignInError, ThrottleRules};
pub use sign_ins::{SignInEvent, SignInOutcome};
pub use step_up::{StepUpError, StepUpProof, StepUpRequired};
pub use switch::{SessionCredential, SwitchError};
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
    /// Where second factors are.
    pub second_factors: Arc<dyn SecondFactorStore>,
    /// Where those are who have shown their password and not yet their second factor.
    pub challenges: Arc<dyn ChallengeStore>,
    /// Who belongs to which tenant.
    pub memberships: Arc<dyn Memberships>,
    /// How other processes hear of changes; call [`Auth::hear_changes`] every second.
    pub changes: Arc<dyn ChangeFeed>,
    /// Where guesses are counted.
    pub guesses: Arc<dyn GuessStore>,
    /// How often a network may guess, and how often mails may be asked for.
    pub limits: RateLimits,
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
    /// Who has to have a second factor.
    pub second_factor: SecondFactorPolicy,
    /// What authenticator apps call the product.
    pub totp_issuer: String,
    /// How long ago a user may have proved who they are for what is sensitive; else they prove it again ([`Auth::step_up`]).
    pub step_up_max_age: Duration,
    /// How addresses are proved, and passwords set anew.
    pub recovery: RecoveryRules,
    /// Whether somebody does [`ExamineSession`] for where sessions are opened.
    pub locate_sessions: bool,
    /// Whether whoever signs in from a device or a country that none of their sessions is of is told by mail. It takes [`ExamineSession`], too.
    pub mail_new_sign_ins: bool,
    /// How many wrong guesses lock, and for how long.
    pub guesses: GuessRules,
    /// How many a network may make.
    pub throttle: ThrottleRules,
    /// How long a device that somebody has signed in on has guesses of its own.
    pub device_token_lifetime: Duration,
    /// How long a signing key is published before it signs: how long others may cache the JWKS, and [`KeySet::RELOAD_SLACK`]. Less than
    /// [`KeySet::MIN_PUBLISH_DELAY`] counts as that.
    pub key_publish_delay: Duration,
}

impl AuthConfig {
    /// The product's defaults: a session ends after 30 days without use and after 90 in any case, a replaced refresh token is forgiven
    /// for 10 s, a request is decided by what was true 5 s ago at the latest, a new password has 15 characters, nobody has to have a second factor,
    /// what is sensitive takes somebody who proved who they are 10 minutes ago at the latest, others may cache the JWKS for 5 minutes.
    pub fn new(tokens: AccessTokenRules) -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Self {
            tokens,
            idle_lifetime: days(30),
            absolute_lifetime: days(90),
            refresh_grace: Duration::from_secs(10),
            decision_max_age: Duration::from_secs(5),
            password_policy: PasswordPolicy::default(),
            second_factor: SecondFactorPolicy::default(),
            totp_issuer: "SaaS".to_owned(),
            step_up_max_age: Duration::from_mins(10),
            recovery: RecoveryRules::default(),
            locate_sessions: false,
            mail_new_sign_ins: false,
            guesses: GuessRules::default(),
            throttle: ThrottleRules::default(),
            device_token_lifetime: days(180),
            key_publish_delay: Duration::from_mins(5) + KeySet::RELOAD_SLACK,
        }
    }
}

/// The keyring's name among the secrets that guesses are counted under.
const GUESS_KEYS: &str = "auth.guess_keys";

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
    second_factor_keys: SecondFactorKeys,
    guess_keys: GuessKeys,
    owed: Arc<guesses::Owed>,
    unknown_keys: Arc<keys::Throttle>,
    decisions: Arc<decisions::Decisions>,
    touched: Arc<cookies::Touched>,
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
        let second_factor_keys = Keyring::load_or_create(secrets, SecondFactorKeys::NAME, &**entropy).await?;
        let guess_keys = Keyring::load_or_create(secrets, GUESS_KEYS, &**entropy).await?;
        let keys = KeySet::load_or_create(secrets, &**clock, &**entropy).await?;
        let tokens = AccessTokens::new(config.tokens.clone(), keys, Arc::clone(clock), Arc::clone(entropy));
        let decisions = decisions::Decisions::new(config.decision_max_age.min(MAX_DECISION_AGE));
        Ok(Self {
            ports,
            config,
            tokens: Arc::new(tokens),
            refresh_keys: RefreshKeys::new(masters),
            mail_tokens: MailTokens::new(mailed),
            second_factor_keys: SecondFactorKeys::new(second_factor_keys),
            guess_keys: GuessKeys::new(guess_keys),
            owed: Arc::default(),
            unknown_keys: Arc::default(),
            decisions: Arc::new(decisions),
            touched: Arc::default(),
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
