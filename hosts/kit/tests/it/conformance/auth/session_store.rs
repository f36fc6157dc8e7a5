//! `SessionStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Family, PageStart, Reauthentication, Revocation, Rotated, Rotation, Session, SessionFilter, SessionStore,
    Snapshot, Touch, User,
    conformance::session_store::{LINES, SessionStoreSubject as Subject, check},
};
use saas_auth_sql::{SqlSessions, SqlUsers};
use saas_core::{Conn, Envelope, SessionId, StoreError, TenantId, Tx, UserId};
use saas_kit::testing::TestEngine;
use saas_sql::execute;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, sessions: Arc<dyn SessionStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlUsers), sessions, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlSessions)).await
}

on_each_engine!(saas_auth::session_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl SessionStore for Broken {
    async fn insert(&self, tx: &mut Tx, family: &Family) -> Result<(), StoreError> {
        let mut family = family.clone();
        if self.0.starts_with("what_was_inserted") {
            family.session.user_agent = None;
        }
        SqlSessions.insert(tx, &family).await
    }

    async fn family(&self, conn: &mut Conn, id: SessionId) -> Result<Option<(Family, User)>, StoreError> {
        SqlSessions.family(conn, id).await
    }

    async fn rotate(&self, tx: &mut Tx, rotation: &Rotation<'_>) -> Result<Option<Rotated>, StoreError> {
        let there = SqlSessions.family(tx.conn(), rotation.session).await?.map(|(family, _)| family);
        let mut rotation = *rotation;
        match &there {
            // Whatever generation is asked for, the one that is there moves.
            Some(there) if self.0.starts_with("of_several_rotations") => {
                rotation.generation = there.generation;
            }
            // Whatever salt is named.
            Some(there) if self.0.starts_with("only_the_family") => rotation.salt = &there.salt,
            // As if no session ever ended.
            _ if self.0.starts_with("a_session_that_was_revoked") => {
                rotation.now = DateTime::UNIX_EPOCH;
                execute!(
                    tx.conn(),
                    "UPDATE saas_sessions SET revoked_at = NULL WHERE id = $1",
                    rotation.session.as_uuid()
                )?;
            }
            _ => {}
        }
        SqlSessions.rotate(tx, &rotation).await
    }

    async fn switch(
        &self,
        tx: &mut Tx,
        rotation: &Rotation<'_>,
        to: TenantId,
    ) -> Result<Option<Rotated>, StoreError> {
        let switched = SqlSessions.switch(tx, rotation, to).await?;
        if self.0.starts_with("a_switch") && switched.is_some() {
            let set = "UPDATE saas_sessions SET version = version - 1 WHERE id = $1";
            execute!(tx.conn(), set, rotation.session.as_uuid())?;
        }
        Ok(switched)
    }

    async fn touch(&self, tx: &mut Tx, touch: &Touch) -> Result<bool, StoreError> {
        // However lately it was seen.
        let always = Touch { last_seen_before: touch.now, ..*touch };
        let touch = if self.0.starts_with("a_touch") { &always } else { touch };
        SqlSessions.touch(tx, touch).await
    }

    async fn set_place(&self, tx: &mut Tx, id: SessionId, place: &Envelope) -> Result<bool, StoreError> {
        if self.0.starts_with("a_place") {
            let set = "UPDATE saas_sessions SET place_envelope = $1 WHERE $2 = $2";
            return Ok(execute!(tx.conn(), set, place.as_bytes(), id.as_uuid())? > 0);
        }
        SqlSessions.set_place(tx, id, place).await
    }

    async fn revoke_others(
        &self,
        tx: &mut Tx,
        user: UserId,
        kept: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        if self.0.starts_with("ending_the_others") {
            return SqlSessions.revoke_all(tx, user, why, now).await;
        }
        SqlSessions.revoke_others(tx, user, kept, why, now).await
    }

    async fn revoke(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.0.starts_with("a_session_of_another_user") {
            let owner =
                SqlSessions.family(tx.conn(), id).await?.map_or(user, |(family, _)| family.session.user);
            return SqlSessions.revoke(tx, owner, id, why, now).await;
        }
        if self.0.starts_with("a_revoked_session") {
            let set = "UPDATE saas_sessions SET revoked_at = $1 WHERE id = $2";
            return Ok(execute!(tx.conn(), set, now, id.as_uuid())? == 1);
        }
        SqlSessions.revoke(tx, user, id, why, now).await
    }

    async fn revoke_all(
        &self,
        tx: &mut Tx,
        user: UserId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        SqlSessions.revoke_all(tx, user, why, now).await
    }

    async fn authenticate_again(&self, tx: &mut Tx, again: &Reauthentication) -> Result<bool, StoreError> {
        if self.0.starts_with("who_authenticates_again") {
            let set = "UPDATE saas_sessions SET authenticated_at = $1, version = version + 1 WHERE id = $2";
            return Ok(execute!(tx.conn(), set, again.now, again.session.as_uuid())? == 1);
        }
        SqlSessions.authenticate_again(tx, again).await
    }

    async fn guess(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let most = if self.0.starts_with("no_more_guesses") { most + 1 } else { most };
        SqlSessions.guess(tx, user, id, most, now).await
    }

    async fn snapshot(&self, conn: &mut Conn, id: SessionId) -> Result<Option<Snapshot>, StoreError> {
        let mut snapshot = SqlSessions.snapshot(conn, id).await?;
        if let Some(snapshot) = &mut snapshot
            && self.0.starts_with("a_snapshot")
        {
            snapshot.revoked = false;
        }
        Ok(snapshot)
    }

    async fn snapshots(
        &self,
        conn: &mut Conn,
        ids: &[SessionId],
    ) -> Result<Vec<(SessionId, Snapshot)>, StoreError> {
        // As if the first were all that was asked for.
        let ids = if self.0.starts_with("snapshots") { &ids[..1] } else { ids };
        SqlSessions.snapshots(conn, ids).await
    }

    async fn list(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        start: &PageStart,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Session>, StoreError> {
        let start = match start {
            // Seen at the same moment as the last of the page before: given again, or left out.
            PageStart::After(seen, _) if self.0.starts_with("the_list") => {
                &PageStart::After(*seen, last_id())
            }
            start => start,
        };
        SqlSessions.list(conn, user, filter, start, limit, now).await
    }

    async fn count(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        SqlSessions.count(conn, user, filter, now).await
    }
}

/// The greatest id there can be.
fn last_id() -> SessionId {
    "ffffffff-ffff-ffff-ffff-ffffffffffff".parse().unwrap()
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
