//! `UserStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Credentials, InsertUserError, PasswordHash, User, UserStatus, UserStore,
    conformance::user_store::{LINES, UserStoreSubject as Subject, check},
};
use saas_auth_sql::SqlUsers;
use saas_core::{Conn, Email, StoreError, Tx, UserId};
use saas_kit::testing::TestEngine;
use saas_sql::execute;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn subject(engine: TestEngine) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlUsers), database)
}

on_each_engine!(saas_auth::user_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl UserStore for Broken {
    async fn insert(&self, tx: &mut Tx, user: &User, password: &PasswordHash) -> Result<(), InsertUserError> {
        let mut user = user.clone();
        if self.0 == "what_was_inserted_is_read_back_by_id_and_by_address" {
            user.display_name = None;
        }
        let done = SqlUsers.insert(tx, &user, password).await;
        if self.0.starts_with("one_of_several_inserts") { Ok(()) } else { done }
    }

    async fn by_id(&self, conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
        SqlUsers.by_id(conn, id).await
    }

    async fn shared(&self, tx: &mut Tx, id: UserId) -> Result<Option<Credentials>, StoreError> {
        if self.0.starts_with("a_shared_user") {
            let Some(user) = SqlUsers.by_id(tx.conn(), id).await? else { return Ok(None) };
            return SqlUsers.credentials(tx.conn(), &user.email).await;
        }
        SqlUsers.shared(tx, id).await
    }

    async fn credentials(&self, conn: &mut Conn, email: &Email) -> Result<Option<Credentials>, StoreError> {
        SqlUsers.credentials(conn, email).await
    }

    async fn list(
        &self,
        conn: &mut Conn,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        let mut users = SqlUsers.list(conn, after, limit).await?;
        if self.0.starts_with("the_list") {
            users.reverse();
        }
        Ok(users)
    }

    async fn set_status(
        &self,
        tx: &mut Tx,
        id: UserId,
        status: UserStatus,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let set = SqlUsers.set_status(tx, id, status, now).await?;
        Ok(set || self.0.starts_with("a_status"))
    }

    async fn replace_hash(
        &self,
        tx: &mut Tx,
        id: UserId,
        stored: &PasswordHash,
        new: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.0.starts_with("a_hash_is_replaced") {
            let set = "UPDATE saas_users SET password_hash = $1 WHERE id = $2";
            return Ok(execute!(tx.conn(), set, new.as_phc(), id.as_uuid())? == 1);
        }
        SqlUsers.replace_hash(tx, id, stored, new, now).await
    }

    async fn flag_compromised(
        &self,
        tx: &mut Tx,
        id: UserId,
        stored: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.0.starts_with("a_password_is_flagged") {
            let set = "UPDATE saas_users SET password_compromised_at = $1 WHERE id = $2";
            return Ok(execute!(tx.conn(), set, now, id.as_uuid())? == 1);
        }
        SqlUsers.flag_compromised(tx, id, stored, now).await
    }

    async fn set_password(
        &self,
        tx: &mut Tx,
        id: UserId,
        password: Option<&PasswordHash>,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        SqlUsers.set_password(tx, id, password, now).await
    }

    async fn replace_password(
        &self,
        tx: &mut Tx,
        id: UserId,
        read: &PasswordHash,
        password: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.0.starts_with("a_password") {
            return SqlUsers.set_password(tx, id, Some(password), now).await;
        }
        SqlUsers.replace_password(tx, id, read, password, now).await
    }

    async fn set_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        read: &Email,
        new: &Email,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        // Whatever address they have.
        let held = SqlUsers.by_id(tx.conn(), id).await?;
        let held = held.filter(|_| self.0.starts_with("an_address_is_given")).map(|user| user.email);
        SqlUsers.set_email(tx, id, held.as_ref().unwrap_or(read), new, now).await
    }

    async fn verify_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.0.starts_with("an_address_is_proved") {
            // The last time is what stays.
            execute!(
                tx.conn(),
                "UPDATE saas_users SET email_verified_at = NULL WHERE id = $1",
                id.as_uuid()
            )?;
        }
        SqlUsers.verify_email(tx, id, email, now).await
    }

    async fn delete(&self, tx: &mut Tx, id: UserId) -> Result<bool, StoreError> {
        let deleted = SqlUsers.delete(tx, id).await?;
        Ok(deleted || self.0.starts_with("a_user_is_deleted"))
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        // SQLite has one writer: there, a transaction that shares a user keeps every other one out.
        let (database, storage) = migrated(TestEngine::Postgres).await;
        let subject = Subject::new(shared(&storage), Arc::new(Broken(line)), database);
        assert_noticed(line, check(line, subject)).await;
    }
}
