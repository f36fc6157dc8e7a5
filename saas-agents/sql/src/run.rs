//! Runs in `saas_runs`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{
    ConversationId, ConversationKey, IdempotencyKey, Outcome, Run, RunId, RunStatus, RunStore, Usage,
};
use saas_core::{Conn, StoreError, TenantId, Tx, UserId};
use saas_sql::{execute, fetch_all, fetch_one, fetch_optional, sql};
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::conversation::{agent, damaged};

/// How many ids stand in one statement.
const CHUNK: usize = 500;

/// [`RunStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlRuns;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    user_id: Uuid,
    conversation_id: Uuid,
    conversation_key: String,
    position: i64,
    agent: String,
    model: Option<String>,
    status: String,
    input: String,
    idempotency_key: Option<String>,
    request_hash: Vec<u8>,
    attempt: i64,
    cancel_requested: bool,
    answer: String,
    error: Option<String>,
    final_seq: Option<i64>,
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Run {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: RunId::from_uuid(row.id),
            tenant: TenantId::from_uuid(row.tenant_id),
            user: UserId::from_uuid(row.user_id),
            conversation: ConversationId::from_uuid(row.conversation_id),
            conversation_key: ConversationKey::from_stored(row.conversation_key),
            position: row.position,
            agent: agent(&row.agent)?,
            model: row.model,
            status: RunStatus::from_stored(&row.status).ok_or_else(|| damaged("run's status"))?,
            input: row.input,
            idempotency_key: row.idempotency_key.map(IdempotencyKey::from_stored),
            request_hash: row.request_hash,
            attempt: row.attempt,
            cancel_requested: row.cancel_requested,
            answer: row.answer,
            error: row.error,
            final_seq: row.final_seq,
            usage: Usage {
                input: row.input_tokens,
                cached_input: row.cached_input_tokens,
                output: row.output_tokens,
                reasoning: row.reasoning_tokens,
            },
            created_at: row.created_at,
            finished_at: row.finished_at,
        })
    }
}

/// Selects [`Row`]s.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.tenant_id, r.user_id, r.conversation_id, c.key AS conversation_key, r.position, r.agent, r.model, r.status, \
             r.input, r.idempotency_key, r.request_hash, r.attempt, r.cancel_requested, r.answer, r.error, r.final_seq, \
             r.input_tokens, r.cached_input_tokens, r.output_tokens, r.reasoning_tokens, r.created_at, r.finished_at \
             FROM saas_runs r JOIN saas_conversations c ON c.id = r.conversation_id ",
            $rest
        )
    };
}

/// A waiting run whose turn it is: none of its conversation runs, and none before it waits.
macro_rules! its_turn {
    () => {
        "r.status = 'queued' AND NOT EXISTS (SELECT 1 FROM saas_runs o WHERE o.conversation_id = r.conversation_id \
         AND (o.status = 'running' OR (o.status = 'queued' AND o.position < r.position)))"
    };
}

#[async_trait]
impl RunStore for SqlRuns {
    async fn insert(&self, tx: &mut Tx, run: &Run) -> Result<(), StoreError> {
        execute!(
            tx.conn(),
            "INSERT INTO saas_runs (id, tenant_id, user_id, conversation_id, position, agent, status, input, idempotency_key, \
             request_hash, attempt, cancel_requested, answer, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
            run.id.as_uuid(),
            run.tenant.as_uuid(),
            run.user.as_uuid(),
            run.conversation.as_uuid(),
            run.position,
            run.agent.as_str(),
            run.status.as_str(),
            run.input.as_str(),
            run.idempotency_key.as_ref().map(IdempotencyKey::as_str),
            run.request_hash.as_slice(),
            run.attempt,
            run.cancel_requested,
            run.answer.as_str(),
            run.usage.input,
            run.usage.cached_input,
            run.usage.output,
            run.usage.reasoning,
            run.created_at,
        )?;
        Ok(())
    }

    async fn queue(&self, tx: &mut Tx, conversation: ConversationId) -> Result<(i64, i64), StoreError> {
        Ok(fetch_one!(
            tx.conn(),
            (i64, i64),
            "SELECT (SELECT COUNT(*) FROM saas_runs WHERE conversation_id = $1 AND status = 'queued'), \
             (SELECT COALESCE(MAX(position), 0) FROM saas_runs WHERE conversation_id = $1)",
            conversation.as_uuid(),
        )?)
    }

    async fn by_id(&self, conn: &mut Conn, tenant: TenantId, id: RunId) -> Result<Option<Run>, StoreError> {
        let row = fetch_optional!(
            conn,
            Row,
            select!("WHERE r.tenant_id = $1 AND r.id = $2"),
            tenant.as_uuid(),
            id.as_uuid()
        )?;
        row.map(Run::try_from).transpose()
    }

    async fn find(&self, conn: &mut Conn, id: RunId) -> Result<Option<Run>, StoreError> {
        fetch_optional!(conn, Row, select!("WHERE r.id = $1"), id.as_uuid())?.map(Run::try_from).transpose()
    }

    async fn by_key(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        user: UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<Run>, StoreError> {
        let row = fetch_optional!(
            conn,
            Row,
            select!("WHERE r.tenant_id = $1 AND r.user_id = $2 AND r.idempotency_key = $3"),
            tenant.as_uuid(),
            user.as_uuid(),
            key.as_str(),
        )?;
        row.map(Run::try_from).transpose()
    }

    async fn claim(&self, tx: &mut Tx, id: RunId, model: &str) -> Result<Option<Run>, StoreError> {
        let claimed = execute!(
            tx.conn(),
            concat!(
                "UPDATE saas_runs AS r SET status = 'running', attempt = attempt + 1, model = $1 \
                 WHERE r.id = $2 AND r.cancel_requested = $3 AND ",
                its_turn!()
            ),
            model,
            id.as_uuid(),
            false,
        )?;
        if claimed == 1 { self.find(tx.conn(), id).await } else { Ok(None) }
    }

    async fn to_go_on(&self, conn: &mut Conn, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        let mut go_on = Vec::with_capacity(runs.len());
        for some in runs.chunks(CHUNK) {
            let rows: Vec<(Uuid,)> = sql!(conn, |c| async {
                let mut query = QueryBuilder::new("SELECT id FROM saas_runs WHERE cancel_requested = ");
                query.push_bind(false).push(" AND status IN ('queued', 'running') AND id IN (");
                let mut ids = query.separated(", ");
                for run in some {
                    ids.push_bind(run.as_uuid());
                }
                query.push(")").build_query_as().fetch_all(c).await
            })?;
            go_on.extend(rows.into_iter().map(|(id,)| RunId::from_uuid(id)));
        }
        Ok(go_on)
    }

    async fn finish(
        &self,
        tx: &mut Tx,
        id: RunId,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let done = execute!(
            tx.conn(),
            "UPDATE saas_runs SET status = $1, answer = $2, error = $3, final_seq = $4, input_tokens = $5, cached_input_tokens = $6, \
             output_tokens = $7, reasoning_tokens = $8, finished_at = $9 WHERE id = $10 AND status = 'running'",
            outcome.status.as_str(),
            outcome.answer.as_str(),
            outcome.error,
            outcome.final_seq,
            outcome.usage.input,
            outcome.usage.cached_input,
            outcome.usage.output,
            outcome.usage.reasoning,
            now,
            id.as_uuid(),
        )?;
        Ok(done == 1)
    }

    async fn cancel(&self, tx: &mut Tx, id: RunId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let ended = execute!(
            tx.conn(),
            "UPDATE saas_runs SET status = 'cancelled', cancel_requested = $1, final_seq = 1, finished_at = $2 \
             WHERE id = $3 AND status = 'queued'",
            true,
            now,
            id.as_uuid(),
        )?;
        if ended == 0 {
            let asked = "UPDATE saas_runs SET cancel_requested = $1 WHERE id = $2 AND status = 'running'";
            execute!(tx.conn(), asked, true, id.as_uuid())?;
        }
        Ok(ended == 1)
    }

    async fn under_way(
        &self,
        conn: &mut Conn,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<(RunId, TenantId)>, StoreError> {
        let rows = fetch_all!(
            conn,
            (Uuid, Uuid),
            concat!(
                "SELECT r.id, r.tenant_id FROM saas_runs r WHERE r.status IN ('queued', 'running') AND r.id > $1 \
                 AND (r.status = 'running' OR ",
                its_turn!(),
                ") ORDER BY r.id LIMIT $2"
            ),
            // The nil id comes before every id.
            after.map_or_else(Uuid::nil, RunId::as_uuid),
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(|(id, tenant)| (RunId::from_uuid(id), TenantId::from_uuid(tenant))).collect())
    }

    async fn next(&self, conn: &mut Conn, conversation: ConversationId) -> Result<Option<RunId>, StoreError> {
        let row = fetch_optional!(
            conn,
            (Uuid,),
            concat!("SELECT r.id FROM saas_runs r WHERE r.conversation_id = $1 AND ", its_turn!()),
            conversation.as_uuid(),
        )?;
        Ok(row.map(|(id,)| RunId::from_uuid(id)))
    }

    async fn of(
        &self,
        conn: &mut Conn,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RunId)>, StoreError> {
        let rows = fetch_all!(
            conn,
            (i64, Uuid),
            "SELECT position, id FROM saas_runs WHERE conversation_id = $1 AND position > $2 ORDER BY position LIMIT $3",
            conversation.as_uuid(),
            after,
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(|(position, id)| (position, RunId::from_uuid(id))).collect())
    }
}
