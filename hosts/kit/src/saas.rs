//! The handle.

use std::{sync::Arc, time::Duration};

use saas_agents::Agents;
use saas_auth::Auth;
use saas_core::{Audit, Clock, Entropy, FieldCipher, RateLimits, jobs::Jobs};
use saas_sql::SqlStorage;
use saas_tenancy::Tenancy;

use crate::{
    SaasBuilder,
    jobs::Worker,
    settings::{Settings, SettingsErrors, Sources},
    workers::Parked,
};

/// The whole product, open: its services and what they stand on. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Saas {
    /// One pointer: a handle is cloned several times in every request.
    pub(crate) parts: Arc<Parts>,
}

/// What the handle holds.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) storage: SqlStorage,
    pub(crate) fields: Arc<FieldCipher>,
    pub(crate) auth: Auth,
    pub(crate) tenancy: Tenancy,
    pub(crate) agents: Agents,
    pub(crate) audit: Audit,
    pub(crate) limits: RateLimits,
    pub(crate) worker: Worker,
    pub(crate) workers: Parked,
    pub(crate) opened: Duration,
}

impl Saas {
    /// Begins with what the process environment says under `SAAS_<NAME>`, and with nothing else: `PORT`, `DATABASE_URL` and `.env` are
    /// the embedding program's own. The error names everything that is wrong.
    pub fn from_env() -> Result<SaasBuilder, SettingsErrors> {
        Ok(Self::builder(Settings::load(&Sources::from_process_env())?))
    }

    /// Begins with settings of any origin.
    pub fn builder(settings: Settings) -> SaasBuilder {
        SaasBuilder::new(settings)
    }

    /// What it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// Users, sign-in, sessions and tokens.
    pub fn auth(&self) -> &Auth {
        &self.parts.auth
    }

    /// Tenants, members and registration.
    pub fn tenancy(&self) -> &Tenancy {
        &self.parts.tenancy
    }

    /// Agents, runs and conversations. Runs are worked on by [`Saas::run_workers`].
    pub fn agents(&self) -> &Agents {
        &self.parts.agents
    }

    /// Work that a command leaves behind. Jobs are done by [`Saas::run_workers`], wherever it runs on the same database.
    pub fn jobs(&self) -> &Jobs {
        &self.parts.worker.jobs
    }

    /// Who did what: recorded with it, chained by [`Saas::run_workers`], verified by whoever asks.
    pub fn audit(&self) -> &Audit {
        &self.parts.audit
    }

    /// Quotas, for what you want to be asked for only so often.
    pub fn limits(&self) -> &RateLimits {
        &self.parts.limits
    }

    /// The database, for transactions that span your tables and ours.
    pub fn storage(&self) -> &SqlStorage {
        &self.parts.storage
    }

    /// The time as the product sees it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// The randomness that ids and secrets come from.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.parts.entropy
    }

    /// How long ago it was opened.
    pub fn uptime(&self) -> Duration {
        self.parts.clock.monotonic().saturating_sub(self.parts.opened)
    }

    /// Ends the connections; call it when nothing is served any more.
    pub async fn close(&self) {
        self.parts.storage.close().await;
    }
}
