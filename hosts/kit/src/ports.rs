//! The ports that an embedder brings; what is missing is filled from the settings when the product opens.

use std::sync::{Arc, Mutex};

use saas_agents::{ChatModel, ConversationStore, RunStore};
use saas_auth::{
    BreachedPasswords, ChallengeStore, GuessStore, OneTimeTokenStore, PasswordHasher, PasswordHistory,
    SecondFactorStore, SessionStore, UserStore,
};
use saas_core::{
    AuditLog, Background, EventLog, GeoLocator, Mailer, RateLimiter, SecretStore, jobs::JobStore,
};
use saas_tenancy::{MembershipStore, TenantStore};

use crate::jobs::{Handlers, Schedule};

/// See [`SaasBuilder`](crate::SaasBuilder) for what each is.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) hasher: Option<Arc<dyn PasswordHasher>>,
    pub(crate) breached: Option<Arc<dyn BreachedPasswords>>,
    pub(crate) history: Option<Arc<dyn PasswordHistory>>,
    pub(crate) geo: Option<Arc<dyn GeoLocator>>,
    pub(crate) chat_model: Option<Arc<dyn ChatModel>>,
    pub(crate) secrets: Option<Arc<dyn SecretStore>>,
    pub(crate) events: Option<Arc<dyn EventLog>>,
    pub(crate) users: Option<Arc<dyn UserStore>>,
    pub(crate) sessions: Option<Arc<dyn SessionStore>>,
    pub(crate) one_time_tokens: Option<Arc<dyn OneTimeTokenStore>>,
    pub(crate) second_factors: Option<Arc<dyn SecondFactorStore>>,
    pub(crate) challenges: Option<Arc<dyn ChallengeStore>>,
    pub(crate) tenants: Option<Arc<dyn TenantStore>>,
    pub(crate) memberships: Option<Arc<dyn MembershipStore>>,
    pub(crate) conversations: Option<Arc<dyn ConversationStore>>,
    pub(crate) runs: Option<Arc<dyn RunStore>>,
    pub(crate) jobs: Option<Arc<dyn JobStore>>,
    pub(crate) mailer: Option<Arc<dyn Mailer>>,
    pub(crate) audit: Option<Arc<dyn AuditLog>>,
    pub(crate) guesses: Option<Arc<dyn GuessStore>>,
    pub(crate) limiter: Option<Arc<dyn RateLimiter>>,
    /// What does which jobs, and what is enqueued again and again.
    pub(crate) handlers: Handlers,
    pub(crate) schedules: Vec<Schedule>,
    /// Loops that they need, until the workers of the first `Saas` that is opened take them.
    pub(crate) backgrounds: Mutex<Vec<Background>>,
}

/// The port that was brought, or ours.
pub(crate) fn or<P: ?Sized>(brought: Option<&Arc<P>>, ours: impl FnOnce() -> Arc<P>) -> Arc<P> {
    brought.map_or_else(ours, Arc::clone)
}
