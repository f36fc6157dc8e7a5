//! What will be opened: judged, not yet connected.

use std::sync::{Arc, PoisonError};

use saas_agents::{Agents, AgentsConfig, AgentsPorts, ChatModel, ScriptedModel};
use saas_agents_sql::{AGENTS, SqlConversations, SqlRuns};
use saas_auth::{
    Argon2id, Auth, AuthConfig, AuthPorts, OpenAuthError, PasswordHasher,
    password::{Argon2idParams, OpenArgon2idError},
};
use saas_auth_sql::{
    AUTH, SqlChallenges, SqlChanges, SqlGuesses, SqlOneTimeTokens, SqlPasswordHistory, SqlSecondFactors,
    SqlSessions, SqlUsers,
};
use saas_core::{
    Actor, Audit, Background, Clock, Entropy, EventLog, FieldCipher, KeyringError, Mailer, RateLimiter,
    RateLimits, SecretStore, Storage, StoreError,
    audit::{AuditEvent, AuditSubject, MIGRATED},
    envelope::DataKeysError,
    id::uuid_v7,
    jobs::Jobs,
    rate_limit::MemoryRateLimiter,
};
use saas_mail::Letters;
use saas_sql::{
    Component, MigrationStatus, RootKey, RootKeyError, SealedSecrets, Signals, SqlAudit, SqlEventLog,
    SqlJobs, SqlOptions, SqlStorage,
};
use saas_tenancy::{Tenancy, TenancyConfig, TenancyPorts};
use saas_tenancy_sql::{SqlMemberships, SqlTenants, TENANCY};
use tokio::sync::{Notify, OnceCell};

use crate::{
    HashPool, MailerError, RootKeyFileError, Saas,
    announced::{Announced, CHANGES},
    breached::{self, BreachedListError},
    forgotten::Forgetter,
    geo::{self, GeoOpenError},
    jobs::{Handlers, Worker},
    mail::{self, Transport},
    ports::{Ports, or},
    retention::{self, Lifetimes, Purger},
    root_key_file, runs,
    saas::Parts,
    settings::{SecretList, Settings},
    workers::Workers,
};

/// What other processes hear when there is something to do.
const JOBS: &str = "jobs";

/// The components' migrations, in the order in which they refer to each other.
pub(crate) const COMPONENTS: [Component; 4] = [saas_sql::CORE, AUTH, TENANCY, AGENTS];

/// Settings and ports that fit each other. [`Blueprint::migrate`] and [`Blueprint::open`] connect; nothing else does.
#[derive(Debug)]
pub struct Blueprint {
    pub(crate) settings: Arc<Settings>,
    pub(crate) database: SqlOptions,
    pub(crate) migration: Option<SqlOptions>,
    pub(crate) root_key: Option<RootKey>,
    pub(crate) auth: AuthConfig,
    pub(crate) tenancy: TenancyConfig,
    pub(crate) hashing: Argon2idParams,
    pub(crate) ports: Ports,
    pub(crate) letters: Letters,
    pub(crate) transport: Transport,
    pub(crate) breached: breached::List,
    pub(crate) geo: geo::Source,
    #[cfg(feature = "openai")]
    pub(crate) openai: Option<saas_agents_openai::OpenAiConfig>,
    pub(crate) agents: AgentsConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) storage: OnceCell<SqlStorage>,
}

/// Why the schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] saas_sql::OpenError),
    /// A migration failed or may not run.
    #[error(transparent)]
    Migrate(#[from] saas_sql::MigrateError),
}

/// Why the product did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database could not be opened.
    #[error(transparent)]
    Database(#[from] saas_sql::OpenError),
    /// The schema is not what this release needs.
    #[error("the database lacks the migrations {}: start with AUTO_RUN_MIGRATIONS=true, or call Blueprint::migrate first", pending.join(", "))]
    NotMigrated {
        /// What is missing.
        pending: Vec<String>,
    },
    /// The migrations could not be compared, or are of another release.
    #[error(transparent)]
    Migrations(#[from] saas_sql::MigrateError),
    /// The root key's file could not be used.
    #[error(transparent)]
    RootKeyFile(#[from] RootKeyFileError),
    /// The database was set up with another root key.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// The password hasher could not be made ready.
    #[error(transparent)]
    Hasher(#[from] OpenArgon2idError),
    /// The keys for personal data could not be loaded.
    #[error(transparent)]
    DataKeys(#[from] DataKeysError),
    /// The keys could not be loaded.
    #[error(transparent)]
    Auth(#[from] OpenAuthError),
    /// The list of stolen passwords could not be opened.
    #[error(transparent)]
    Breached(#[from] BreachedListError),
    /// Who says where sessions are opened could not be asked.
    #[error(transparent)]
    Geo(#[from] GeoOpenError),
    /// The mailer could not be made.
    #[error(transparent)]
    Mailer(#[from] MailerError),
    /// The audit log's keys could not be loaded.
    #[error(transparent)]
    AuditKeys(#[from] KeyringError),
    /// The key that quotas are counted under could not be loaded.
    #[error("the key that quotas are counted under could not be loaded")]
    QuotaKeys(#[source] KeyringError),
    /// The audit log could not be told which migrations were applied.
    #[error("the audit log could not be written")]
    Audit(#[source] StoreError),
    /// The chat model's client could not be made.
    #[cfg(feature = "openai")]
    #[error(transparent)]
    OpenAi(#[from] crate::OpenAiError),
}

impl Blueprint {
    /// What it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn storage(&self) -> Result<&SqlStorage, saas_sql::OpenError> {
        self.storage.get_or_try_init(|| SqlStorage::open(&self.database)).await
    }

    /// Brings the schema up to date and tells what was applied; with the migration user where one is set.
    pub async fn migrate(&self) -> Result<MigrationStatus, MigrateError> {
        match &self.migration {
            Some(options) => {
                let owner = SqlStorage::open(options).await?;
                let done = owner.migrate(&COMPONENTS, &*self.clock).await;
                owner.close().await;
                Ok(done?)
            }
            None => Ok(self.storage().await?.migrate(&COMPONENTS, &*self.clock).await?),
        }
    }

    /// What [`Blueprint::migrate`] would apply. Nothing is written: a SQLite file that is not there yet is not made.
    pub async fn pending_migrations(&self) -> Result<MigrationStatus, MigrateError> {
        if let Some(storage) = self.storage.get() {
            return Ok(storage.migration_status(&COMPONENTS).await?);
        }
        let file = self.settings.database_url.sqlite_path();
        if file.is_some_and(|path| !path.exists()) {
            return Ok(MigrationStatus { pending: everything() });
        }
        let storage = SqlStorage::open(self.migration.as_ref().unwrap_or(&self.database)).await?;
        let status = storage.migration_status(&COMPONENTS).await;
        storage.close().await;
        Ok(status?)
    }

    /// Connects and loads the keys.
    pub async fn open(&self) -> Result<Saas, OpenError> {
        let storage = self.storage().await?.clone();
        let status = storage.migration_status(&COMPONENTS).await?;
        if !status.is_current() {
            return Err(OpenError::NotMigrated { pending: status.pending });
        }
        let secrets = match &self.ports.secrets {
            Some(secrets) => Arc::clone(secrets),
            None => self.sealed_secrets(&storage).await?,
        };
        let hasher = match &self.ports.hasher {
            Some(hasher) => Arc::clone(hasher),
            None => self.hash_pool(&*secrets).await?,
        };
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let fields = Arc::new(FieldCipher::open(Arc::clone(&secrets), clock, entropy).await?);
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let audit = self.audit(&shared, &*secrets).await?;
        record_migrations(&storage, &audit).await.map_err(OpenError::Audit)?;
        let (signals, carrying) = Signals::new(&storage, Arc::clone(&self.clock), &*self.entropy);
        let (jobs, wake) = self.jobs(Arc::clone(&shared), audit.clone(), &signals);
        let limits = self.limits(&*secrets).await.map_err(OpenError::QuotaKeys)?;
        let memberships = or(self.ports.memberships.as_ref(), || Arc::new(SqlMemberships));
        let ports = AuthPorts {
            storage: Arc::clone(&shared),
            users: or(self.ports.users.as_ref(), || Arc::new(SqlUsers)),
            sessions: or(self.ports.sessions.as_ref(), || Arc::new(SqlSessions)),
            one_time_tokens: or(self.ports.one_time_tokens.as_ref(), || Arc::new(SqlOneTimeTokens)),
            second_factors: or(self.ports.second_factors.as_ref(), || Arc::new(SqlSecondFactors)),
            challenges: or(self.ports.challenges.as_ref(), || Arc::new(SqlChallenges)),
            memberships: memberships.clone(),
            changes: Arc::new(Announced { feed: SqlChanges, signals: signals.clone() }),
            guesses: or(self.ports.guesses.as_ref(), || Arc::new(SqlGuesses)),
            limits: limits.clone(),
            audit: audit.clone(),
            hasher,
            breached: self.breached.open(&self.clock)?,
            history: or(self.ports.history.as_ref(), || Arc::new(SqlPasswordHistory)),
            fields: Arc::clone(&fields),
            secrets,
            jobs: Some(jobs.clone()),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        let auth = Auth::open(ports, self.auth.clone()).await?;
        let ports = TenancyPorts {
            storage: Arc::clone(&shared),
            tenants: or(self.ports.tenants.as_ref(), || Arc::new(SqlTenants)),
            memberships,
            jobs: Some(jobs.clone()),
            audit: audit.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        let tenancy = Tenancy::new(ports, self.tenancy.clone(), auth.clone());
        let (agents, workers) = self.agents(
            &storage,
            Arc::clone(&shared),
            audit.clone(),
            jobs.clone(),
            self.model()?,
            (signals, carrying),
        );
        let mut handlers = self.ports.handlers.clone();
        handlers.add_missing(runs::Runner(agents.clone()), self.settings.agent_runs_per_process);
        handlers.add_missing(runs::Recoverer(agents.clone()), 1);
        handlers.add_missing(self.sender(auth.clone(), tenancy.clone())?, mail::AT_ONCE);
        let locator = self.geo.open(&self.clock)?;
        handlers.add_missing(geo::Examiner { auth: auth.clone(), locator }, geo::AT_ONCE);
        let lifetimes = Lifetimes::of(&self.settings);
        let purger = Purger {
            storage: storage.clone(),
            audit: audit.clone(),
            lifetimes,
            agents: agents.clone(),
            events: retention::event_bounds(&self.settings),
            clock: Arc::clone(&self.clock),
        };
        handlers.add_missing(purger, 1);
        handlers.add_missing(Forgetter { agents: agents.clone() }, 1);
        let worker = self.worker(shared, jobs, wake, handlers);
        let handle = Parts {
            settings: Arc::clone(&self.settings),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            storage,
            fields,
            auth,
            tenancy,
            agents,
            audit,
            limits,
            worker,
            workers: workers.parked(),
            opened: self.clock.monotonic(),
        };
        Ok(Saas { parts: Arc::new(handle) })
    }

    async fn audit(
        &self,
        storage: &Arc<dyn Storage>,
        secrets: &dyn SecretStore,
    ) -> Result<Audit, KeyringError> {
        let log = or(self.ports.audit.as_ref(), || Arc::new(SqlAudit));
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Audit::open(Arc::clone(storage), log, secrets, clock, entropy).await
    }

    async fn limits(&self, secrets: &dyn SecretStore) -> Result<RateLimits, KeyringError> {
        let ours = || -> Arc<dyn RateLimiter> { Arc::new(MemoryRateLimiter::new(Arc::clone(&self.clock))) };
        RateLimits::open(or(self.ports.limiter.as_ref(), ours), secrets, &*self.entropy).await
    }

    /// The mailer that the product would open; nothing is connected before the first mail.
    pub fn mailer(&self) -> Result<Arc<dyn Mailer>, MailerError> {
        self.transport.open(Arc::clone(&self.clock))
    }

    /// What makes the product's mails.
    pub const fn letters(&self) -> &Letters {
        &self.letters
    }

    /// What does the jobs that send mails.
    fn sender(&self, auth: Auth, tenancy: Tenancy) -> Result<mail::Sender, MailerError> {
        Ok(mail::Sender {
            auth,
            tenancy,
            letters: self.letters.clone(),
            mailer: self.mailer()?,
            transport: self.transport.as_str(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// What enqueues jobs, and what wakes the worker of this process.
    fn jobs(&self, storage: Arc<dyn Storage>, audit: Audit, signals: &Signals) -> (Jobs, Arc<Notify>) {
        let wake = Arc::new(Notify::new());
        let woken = Arc::clone(&wake);
        signals.hear(JOBS, move |_| woken.notify_one());
        let (woken, others) = (Arc::clone(&wake), signals.clone());
        let jobs = Jobs::new(
            storage,
            or(self.ports.jobs.as_ref(), || Arc::new(SqlJobs)),
            audit,
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
            Arc::new(move || {
                woken.notify_one();
                others.raise(JOBS);
            }),
        );
        (jobs, wake)
    }

    /// The worker of this process, and the jobs that it does.
    fn worker(&self, storage: Arc<dyn Storage>, jobs: Jobs, wake: Arc<Notify>, handlers: Handlers) -> Worker {
        Worker {
            storage,
            jobs,
            clock: Arc::clone(&self.clock),
            handlers: Arc::new(handlers),
            schedules: self
                .ports
                .schedules
                .iter()
                .cloned()
                .chain([retention::schedule(), runs::schedule()])
                .collect(),
            lease: self.settings.job_lease.duration(),
            owner: uuid_v7(&*self.clock, &*self.entropy).to_string().into(),
            wake,
        }
    }

    fn agents(
        &self,
        storage: &SqlStorage,
        shared: Arc<dyn Storage>,
        audit: Audit,
        jobs: Jobs,
        model: Arc<dyn ChatModel>,
        (signals, carrying): (Signals, Background),
    ) -> (Agents, Workers) {
        let changed = Arc::new(Notify::new());
        let heard = Arc::clone(&changed);
        signals.hear(CHANGES, move |_| heard.notify_one());
        let brought =
            std::mem::take(&mut *self.ports.backgrounds.lock().unwrap_or_else(PoisonError::into_inner));
        let workers = Workers::new(brought, changed).with(carrying);
        let (events, workers): (Arc<dyn EventLog>, _) = if let Some(events) = &self.ports.events {
            (Arc::clone(events), workers)
        } else {
            let bounds = retention::event_bounds(&self.settings);
            let (clock, signals) = (Arc::clone(&self.clock), Some(signals));
            let (events, writer) = SqlEventLog::bounded(storage.clone(), clock, signals, &bounds);
            (Arc::new(events), workers.with(writer))
        };
        let ports = AgentsPorts {
            storage: shared,
            conversations: or(self.ports.conversations.as_ref(), || Arc::new(SqlConversations)),
            runs: or(self.ports.runs.as_ref(), || Arc::new(SqlRuns)),
            audit,
            events,
            model,
            jobs,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        (Agents::new(ports, self.agents.clone()), workers)
    }

    /// The product's own secrets in the database, once it is sure that this deployment has one root key.
    async fn sealed_secrets(&self, storage: &SqlStorage) -> Result<Arc<dyn SecretStore>, OpenError> {
        let root_key = match &self.root_key {
            Some(key) => key.clone(),
            None => root_key_file::load_or_create(&self.settings.data_dir, &*self.entropy)?,
        };
        storage.claim(&root_key, &*self.clock).await?;
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Ok(Arc::new(SealedSecrets::new(storage.clone(), root_key, clock, entropy)))
    }

    /// The embedder's model, or OpenAI's where there is a key, or the scripted one.
    #[cfg_attr(not(feature = "openai"), expect(clippy::unnecessary_wraps, reason = "only a client can fail"))]
    fn model(&self) -> Result<Arc<dyn ChatModel>, OpenError> {
        if let Some(model) = &self.ports.chat_model {
            return Ok(Arc::clone(model));
        }
        #[cfg(feature = "openai")]
        if let Some(config) = &self.openai {
            return Ok(Arc::new(crate::openai::open(config, Arc::clone(&self.clock))?));
        }
        Ok(Arc::new(ScriptedModel::new(Arc::clone(&self.clock))))
    }

    async fn hash_pool(
        &self,
        secrets: &dyn SecretStore,
    ) -> Result<Arc<dyn PasswordHasher>, OpenArgon2idError> {
        let peppers = self.settings.auth_password_pepper.as_ref().map_or(&[][..], SecretList::entries);
        let entropy = Arc::clone(&self.entropy);
        let argon2id = Argon2id::open_with_peppers(self.hashing, peppers, secrets, entropy).await?;
        let Settings { password_hash_concurrency, password_hash_queue, .. } = *self.settings;
        Ok(Arc::new(HashPool::new(argon2id, password_hash_concurrency, password_hash_queue)))
    }
}

/// Tells the audit log of migrations that it does not know of: they are applied before it can be written, the first of them before it is
/// there.
async fn record_migrations(storage: &SqlStorage, audit: &Audit) -> Result<(), StoreError> {
    let applied = storage.applied_migrations().await?;
    let event = |label| AuditEvent::new(MIGRATED).about(AuditSubject::new("migration", label));
    audit.record_missing(&Actor::system("migrate"), applied.into_iter().map(event).collect()).await.map(drop)
}

/// What is pending on a database that is not there.
fn everything() -> Vec<String> {
    let labels = |component: &Component| {
        let name = component.name;
        component.migrations.iter().map(move |migration| format!("{name}/{}", migration.version))
    };
    COMPONENTS.iter().flat_map(labels).collect()
}
