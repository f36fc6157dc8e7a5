//! Removing what has lived long enough.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{Agents, RunId};
use saas_core::{
    Actor, Audit, Clock, EventBounds, audit::PurgeError, clock::stored_now, fault::chain, jobs::Job,
};
use saas_sql::{Keep, Purge, Retention, SqlStorage};
use serde::{Deserialize, Serialize};

use crate::{
    jobs::{Attempt, JobError, JobHandler, Schedule},
    settings::Settings,
};

/// How often old rows are removed.
const EVERY: Duration = Duration::from_hours(1);

/// For how long support can see that a token was used, or never was.
const EXPIRED_TOKENS: Duration = Duration::from_hours(24);

/// What every table keeps, component by component.
pub(crate) const TABLES: [&[Retention]; 4] =
    [saas_sql::RETENTION, saas_auth_sql::RETENTION, saas_tenancy_sql::RETENTION, saas_agents_sql::RETENTION];

/// What every table of the product keeps, and how long, for who audits a deployment.
pub fn retention() -> impl Iterator<Item = &'static Retention> {
    TABLES.into_iter().flatten()
}

/// How much is kept of the event streams of each family of topics.
pub(crate) fn event_bounds(settings: &Settings) -> [EventBounds; 1] {
    [EventBounds {
        family: RunId::FAMILY,
        newest: settings.retention_run_events_count,
        idle: settings.retention_run_events.duration(),
    }]
}

/// Removes the old rows of every table that has any, and what is too much of event streams.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PurgeOldRows {}

impl Job for PurgeOldRows {
    const KIND: &'static str = "retention.purge";
}

/// An hour after the first start, and each hour from then on.
pub(crate) fn schedule() -> Schedule {
    Schedule::new("retention.purge", EVERY, PurgeOldRows {}).later()
}

/// Does [`PurgeOldRows`].
#[derive(Debug)]
pub(crate) struct Purger {
    pub(crate) storage: SqlStorage,
    pub(crate) audit: Audit,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) agents: Agents,
    pub(crate) events: [EventBounds; 1],
    pub(crate) clock: Arc<dyn Clock>,
}

/// How long rows live where the settings say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    ended_sessions: Duration,
    dead_jobs: Duration,
    refused_sign_ins: Duration,
}

impl Lifetimes {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            ended_sessions: settings.retention_ended_sessions.duration(),
            dead_jobs: settings.retention_dead_jobs.duration(),
            refused_sign_ins: settings.retention_refused_sign_ins.duration(),
        }
    }

    /// For what a purge removes; `None` for what nobody has set, which is kept.
    fn for_what(&self, purge: &Purge) -> Option<Duration> {
        match purge.what {
            "ended_sessions" => Some(self.ended_sessions),
            "dead_jobs" => Some(self.dead_jobs),
            "expired_tokens" => Some(EXPIRED_TOKENS),
            // Their rows say themselves when they end, and are good for nothing then.
            "sign_in_challenges" | "expired_guesses" => Some(Duration::ZERO),
            _ => None,
        }
    }
}

#[async_trait]
impl JobHandler<PurgeOldRows> for Purger {
    async fn run(&self, _: PurgeOldRows, _: &Attempt) -> Result<(), JobError> {
        let now = stored_now(&*self.clock);
        for Retention { table, keep } in retention() {
            let Keep::Until(purge) = keep else { continue };
            let Some(lifetime) = self.lifetimes.for_what(purge) else {
                return Err(JobError::Hopeless(format!("nothing says how long {} live", purge.what)));
            };
            let removed = self.storage.purge(purge, now - lifetime).await?;
            if removed > 0 {
                tracing::info!(
                    table,
                    rows = removed,
                    what = purge.what,
                    "removed what has lived long enough"
                );
            }
        }
        self.purge_events().await?;
        self.purge_refusals(now - self.lifetimes.refused_sign_ins).await
    }
}

impl Purger {
    /// Each family's owner knows what it has no use for any more.
    async fn purge_events(&self) -> Result<(), JobError> {
        for bounds in &self.events {
            let purged = self.agents.purge_events(bounds).await;
            let removed = purged.map_err(|error| JobError::Retry(chain(&error)))?;
            if removed > 0 {
                let family = bounds.family;
                tracing::info!(family, events = removed, "trimmed event streams to their bounds");
            }
        }
        Ok(())
    }

    async fn purge_refusals(&self, before: DateTime<Utc>) -> Result<(), JobError> {
        match self.audit.purge_passing(&Actor::system("retention"), before).await {
            Ok(_) => Ok(()),
            Err(PurgeError::Store(error)) => Err(error.into()),
            // Somebody has to look: trying again does not help.
            Err(error) => Err(JobError::Hopeless(chain(&error))),
        }
    }
}
