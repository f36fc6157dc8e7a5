//! `RunStore`.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{
    ConversationId, IdempotencyKey, Outcome, Run, RunId, RunStore,
    conformance::run_store::{LINES, RunStoreSubject as Subject, check},
};
use saas_agents_sql::{SqlConversations, SqlRuns};
use saas_core::{Conn, StoreError, TenantId, Tx, UserId};
use saas_kit::testing::TestEngine;
use saas_sql::execute;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn subject(engine: TestEngine) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlConversations), Arc::new(SqlRuns), database)
}

on_each_engine!(saas_agents::run_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken {
    line: &'static str,
    /// What was inserted, for a store that forgets nothing.
    inserted: Mutex<Vec<Run>>,
}

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.line.starts_with(line)
    }
}

#[async_trait]
impl RunStore for Broken {
    async fn insert(&self, tx: &mut Tx, run: &Run) -> Result<(), StoreError> {
        let mut run = run.clone();
        self.inserted.lock().unwrap().push(run.clone());
        if self.breaks("of_several_inserts") {
            run.idempotency_key = None;
        }
        SqlRuns.insert(tx, &run).await
    }

    async fn queue(&self, tx: &mut Tx, conversation: ConversationId) -> Result<(i64, i64), StoreError> {
        let (waiting, last) = SqlRuns.queue(tx, conversation).await?;
        // A place that is free again must not be given again.
        Ok((waiting, if self.breaks("the_queue") { last.min(waiting) } else { last }))
    }

    async fn by_id(&self, conn: &mut Conn, tenant: TenantId, id: RunId) -> Result<Option<Run>, StoreError> {
        if self.breaks("what_was_inserted") {
            return SqlRuns.find(conn, id).await;
        }
        SqlRuns.by_id(conn, tenant, id).await
    }

    async fn find(&self, conn: &mut Conn, id: RunId) -> Result<Option<Run>, StoreError> {
        let found = SqlRuns.find(conn, id).await?;
        if found.is_none() && self.breaks("the_runs_of_a_conversation_that_is_removed") {
            return Ok(self.inserted.lock().unwrap().iter().find(|run| run.id == id).cloned());
        }
        Ok(found)
    }

    async fn by_key(
        &self,
        conn: &mut Conn,
        tenant: TenantId,
        user: UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<Run>, StoreError> {
        SqlRuns.by_key(conn, tenant, user, key).await
    }

    async fn claim(&self, tx: &mut Tx, id: RunId, model: &str) -> Result<Option<Run>, StoreError> {
        let claimed = SqlRuns.claim(tx, id, model).await?;
        if self.breaks("of_several_claims") { SqlRuns.find(tx.conn(), id).await } else { Ok(claimed) }
    }

    async fn to_go_on(&self, conn: &mut Conn, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        if self.breaks("a_waiting_run") {
            return Ok(runs.to_vec());
        }
        SqlRuns.to_go_on(conn, runs).await
    }

    async fn finish(
        &self,
        tx: &mut Tx,
        id: RunId,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.breaks("a_running_run") {
            execute!(
                tx.conn(),
                "UPDATE saas_runs SET status = 'running' WHERE id = $1 AND status <> 'queued'",
                id.as_uuid()
            )?;
        }
        SqlRuns.finish(tx, id, outcome, now).await
    }

    async fn cancel(&self, tx: &mut Tx, id: RunId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        if self.breaks("a_final_run") {
            execute!(
                tx.conn(),
                "UPDATE saas_runs SET cancel_requested = $1 WHERE id = $2",
                true,
                id.as_uuid()
            )?;
        }
        SqlRuns.cancel(tx, id, now).await
    }

    async fn under_way(
        &self,
        conn: &mut Conn,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<(RunId, TenantId)>, StoreError> {
        let mut under_way = SqlRuns.under_way(conn, after, limit).await?;
        if self.breaks("what_runs_or_has_its_turn") {
            // The one that runs, or has for long had its turn, is not there any more.
            under_way.retain(|(id, _)| after.is_some_and(|after| after < *id));
        }
        Ok(under_way)
    }

    async fn next(&self, conn: &mut Conn, conversation: ConversationId) -> Result<Option<RunId>, StoreError> {
        if self.breaks("only_the_run") {
            // The first that is there, whether it waits or not.
            let first = SqlRuns.of(conn, conversation, 0, 1).await?;
            return Ok(first.first().map(|(_, id)| *id));
        }
        SqlRuns.next(conn, conversation).await
    }

    async fn of(
        &self,
        conn: &mut Conn,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RunId)>, StoreError> {
        let mut runs = SqlRuns.of(conn, conversation, after, limit).await?;
        if self.breaks("the_runs_of_a_conversation_are_read") {
            runs.sort_by_key(|(_, id)| *id);
        }
        Ok(runs)
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let (database, storage) = migrated(TestEngine::Sqlite).await;
        let broken = Arc::new(Broken { line, inserted: Mutex::default() });
        let subject = Subject::new(shared(&storage), Arc::new(SqlConversations), broken, database);
        assert_noticed(line, check(line, subject)).await;
    }
}
