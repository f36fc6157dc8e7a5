//! Taking settings and ports, and judging them before anything is touched.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use saas_agents::{AgentsConfig, ChatModel, ConversationStore, ModelName, Models, RunStore};
use saas_auth::{
    AuthConfig, BreachedPasswords, ChallengeStore, GuessRules, GuessStore, OneTimeTokenStore, PasswordHasher,
    PasswordHistory, RecoveryRules, SecondFactorPolicy, SecondFactorStore, SessionStore, ThrottleRules,
    UserStore,
    keys::KeySet,
    password::Argon2idParams,
    token::{AccessTokenRules, InvalidRules},
};
use saas_core::{
    AuditLog, Background, Clock, Entropy, EventLog, GeoLocator, Mailer, RateLimiter, SecretStore,
    entropy::SystemEntropy,
    jobs::{Job, JobStore},
};
use saas_sql::{InvalidDatabaseUrl, RootKey, SqlOptions, SqlStorage, Synchronous};
use saas_tenancy::{MembershipStore, SignupPolicy, TenancyConfig, TenantStore};

use crate::{
    Blueprint, SystemClock, breached, geo,
    jobs::{JobHandler, Schedule},
    mail,
    ports::Ports,
    settings::{DatabaseUrl, MailTransport, SecondFactor, Settings, SignupAccessPolicy, SqliteSynchronous},
};

/// Takes settings and any port that you bring; the rest is filled from the settings.
#[derive(Debug)]
pub struct SaasBuilder {
    settings: Settings,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    storage: Option<SqlStorage>,
    root_key: Option<RootKey>,
    ports: Ports,
}

/// Settings and ports that do not fit each other: every problem at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct BuildError {
    /// One sentence each, with the fix.
    pub problems: Vec<String>,
}

impl SaasBuilder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, clock: None, entropy: None, storage: None, root_key: None, ports: Ports::default() }
    }

    /// Your clock instead of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Your randomness instead of the operating system's.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Your pools instead of `DATABASE_URL`; migrations run on them too.
    #[must_use]
    pub fn storage(mut self, storage: SqlStorage) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Your root key instead of `ROOT_KEY` or a generated one.
    #[must_use]
    pub fn root_key(mut self, key: RootKey) -> Self {
        self.root_key = Some(key);
        self
    }

    /// Your password hasher instead of Argon2id behind a bounded pool.
    #[must_use]
    pub fn password_hasher(mut self, hasher: Arc<dyn PasswordHasher>) -> Self {
        self.ports.hasher = Some(hasher);
        self
    }

    /// Your list of stolen passwords instead of what `BREACHED_PASSWORDS` says.
    #[must_use]
    pub fn breached_passwords(mut self, breached: Arc<dyn BreachedPasswords>) -> Self {
        self.ports.breached = Some(breached);
        self
    }

    /// Who says where sessions are opened, instead of what `GEOIP_PROVIDER` says.
    #[must_use]
    pub fn geo_locator(mut self, locator: Arc<dyn GeoLocator>) -> Self {
        self.ports.geo = Some(locator);
        self
    }

    /// Your store of former passwords, on connections of the product's storage.
    #[must_use]
    pub fn password_history(mut self, history: Arc<dyn PasswordHistory>) -> Self {
        self.ports.history = Some(history);
        self
    }

    /// Your chat model instead of OpenAI's or the scripted one.
    #[must_use]
    pub fn chat_model(mut self, model: Arc<dyn ChatModel>) -> Self {
        self.ports.chat_model = Some(model);
        self
    }

    /// Your store of the product's own secrets instead of the database, sealed under the root key. No root key is needed then.
    #[must_use]
    pub fn secret_store(mut self, secrets: Arc<dyn SecretStore>) -> Self {
        self.ports.secrets = Some(secrets);
        self
    }

    /// Your store of jobs, on connections of the product's storage.
    #[must_use]
    pub fn job_store(mut self, jobs: Arc<dyn JobStore>) -> Self {
        self.ports.jobs = Some(jobs);
        self
    }

    /// Your mailer instead of what `MAIL_TRANSPORT` says.
    #[must_use]
    pub fn mailer(mut self, mailer: Arc<dyn Mailer>) -> Self {
        self.ports.mailer = Some(mailer);
        self
    }

    /// Your audit log, on connections of the product's storage.
    #[must_use]
    pub fn audit_log(mut self, audit: Arc<dyn AuditLog>) -> Self {
        self.ports.audit = Some(audit);
        self
    }

    /// Your store of guesses, on connections of the product's storage.
    #[must_use]
    pub fn guess_store(mut self, guesses: Arc<dyn GuessStore>) -> Self {
        self.ports.guesses = Some(guesses);
        self
    }

    /// Your counting of quotas instead of that in the process, which each process does for itself.
    #[must_use]
    pub fn rate_limiter(mut self, limiter: Arc<dyn RateLimiter>) -> Self {
        self.ports.limiter = Some(limiter);
        self
    }

    /// What does jobs of your own kind, `at_once` of them at a time in a process. A second handler of a kind replaces the first.
    #[must_use]
    pub fn job_handler<J: Job>(mut self, at_once: usize, handler: impl JobHandler<J>) -> Self {
        self.ports.handlers.add(handler, at_once);
        self
    }

    /// A job that is enqueued again and again: the first time at once, then each time `every` has passed, a minute later at most, by one of
    /// all processes. While the last one is not done, none is added. `name` is unique among a program's schedules.
    #[must_use]
    pub fn periodic<J: Job + Sync>(mut self, name: &'static str, every: Duration, job: J) -> Self {
        self.ports.schedules.push(Schedule::new(name, every, job));
        self
    }

    /// Your event log instead of the database. A loop that it needs goes to [`SaasBuilder::background`].
    #[must_use]
    pub fn event_log(mut self, events: Arc<dyn EventLog>) -> Self {
        self.ports.events = Some(events);
        self
    }

    /// Your store of users. It works on connections of the product's storage, and other tables refer to `saas_users`.
    #[must_use]
    pub fn user_store(mut self, users: Arc<dyn UserStore>) -> Self {
        self.ports.users = Some(users);
        self
    }

    /// Your store of sessions, on connections of the product's storage.
    #[must_use]
    pub fn session_store(mut self, sessions: Arc<dyn SessionStore>) -> Self {
        self.ports.sessions = Some(sessions);
        self
    }

    /// Your store of one-time tokens, on connections of the product's storage.
    #[must_use]
    pub fn one_time_token_store(mut self, tokens: Arc<dyn OneTimeTokenStore>) -> Self {
        self.ports.one_time_tokens = Some(tokens);
        self
    }

    /// Your store of second factors, on connections of the product's storage.
    #[must_use]
    pub fn second_factor_store(mut self, second_factors: Arc<dyn SecondFactorStore>) -> Self {
        self.ports.second_factors = Some(second_factors);
        self
    }

    /// Your store of challenges, on connections of the product's storage.
    #[must_use]
    pub fn challenge_store(mut self, challenges: Arc<dyn ChallengeStore>) -> Self {
        self.ports.challenges = Some(challenges);
        self
    }

    /// Your store of tenants, on connections of the product's storage.
    #[must_use]
    pub fn tenant_store(mut self, tenants: Arc<dyn TenantStore>) -> Self {
        self.ports.tenants = Some(tenants);
        self
    }

    /// Your store of memberships, on connections of the product's storage; auth asks it who belongs where.
    #[must_use]
    pub fn membership_store(mut self, memberships: Arc<dyn MembershipStore>) -> Self {
        self.ports.memberships = Some(memberships);
        self
    }

    /// Your store of conversations, on connections of the product's storage.
    #[must_use]
    pub fn conversation_store(mut self, conversations: Arc<dyn ConversationStore>) -> Self {
        self.ports.conversations = Some(conversations);
        self
    }

    /// Your store of runs, on connections of the product's storage.
    #[must_use]
    pub fn run_store(mut self, runs: Arc<dyn RunStore>) -> Self {
        self.ports.runs = Some(runs);
        self
    }

    /// A loop that one of your ports needs: [`Saas::run_workers`](crate::Saas::run_workers) drives it.
    #[must_use]
    pub fn background(mut self, background: Background) -> Self {
        self.ports.backgrounds.get_mut().unwrap_or_else(PoisonError::into_inner).push(background);
        self
    }

    /// Judges it all, without any I/O.
    pub fn build(self) -> Result<Blueprint, BuildError> {
        let mut problems = Vec::new();
        let settings = self.settings;
        let database = options(&settings, &settings.database_url)
            .map_err(|error| problems.push(format!("DATABASE_URL: {error}")))
            .ok();
        let migration = settings.migration_database_url.as_ref().and_then(|url| {
            options(&settings, url)
                .map_err(|error| problems.push(format!("MIGRATION_DATABASE_URL: {error}")))
                .ok()
        });
        let auth = auth_config(&settings).map_err(|error| problems.push(error.to_string())).ok();
        #[cfg(feature = "openai")]
        let openai = crate::openai::config(&settings)
            .map_err(|error| problems.push(format!("OPENAI_API_KEY, OPENAI_BASE_URL: {error}")))
            .ok()
            .flatten();
        #[cfg(not(feature = "openai"))]
        if settings.openai_api_key.is_some() && self.ports.chat_model.is_none() {
            problems.push("OPENAI_API_KEY: this build has no openai support: build with its feature `openai`, or unset it".to_owned());
        }
        let letters = mail::letters(&settings).map_err(|problem| problems.push(problem)).ok();
        let transport = match self.ports.mailer.clone() {
            Some(mailer) => Some(mail::Transport::Own(mailer)),
            None => mail::Transport::of(&settings).map_err(|problem| problems.push(problem)).ok(),
        };
        let breached = match self.ports.breached.clone() {
            Some(breached) => Some(breached::List::Own(breached)),
            None => breached::List::of(&settings).map_err(|problem| problems.push(problem)).ok(),
        };
        let geo = match self.ports.geo.clone() {
            Some(locator) => Some(geo::Source::Own(locator)),
            None => geo::Source::of(&settings).map_err(|problem| problems.push(problem)).ok(),
        };
        let (Some(database), Some(mut auth), Some(letters), Some(transport), Some(breached), Some(geo), true) =
            (database, auth, letters, transport, breached, geo, problems.is_empty())
        else {
            return Err(BuildError { problems });
        };
        auth.locate_sessions = !geo.is_none();
        let scripted = settings.openai_api_key.is_none() && self.ports.chat_model.is_none();
        let models = if scripted { Models::all(&ModelName::new("scripted")) } else { models(&settings) };
        let tenancy = TenancyConfig { signup: signup(settings.signup_access_policy) };
        let hashing = Argon2idParams {
            memory_kib: settings.password_hash_memory_kib,
            iterations: settings.password_hash_iterations,
            parallelism: 1,
        };
        let root_key = self
            .root_key
            .or_else(|| settings.root_key.as_ref().and_then(|key| RootKey::new(key.expose()).ok()));
        Ok(Blueprint {
            root_key,
            database,
            migration,
            auth,
            tenancy,
            hashing,
            ports: self.ports,
            letters,
            transport,
            breached,
            geo,
            #[cfg(feature = "openai")]
            openai,
            agents: AgentsConfig::new(models).with_verified_email(settings.require_email_verification),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::default())),
            entropy: self.entropy.unwrap_or_else(|| Arc::new(SystemEntropy)),
            storage: self.storage.map_or_else(tokio::sync::OnceCell::new, |storage| {
                tokio::sync::OnceCell::new_with(Some(storage))
            }),
            settings: Arc::new(settings),
        })
    }
}

fn options(settings: &Settings, url: &DatabaseUrl) -> Result<SqlOptions, InvalidDatabaseUrl> {
    let mut options = SqlOptions::new(url.expose())?;
    options.pool_size = settings.database_pool_size;
    options.pool_timeout = settings.database_pool_timeout.duration();
    options.write_timeout = settings.database_write_timeout.duration();
    options.statement_timeout = settings.database_statement_timeout.duration();
    options.lock_timeout = settings.database_lock_timeout.duration();
    options.synchronous = match settings.sqlite_synchronous {
        SqliteSynchronous::Full => Synchronous::Full,
        SqliteSynchronous::Normal => Synchronous::Normal,
    };
    Ok(options)
}

fn auth_config(settings: &Settings) -> Result<AuthConfig, InvalidRules> {
    let lifetime = settings.access_token_expire.duration();
    Ok(AuthConfig {
        tokens: AccessTokenRules::new(settings.issuer.as_str(), settings.auth_audience.first(), lifetime)?,
        idle_lifetime: settings.auth_refresh_token_ttl.duration(),
        absolute_lifetime: settings.auth_session_absolute_ttl.duration(),
        refresh_grace: settings.auth_refresh_grace.duration(),
        decision_max_age: settings.auth_decision_max_age.duration(),
        guesses: GuessRules {
            threshold: settings.auth_lockout_threshold,
            longest_wait: settings.auth_lockout_duration.duration(),
            window: settings.auth_lockout_window.duration(),
            ceiling: settings.auth_lockout_ceiling,
            ..GuessRules::default()
        },
        throttle: ThrottleRules {
            address_guesses: settings.auth_ip_lockout_threshold,
            subnet_guesses: settings.auth_subnet_lockout_threshold,
            window: settings.auth_ip_lockout_window.duration(),
            stuffing_accounts: settings.auth_stuffing_threshold,
            stuffing_window: settings.auth_stuffing_window.duration(),
        },
        device_token_lifetime: settings.auth_device_token_ttl.duration(),
        password_policy: breached::policy(settings),
        second_factor: second_factor(settings.auth_second_factor),
        totp_issuer: settings.app_name.clone(),
        step_up_max_age: settings.auth_step_up_max_age.duration(),
        recovery: recovery(settings),
        locate_sessions: false,
        mail_new_sign_ins: settings
            .auth_mail_new_sign_ins
            .unwrap_or_else(|| settings.mail_transport() != MailTransport::Folder),
        key_publish_delay: settings.auth_jwks_max_age.duration() + KeySet::RELOAD_SLACK,
    })
}

fn recovery(settings: &Settings) -> RecoveryRules {
    RecoveryRules {
        require_verified_email: settings.require_email_verification,
        verification_lifetime: settings.email_verification_token_ttl.duration(),
        verifications_per_address: settings.email_verification_email_rate_limit_per_hour,
        verifications_per_network: settings.email_verification_ip_rate_limit_per_hour,
        reset_lifetime: settings.password_reset_token_ttl.duration(),
        resets_per_address: settings.password_reset_email_rate_limit_per_hour,
        resets_per_network: settings.password_reset_ip_rate_limit_per_hour,
        ..RecoveryRules::default()
    }
}

fn models(settings: &Settings) -> Models {
    let or_default =
        |model: &Option<String>| ModelName::new(model.as_ref().unwrap_or(&settings.agent_model_default));
    Models {
        triage: or_default(&settings.agent_model_triage),
        code: or_default(&settings.agent_model_code),
        data: or_default(&settings.agent_model_data),
    }
}

fn second_factor(policy: SecondFactor) -> SecondFactorPolicy {
    match policy {
        SecondFactor::Optional => SecondFactorPolicy::Optional,
        SecondFactor::RequiredForAdmins => SecondFactorPolicy::RequiredForAdmins,
        SecondFactor::Required => SecondFactorPolicy::Required,
    }
}

fn signup(policy: SignupAccessPolicy) -> SignupPolicy {
    match policy {
        SignupAccessPolicy::Public => SignupPolicy::Public,
        SignupAccessPolicy::InviteOnly => SignupPolicy::InviteOnly,
        SignupAccessPolicy::Approval => SignupPolicy::Approval,
    }
}
