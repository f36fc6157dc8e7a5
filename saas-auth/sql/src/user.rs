//! Users in `saas_users`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Credentials, InsertUserError, PasswordHash, User, UserStatus, UserStore};
use saas_core::{Conn, DisplayName, Email, StoreError, Tx, UserId};
use saas_sql::{Engine, SqlError, engine, execute, fetch_all, fetch_optional};
use uuid::Uuid;

/// [`UserStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlUsers;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    email_shown: String,
    display_name: Option<String>,
    status: String,
    password_hash: Option<String>,
    email_verified_at: Option<DateTime<Utc>>,
    password_compromised_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<Row> for Credentials {
    fn from(row: Row) -> Self {
        let user = User {
            id: UserId::from_uuid(row.id),
            email: Email::from_stored(row.email, row.email_shown),
            display_name: row.display_name.map(DisplayName::from_stored),
            status: UserStatus::from_stored(&row.status),
            email_verified_at: row.email_verified_at,
            password_compromised_at: row.password_compromised_at,
            created_at: row.created_at,
        };
        Self { user, password: row.password_hash.map(PasswordHash::from_stored) }
    }
}

macro_rules! columns {
    () => {
        "SELECT id, email, email_shown, display_name, status, password_hash, email_verified_at, password_compromised_at, created_at \
         FROM saas_users "
    };
}

#[async_trait]
impl UserStore for SqlUsers {
    async fn insert(&self, tx: &mut Tx, user: &User, password: &PasswordHash) -> Result<(), InsertUserError> {
        let inserted = execute!(
            tx.conn(),
            "INSERT INTO saas_users (id, email, email_shown, display_name, status, password_hash, email_verified_at, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (email) DO NOTHING",
            user.id.as_uuid(),
            user.email.as_str(),
            user.email.shown(),
            user.display_name.as_ref().map(DisplayName::as_str),
            user.status.as_str(),
            password.as_phc(),
            user.email_verified_at,
            user.created_at,
        )
        .map_err(StoreError::from)?;
        if inserted == 1 { Ok(()) } else { Err(InsertUserError::EmailTaken) }
    }

    async fn by_id(&self, conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
        let row = fetch_optional!(conn, Row, concat!(columns!(), "WHERE id = $1"), id.as_uuid())?;
        Ok(row.map(|row| Credentials::from(row).user))
    }

    async fn shared(&self, tx: &mut Tx, id: UserId) -> Result<Option<Credentials>, StoreError> {
        let held = match engine(tx.conn())? {
            #[cfg(feature = "postgres")]
            Engine::Postgres(c) => {
                let held = sqlx::query_as::<_, Row>(concat!(columns!(), "WHERE id = $1 FOR SHARE"));
                held.bind(id.as_uuid()).fetch_optional(c).await
            }
            // Its one writer is us.
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(c) => {
                let held = sqlx::query_as::<_, Row>(concat!(columns!(), "WHERE id = $1"));
                held.bind(id.as_uuid()).fetch_optional(c).await
            }
        };
        Ok(held.map_err(SqlError::from)?.map(Credentials::from))
    }

    async fn credentials(&self, conn: &mut Conn, email: &Email) -> Result<Option<Credentials>, StoreError> {
        let row = fetch_optional!(conn, Row, concat!(columns!(), "WHERE email = $1"), email.as_str())?;
        Ok(row.map(Credentials::from))
    }

    async fn list(
        &self,
        conn: &mut Conn,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        // The nil id comes before every id.
        let after = after.map_or_else(Uuid::nil, UserId::as_uuid);
        let query = concat!(columns!(), "WHERE id > $1 ORDER BY id LIMIT $2");
        let rows = fetch_all!(conn, Row, query, after, i64::from(limit))?;
        Ok(rows.into_iter().map(|row| Credentials::from(row).user).collect())
    }

    async fn set_status(
        &self,
        tx: &mut Tx,
        id: UserId,
        status: UserStatus,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET status = $1, updated_at = $2 WHERE id = $3",
            status.as_str(),
            now,
            id.as_uuid(),
        )?;
        Ok(changed == 1)
    }

    async fn replace_hash(
        &self,
        tx: &mut Tx,
        id: UserId,
        stored: &PasswordHash,
        new: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET password_hash = $1, updated_at = $2 WHERE id = $3 AND password_hash = $4",
            new.as_phc(),
            now,
            id.as_uuid(),
            stored.as_phc(),
        )?;
        Ok(changed == 1)
    }

    async fn flag_compromised(
        &self,
        tx: &mut Tx,
        id: UserId,
        stored: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET password_compromised_at = $1, updated_at = $1 \
             WHERE id = $2 AND password_hash = $3 AND password_compromised_at IS NULL",
            now,
            id.as_uuid(),
            stored.as_phc(),
        )?;
        Ok(changed == 1)
    }

    async fn set_password(
        &self,
        tx: &mut Tx,
        id: UserId,
        password: Option<&PasswordHash>,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET password_hash = $1, password_compromised_at = NULL, updated_at = $2 WHERE id = $3",
            password.map(PasswordHash::as_phc),
            now,
            id.as_uuid(),
        )?;
        Ok(changed == 1)
    }

    async fn replace_password(
        &self,
        tx: &mut Tx,
        id: UserId,
        read: &PasswordHash,
        password: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET password_hash = $1, password_compromised_at = NULL, updated_at = $2 WHERE id = $3 AND password_hash = $4",
            password.as_phc(),
            now,
            id.as_uuid(),
            read.as_phc(),
        )?;
        Ok(changed == 1)
    }

    async fn set_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        read: &Email,
        new: &Email,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET email = $1, email_shown = $2, email_verified_at = $3, updated_at = $3 WHERE id = $4 AND email = $5 \
             AND NOT EXISTS (SELECT 1 FROM saas_users other WHERE other.email = $1 AND other.id <> $4)",
            new.as_str(),
            new.shown(),
            now,
            id.as_uuid(),
            read.as_str(),
        );
        match changed {
            Ok(changed) => Ok(changed == 1),
            // Somebody took it between the look and the write.
            Err(SqlError::Sqlx(error))
                if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn verify_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_users SET email_verified_at = COALESCE(email_verified_at, $1), updated_at = $1 WHERE id = $2 AND email = $3",
            now,
            id.as_uuid(),
            email.as_str(),
        )?;
        Ok(changed == 1)
    }

    async fn delete(&self, tx: &mut Tx, id: UserId) -> Result<bool, StoreError> {
        Ok(execute!(tx.conn(), "DELETE FROM saas_users WHERE id = $1", id.as_uuid())? == 1)
    }
}
