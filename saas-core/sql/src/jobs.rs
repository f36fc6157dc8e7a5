//! [`JobStore`] in `saas_jobs` and `saas_schedules`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{
    Conn, StoreError, TenantId, Tx,
    jobs::{JobFilter, JobId, JobState, JobStore, Lease, NewJob, StoredJob},
};
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::{Engine, SqlError, engine, execute, fetch_all, fetch_optional, sql};

/// How many ids stand in one statement.
const CHUNK: usize = 500;

/// [`JobStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlJobs;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    version: i64,
    payload: String,
    tenant_id: Option<Uuid>,
    unique_key: Option<String>,
    state: String,
    attempt: i64,
    max_attempts: i64,
    due_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    owner: Option<String>,
    error: Option<String>,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, kind, version, payload, tenant_id, unique_key, state, attempt, max_attempts, due_at, created_at, owner, error"
    };
}

/// What takes jobs: `$1` owner, `$2` the lease's end, `$3` kind, `$4` now, `$5` how many.
macro_rules! claim {
    ($locked:literal) => {
        concat!(
            "UPDATE saas_jobs SET state = 'running', attempt = attempt + 1, owner = $1, due_at = $2 WHERE id IN \
             (SELECT id FROM saas_jobs WHERE kind = $3 AND state <> 'dead' AND due_at <= $4 ORDER BY due_at, id LIMIT $5",
            $locked,
            ") RETURNING ",
            columns!()
        )
    };
}

fn state(word: &str) -> Result<JobState, StoreError> {
    JobState::from_stored(word).ok_or_else(|| StoreError::Backend("a job's state is none of ours".into()))
}

impl TryFrom<Row> for StoredJob {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: JobId::from_uuid(row.id),
            kind: row.kind,
            version: row.version,
            payload: row.payload,
            tenant: row.tenant_id.map(TenantId::from_uuid),
            unique_key: row.unique_key,
            state: state(&row.state)?,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            due_at: row.due_at,
            created_at: row.created_at,
            owner: row.owner,
            error: row.error,
        })
    }
}

#[async_trait]
impl JobStore for SqlJobs {
    async fn insert(&self, tx: &mut Tx, job: &NewJob) -> Result<bool, StoreError> {
        let inserted = execute!(
            tx.conn(),
            "INSERT INTO saas_jobs (id, kind, version, payload, tenant_id, unique_key, state, attempt, max_attempts, due_at, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $8, $9) \
             ON CONFLICT (kind, unique_key) WHERE unique_key IS NOT NULL DO NOTHING",
            job.id.as_uuid(),
            job.kind,
            job.version,
            job.payload.as_str(),
            job.tenant.map(TenantId::as_uuid),
            job.unique_key.as_deref(),
            job.max_attempts,
            job.due_at,
            job.created_at,
        )?;
        Ok(inserted == 1)
    }

    async fn due(
        &self,
        conn: &mut Conn,
        kinds: &[&str],
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError> {
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(String,)> = sql!(conn, |c| async {
            let mut query = QueryBuilder::new("");
            for (index, kind) in kinds.iter().enumerate() {
                query.push(if index == 0 { "SELECT CAST(" } else { " UNION ALL SELECT CAST(" });
                query.push_bind(*kind);
                query.push(
                    " AS text) WHERE EXISTS (SELECT 1 FROM saas_jobs WHERE state <> 'dead' AND kind = ",
                );
                query.push_bind(*kind).push(" AND due_at <= ").push_bind(now).push(")");
            }
            query.build_query_as().fetch_all(c).await
        })?;
        Ok(rows.into_iter().map(|(kind,)| kind).collect())
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
        let limit = i64::from(limit);
        let mut rows: Vec<Row> = match engine(tx.conn())? {
            #[cfg(feature = "postgres")]
            Engine::Postgres(c) => {
                let query = sqlx::query_as(claim!(" FOR UPDATE SKIP LOCKED"));
                query.bind(owner).bind(leased_until).bind(kind).bind(now).bind(limit).fetch_all(c).await
            }
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(c) => {
                let query = sqlx::query_as(claim!(""));
                query.bind(owner).bind(leased_until).bind(kind).bind(now).bind(limit).fetch_all(c).await
            }
        }
        .map_err(SqlError::from)?;
        // Rows come back in any order; ids are in the order of time.
        rows.sort_by_key(|row| row.id);
        rows.into_iter().map(StoredJob::try_from).collect()
    }

    async fn renew(
        &self,
        tx: &mut Tx,
        owner: &str,
        jobs: &[JobId],
        leased_until: DateTime<Utc>,
    ) -> Result<Vec<JobId>, StoreError> {
        let mut kept = Vec::with_capacity(jobs.len());
        for some in jobs.chunks(CHUNK) {
            let rows: Vec<(Uuid,)> = sql!(tx.conn(), |c| async {
                let mut query = QueryBuilder::new("UPDATE saas_jobs SET due_at = ");
                query.push_bind(leased_until).push(" WHERE owner = ").push_bind(owner);
                query.push(" AND state = 'running' AND id IN (");
                let mut ids = query.separated(", ");
                for job in some {
                    ids.push_bind(job.as_uuid());
                }
                query.push(") RETURNING id").build_query_as().fetch_all(c).await
            })?;
            kept.extend(rows.into_iter().map(|(id,)| JobId::from_uuid(id)));
        }
        Ok(kept)
    }

    async fn complete(&self, tx: &mut Tx, lease: &Lease<'_>) -> Result<bool, StoreError> {
        let done = execute!(
            tx.conn(),
            "DELETE FROM saas_jobs WHERE id = $1 AND attempt = $2 AND owner = $3 AND state = 'running'",
            lease.job.as_uuid(),
            lease.attempt,
            lease.owner,
        )?;
        Ok(done == 1)
    }

    async fn retry(
        &self,
        tx: &mut Tx,
        lease: &Lease<'_>,
        due_at: DateTime<Utc>,
        error: &str,
    ) -> Result<bool, StoreError> {
        let done = execute!(
            tx.conn(),
            "UPDATE saas_jobs SET state = 'waiting', owner = NULL, due_at = $4, error = $5 \
             WHERE id = $1 AND attempt = $2 AND owner = $3 AND state = 'running'",
            lease.job.as_uuid(),
            lease.attempt,
            lease.owner,
            due_at,
            error,
        )?;
        Ok(done == 1)
    }

    async fn bury(&self, tx: &mut Tx, lease: &Lease<'_>, error: &str) -> Result<bool, StoreError> {
        let done = execute!(
            tx.conn(),
            "UPDATE saas_jobs SET state = 'dead', owner = NULL, error = $4 \
             WHERE id = $1 AND attempt = $2 AND owner = $3 AND state = 'running'",
            lease.job.as_uuid(),
            lease.attempt,
            lease.owner,
            error,
        )?;
        Ok(done == 1)
    }

    async fn by_id(&self, conn: &mut Conn, id: JobId) -> Result<Option<StoredJob>, StoreError> {
        let query = concat!("SELECT ", columns!(), " FROM saas_jobs WHERE id = $1");
        fetch_optional!(conn, Row, query, id.as_uuid())?.map(StoredJob::try_from).transpose()
    }

    async fn list(
        &self,
        conn: &mut Conn,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<StoredJob>, StoreError> {
        let rows = fetch_all!(
            conn,
            Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM saas_jobs WHERE id > $1 AND (CAST($2 AS text) IS NULL OR state = $2) \
                 AND (CAST($3 AS text) IS NULL OR kind = $3) ORDER BY id LIMIT $4"
            ),
            // The nil id comes before every id.
            after.map_or_else(Uuid::nil, JobId::as_uuid),
            filter.state.map(JobState::as_str),
            filter.kind.as_deref(),
            i64::from(limit),
        )?;
        rows.into_iter().map(StoredJob::try_from).collect()
    }

    async fn counts(
        &self,
        conn: &mut Conn,
        at_most: u32,
    ) -> Result<Vec<(String, JobState, i64)>, StoreError> {
        // One index for each state; an index's condition is said in full, for SQLite to see that it fits.
        let query = "SELECT kind, 'dead' AS state, COUNT(*) FROM \
             (SELECT kind FROM saas_jobs WHERE state = 'dead' LIMIT $1) AS bounded GROUP BY kind \
             UNION ALL SELECT kind, 'running', COUNT(*) FROM \
             (SELECT kind FROM saas_jobs WHERE owner IS NOT NULL AND state = 'running' LIMIT $1) AS bounded GROUP BY kind \
             UNION ALL SELECT kind, 'waiting', COUNT(*) FROM \
             (SELECT kind FROM saas_jobs WHERE state <> 'dead' AND state = 'waiting' LIMIT $1) AS bounded GROUP BY kind";
        let rows = fetch_all!(conn, (String, String, i64), query, i64::from(at_most))?;
        rows.into_iter().map(|(kind, word, count)| Ok((kind, state(&word)?, count))).collect()
    }

    async fn revive(&self, tx: &mut Tx, id: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let query = "UPDATE saas_jobs SET state = 'waiting', attempt = 0, due_at = $1 WHERE id = $2 AND state = 'dead'";
        Ok(execute!(tx.conn(), query, now, id.as_uuid())? == 1)
    }

    async fn cancel(&self, tx: &mut Tx, id: JobId) -> Result<bool, StoreError> {
        let query = "DELETE FROM saas_jobs WHERE id = $1 AND state <> 'running'";
        Ok(execute!(tx.conn(), query, id.as_uuid())? == 1)
    }

    async fn schedule(&self, tx: &mut Tx, name: &str, first_at: DateTime<Utc>) -> Result<(), StoreError> {
        let query =
            "INSERT INTO saas_schedules (name, next_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        execute!(tx.conn(), query, name, first_at)?;
        Ok(())
    }

    async fn fire(
        &self,
        tx: &mut Tx,
        name: &str,
        now: DateTime<Utc>,
        next_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let query = "UPDATE saas_schedules SET next_at = $1 WHERE name = $2 AND next_at <= $3";
        Ok(execute!(tx.conn(), query, next_at, name, now)? == 1)
    }
}
