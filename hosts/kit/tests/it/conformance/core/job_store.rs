//! `JobStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{
    Conn, StoreError, Tx,
    conformance::job_store::{JobStoreSubject as Subject, LINES, check},
    jobs::{JobFilter, JobId, JobState, JobStore, Lease, NewJob, StoredJob},
};
use saas_kit::testing::TestEngine;
use saas_sql::{SqlJobs, execute};

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, jobs: Arc<dyn JobStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), jobs, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlJobs)).await
}

on_each_engine!(saas_core::job_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.0.starts_with(line)
    }

    /// The lease as whoever has the job now would present it.
    async fn as_held(&self, tx: &mut Tx, lease: &Lease<'_>) -> Result<Option<(i64, String)>, StoreError> {
        let there = SqlJobs.by_id(tx.conn(), lease.job).await?;
        Ok(there.and_then(|job| Some((job.attempt, job.owner?))))
    }
}

#[async_trait]
impl JobStore for Broken {
    async fn insert(&self, tx: &mut Tx, job: &NewJob) -> Result<bool, StoreError> {
        let mut job = job.clone();
        if self.breaks("what_was_inserted") {
            job.tenant = None;
        }
        // A key of its own for each.
        if self.breaks("of_several_jobs")
            && let Some(key) = &mut job.unique_key
        {
            key.push_str(&job.id.to_string());
        }
        SqlJobs.insert(tx, &job).await
    }

    async fn due(
        &self,
        conn: &mut Conn,
        kinds: &[&str],
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError> {
        if self.breaks("due_names") {
            return Ok(kinds.iter().map(|kind| (*kind).to_owned()).collect());
        }
        SqlJobs.due(conn, kinds, now).await
    }

    async fn claim(
        &self,
        tx: &mut Tx,
        kind: &str,
        limit: u32,
        owner: &str,
        now: DateTime<Utc>,
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<StoredJob>, StoreError> {
        let claimed = SqlJobs.claim(tx, kind, limit, owner, now, leased_until).await?;
        // As if nobody had taken them.
        if self.breaks("claim_gives") {
            let lend = "UPDATE saas_jobs SET due_at = created_at WHERE owner = $1";
            execute!(tx.conn(), lend, owner)?;
        }
        Ok(claimed)
    }

    async fn renew(
        &self,
        tx: &mut Tx,
        owner: &str,
        jobs: &[JobId],
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<JobId>, StoreError> {
        if self.breaks("renew_moves") {
            let all = "UPDATE saas_jobs SET due_at = $1 WHERE state = 'running'";
            execute!(tx.conn(), all, leased_until)?;
        }
        SqlJobs.renew(tx, owner, jobs, leased_until).await
    }

    async fn complete(&self, tx: &mut Tx, lease: &Lease<'_>) -> Result<bool, StoreError> {
        // Whoever has it.
        if self.breaks("a_job_whose_lease") {
            let Some((attempt, owner)) = self.as_held(tx, lease).await? else { return Ok(false) };
            return SqlJobs.complete(tx, &Lease { job: lease.job, attempt, owner: &owner }).await;
        }
        SqlJobs.complete(tx, lease).await
    }

    async fn retry(
        &self,
        tx: &mut Tx,
        lease: &Lease<'_>,
        due_at: DateTime<Utc>,
        error: &str,
    ) -> Result<bool, StoreError> {
        let error = if self.breaks("an_attempt_ends") { "" } else { error };
        SqlJobs.retry(tx, lease, due_at, error).await
    }

    async fn bury(&self, tx: &mut Tx, lease: &Lease<'_>, error: &str) -> Result<bool, StoreError> {
        if self.breaks("a_dead_job") {
            return SqlJobs.retry(tx, lease, DateTime::UNIX_EPOCH, error).await;
        }
        SqlJobs.bury(tx, lease, error).await
    }

    async fn by_id(&self, conn: &mut Conn, id: JobId) -> Result<Option<StoredJob>, StoreError> {
        SqlJobs.by_id(conn, id).await
    }

    async fn list(
        &self,
        conn: &mut Conn,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<StoredJob>, StoreError> {
        if self.breaks("list_gives") {
            let all = JobFilter { state: filter.state, kind: None };
            return SqlJobs.list(conn, &all, after, limit).await;
        }
        SqlJobs.list(conn, filter, after, limit).await
    }

    async fn counts(
        &self,
        conn: &mut Conn,
        at_most: u32,
    ) -> Result<Vec<(String, JobState, i64)>, StoreError> {
        SqlJobs.counts(conn, at_most).await
    }

    async fn revive(&self, tx: &mut Tx, id: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        SqlJobs.revive(tx, id, now).await
    }

    async fn cancel(&self, tx: &mut Tx, id: JobId) -> Result<bool, StoreError> {
        SqlJobs.cancel(tx, id).await
    }

    async fn schedule(&self, tx: &mut Tx, name: &str, first_at: DateTime<Utc>) -> Result<(), StoreError> {
        SqlJobs.schedule(tx, name, first_at).await
    }

    async fn fire(
        &self,
        tx: &mut Tx,
        name: &str,
        now: DateTime<Utc>,
        next_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let fired = SqlJobs.fire(tx, name, now, next_at).await?;
        // It does not say that another one was first.
        Ok(fired || self.breaks("of_several_that_find_a_schedule"))
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let subject = over(TestEngine::Sqlite, Arc::new(Broken(line)));
        assert_noticed(line, check(line, subject.await)).await;
    }
}
