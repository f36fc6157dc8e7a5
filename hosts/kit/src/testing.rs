//! The product for tests: a manual clock, seeded randomness, cheap hashes, captured mails, and a database of its own that goes when it goes.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use saas_kit::testing::{TestEngine, TestSaas};
//!
//! let test = TestSaas::start(TestEngine::Sqlite).await;
//! let ada = test.register("ada@example.com").await;
//! test.clock.advance(std::time::Duration::from_secs(3600));
//! assert!(test.saas.auth().authenticate(ada.tokens.access_token.expose(), None, Default::default()).await.is_err());
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test harness that cannot start should fail its test, loudly"
)]

use std::{sync::Arc, time::Duration};

use saas_agents::ScriptedModel;

use saas_core::{Actor, Email, Secret, TenantName, clock::ManualClock, entropy::SeededEntropy};
use saas_mail::MemoryMailer;
use saas_sql::{RootKey, SqlJobs};
use saas_tenancy::{Register, Registered};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    Blueprint, Saas, SaasBuilder,
    settings::{Settings, Sources},
};

mod authenticator;
mod database;
mod left_jobs;
mod logs;
mod steps;

use left_jobs::{JobsGuard, Noting};

pub use authenticator::Authenticator;
pub use database::{TestDatabase, TestEngine};
pub use steps::at_once;

/// The password of everybody that [`TestSaas::register`] makes.
pub const PASSWORD: &str = "correct horse battery staple";

/// The product, open on a database of its own.
///
/// A test that leaves jobs behind fails when this is dropped: [`TestSaas::drain_jobs`] does them, [`TestSaas::leave_jobs`] says that they may be
/// left. Runs do not count: who starts one follows it. It counts what is enqueued through the harness's own [`JobStore`](saas_core::jobs::JobStore), not what another one keeps.
#[derive(Debug)]
pub struct TestSaas {
    /// The product.
    pub saas: Saas,
    /// Its time; it stands still until you advance it.
    pub clock: Arc<ManualClock>,
    /// Its workers; they stop when this goes.
    pub workers: TestWorkers,
    /// The mails that it sent, unless [`TestSaas::with_ports`] gave it another mailer.
    pub mail: Arc<MemoryMailer>,
    /// Its database; it goes when this goes.
    pub database: TestDatabase,
    #[expect(dead_code, reason = "held for its Drop")]
    guard: JobsGuard,
}

/// Workers on the test's runtime; dropping this ends them at once, as a killed process would.
#[derive(Debug)]
pub struct TestWorkers {
    task: JoinHandle<()>,
    stop: Arc<Notify>,
}

impl TestWorkers {
    /// Starts `saas`'s.
    pub fn start(saas: &Saas) -> Self {
        let (saas, stop) = (saas.clone(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move { saas.run_workers(stopped.notified()).await });
        Self { task, stop }
    }

    /// Tells them to stop, as an operator does, and waits until they have.
    pub async fn stop(mut self) {
        self.stop.notify_one();
        (&mut self.task).await.expect("the workers stop");
    }
}

impl Drop for TestWorkers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestSaas {
    /// Starts on a new, migrated database.
    pub async fn start(engine: TestEngine) -> Self {
        Self::with_settings(engine, []).await
    }

    /// Starts with settings of your own, by their names.
    pub async fn with_settings<const N: usize>(engine: TestEngine, settings: [(&str, &str); N]) -> Self {
        Self::with_ports(engine, settings, |builder| builder).await
    }

    /// Starts with settings and ports of your own.
    pub async fn with_ports<const N: usize>(
        engine: TestEngine,
        settings: [(&str, &str); N],
        ports: impl FnOnce(SaasBuilder) -> SaasBuilder,
    ) -> Self {
        let database = TestDatabase::create(engine).await;
        let clock = Arc::new(ManualClock::default());
        let mail = Arc::new(MemoryMailer::default());
        let builder = Self::builder(&database, Arc::clone(&clock), 1, settings);
        let builder = ports(builder.mailer(Arc::<MemoryMailer>::clone(&mail)));
        let blueprint = builder.build().expect("the settings fit");
        blueprint.migrate().await.expect("a new database migrates");
        let saas = blueprint.open().await.expect("a migrated database opens");
        let guard = JobsGuard(Arc::clone(&database.left_jobs));
        Self { workers: TestWorkers::start(&saas), saas, clock, mail, database, guard }
    }

    /// What a second server on the same database would open: the same clock and root key, other randomness.
    pub fn blueprint<const N: usize>(
        database: &TestDatabase,
        clock: Arc<ManualClock>,
        seed: u64,
        settings: [(&str, &str); N],
    ) -> Blueprint {
        Self::builder(database, clock, seed, settings).build().expect("the settings fit")
    }

    fn builder<const N: usize>(
        database: &TestDatabase,
        clock: Arc<ManualClock>,
        seed: u64,
        settings: [(&str, &str); N],
    ) -> SaasBuilder {
        logs::keep();
        let cheap =
            [("PASSWORD_HASH_MEMORY_KIB", "64"), ("PASSWORD_HASH_ITERATIONS", "1"), ("ENVIRONMENT", "test")];
        let flags = cheap.into_iter().chain([("DATABASE_URL", database.url())]).chain(settings);
        let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
        // At once: the manual clock stands still.
        let model = ScriptedModel::new(clock.clone()).with_pace(Duration::ZERO);
        Saas::builder(settings)
            .chat_model(Arc::new(model))
            .mailer(Arc::new(MemoryMailer::default()))
            .job_store(Arc::new(Noting { store: SqlJobs, left: Arc::clone(&database.left_jobs) }))
            .clock(clock)
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .root_key(RootKey::new(&[7; 32]).expect("32 bytes are a root key"))
    }

    /// Takes the workers away, to stop or to drop: from then on nothing happens but what the test does.
    pub fn take_workers(&mut self) -> TestWorkers {
        let none = TestWorkers { task: tokio::spawn(async {}), stop: Arc::default() };
        std::mem::replace(&mut self.workers, none)
    }

    /// Another server on the same database, without workers: see [`TestWorkers::start`].
    pub async fn replica(&self, seed: u64) -> Saas {
        Self::blueprint(&self.database, Arc::clone(&self.clock), seed, [])
            .open()
            .await
            .expect("a replica opens")
    }

    /// Registers somebody with [`PASSWORD`], and does the jobs that come of it.
    pub async fn register(&self, email: &str) -> Registered {
        let command = Register::new(
            Email::parse(email).expect("the address is valid"),
            Secret::new(PASSWORD.to_owned()),
            TenantName::parse("Test Tenant").expect("the name is valid"),
        );
        let registered = self.saas.tenancy().register(&Actor::system("test"), command).await;
        self.drain_jobs().await;
        registered.expect("registering succeeds")
    }
}
