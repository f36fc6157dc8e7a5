//! Sessions in `saas_sessions`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    AuthMethods, Device, Family, PageStart, Reauthentication, Revocation, Rotated, Rotation, Session,
    SessionFilter, SessionStore, Snapshot, Touch, User, UserStatus,
};
use saas_core::{Conn, DisplayName, Email, Envelope, SessionId, StoreError, TenantId, Tx, UserId};
use saas_sql::{execute, fetch_all, fetch_one, fetch_optional, sql};
use sqlx::QueryBuilder;
use uuid::Uuid;

/// [`SessionStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlSessions;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    tenant_id: Uuid,
    version: i64,
    client_id: String,
    key_id: String,
    salt: Vec<u8>,
    generation: i64,
    rotated_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    absolute_expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    platform: Option<String>,
    browser: Option<String>,
    device: Option<String>,
    user_agent: Option<String>,
    address_envelope: Option<Vec<u8>>,
    place_envelope: Option<Vec<u8>>,
    fingerprint: Option<String>,
    authenticated_at: Option<DateTime<Utc>>,
    methods: String,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, user_id, tenant_id, version, client_id, key_id, salt, generation, rotated_at, created_at, last_seen_at, \
         idle_expires_at, absolute_expires_at, revoked_at, platform, browser, device, user_agent, address_envelope, place_envelope, fingerprint, \
         authenticated_at, methods"
    };
}

impl From<Row> for Family {
    fn from(row: Row) -> Self {
        let session = Session {
            id: SessionId::from_uuid(row.id),
            user: UserId::from_uuid(row.user_id),
            tenant: TenantId::from_uuid(row.tenant_id),
            version: row.version,
            created_at: row.created_at,
            // Earlier releases do not write it.
            authenticated_at: row.authenticated_at.unwrap_or(row.created_at),
            methods: AuthMethods::from_stored(&row.methods),
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            absolute_expires_at: row.absolute_expires_at,
            revoked_at: row.revoked_at,
            device: Device { platform: row.platform, browser: row.browser, device: row.device },
            user_agent: row.user_agent,
            address: row.address_envelope.map(Envelope::from_stored),
            place: row.place_envelope.map(Envelope::from_stored),
            fingerprint: row.fingerprint,
        };
        Self {
            session,
            client_id: row.client_id,
            key_id: row.key_id,
            salt: row.salt,
            generation: row.generation,
            rotated_at: row.rotated_at,
        }
    }
}

/// A session's user beside it.
#[derive(sqlx::FromRow)]
struct UserColumns {
    user_id: Uuid,
    email: String,
    email_shown: String,
    display_name: Option<String>,
    status: String,
    email_verified_at: Option<DateTime<Utc>>,
    password_compromised_at: Option<DateTime<Utc>>,
    user_created_at: DateTime<Utc>,
}

impl From<UserColumns> for User {
    fn from(row: UserColumns) -> Self {
        Self {
            id: UserId::from_uuid(row.user_id),
            email: Email::from_stored(row.email, row.email_shown),
            display_name: row.display_name.map(DisplayName::from_stored),
            status: UserStatus::from_stored(&row.status),
            email_verified_at: row.email_verified_at,
            password_compromised_at: row.password_compromised_at,
            created_at: row.user_created_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct RowWithUser {
    #[sqlx(flatten)]
    session: Row,
    #[sqlx(flatten)]
    user: UserColumns,
}

/// Narrow: PostgreSQL spends as much on sending a column as on finding the row.
#[derive(sqlx::FromRow)]
struct RotatedRow {
    version: i64,
    key_id: String,
    created_at: DateTime<Utc>,
    authenticated_at: Option<DateTime<Utc>>,
    methods: String,
    absolute_expires_at: DateTime<Utc>,
    email_verified_at: Option<DateTime<Utc>>,
    password_compromised_at: Option<DateTime<Utc>>,
}

impl From<RotatedRow> for Rotated {
    fn from(row: RotatedRow) -> Self {
        Self {
            version: row.version,
            key_id: row.key_id,
            authenticated_at: row.authenticated_at.unwrap_or(row.created_at),
            methods: AuthMethods::from_stored(&row.methods),
            absolute_expires_at: row.absolute_expires_at,
            email_verified: row.email_verified_at.is_some(),
            password_compromised: row.password_compromised_at.is_some(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct SnapshotRow {
    id: Uuid,
    tenant_id: Uuid,
    version: i64,
    created_at: DateTime<Utc>,
    authenticated_at: Option<DateTime<Utc>>,
    methods: String,
    revoked_at: Option<DateTime<Utc>>,
    idle_expires_at: DateTime<Utc>,
    absolute_expires_at: DateTime<Utc>,
    #[sqlx(flatten)]
    user: UserColumns,
}

impl From<SnapshotRow> for Snapshot {
    fn from(row: SnapshotRow) -> Self {
        Self {
            user: row.user.into(),
            tenant: TenantId::from_uuid(row.tenant_id),
            version: row.version,
            authenticated_at: row.authenticated_at.unwrap_or(row.created_at),
            methods: AuthMethods::from_stored(&row.methods),
            revoked: row.revoked_at.is_some(),
            expires_at: row.idle_expires_at.min(row.absolute_expires_at),
        }
    }
}

/// [`SnapshotRow`] of the sessions that a condition follows for.
macro_rules! snapshots {
    () => {
        "SELECT s.id, s.user_id, s.tenant_id, s.version, s.created_at, s.authenticated_at, s.methods, s.revoked_at, s.idle_expires_at, \
         s.absolute_expires_at, \
         u.email, u.email_shown, u.display_name, u.status, u.email_verified_at, u.password_compromised_at, u.created_at AS user_created_at \
         FROM saas_sessions s JOIN saas_users u ON u.id = s.user_id WHERE s.id "
    };
}

/// Which family a rotation moves, by its binds `$1` to `$8`.
macro_rules! rotatable {
    () => {
        "WHERE id = $1 AND generation = $2 AND revoked_at IS NULL AND idle_expires_at > $3 AND absolute_expires_at > $3 \
         AND user_id = $5 AND tenant_id = $6 AND client_id = $7 AND salt = $8 \
         AND EXISTS (SELECT 1 FROM saas_users u WHERE u.id = $5 AND u.status = 'active') \
         RETURNING version, key_id, created_at, authenticated_at, methods, absolute_expires_at, \
         (SELECT u.email_verified_at FROM saas_users u WHERE u.id = $5) AS email_verified_at, \
         (SELECT u.password_compromised_at FROM saas_users u WHERE u.id = $5) AS password_compromised_at"
    };
}

/// Which rows a filter lets through: `$1` user, `$2` tenant or null, `$3` whether ended ones count, `$4` now.
macro_rules! filtered {
    () => {
        "FROM saas_sessions WHERE user_id = $1 AND (CAST($2 AS uuid) IS NULL OR tenant_id = $2) \
         AND ($3 OR (revoked_at IS NULL AND idle_expires_at > $4 AND absolute_expires_at > $4))"
    };
}

#[async_trait]
impl SessionStore for SqlSessions {
    async fn insert(&self, tx: &mut Tx, family: &Family) -> Result<(), StoreError> {
        let session = &family.session;
        execute!(
            tx.conn(),
            concat!(
                "INSERT INTO saas_sessions (",
                columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)"
            ),
            session.id.as_uuid(),
            session.user.as_uuid(),
            session.tenant.as_uuid(),
            session.version,
            family.client_id.as_str(),
            family.key_id.as_str(),
            family.salt.as_slice(),
            family.generation,
            family.rotated_at,
            session.created_at,
            session.last_seen_at,
            session.idle_expires_at,
            session.absolute_expires_at,
            session.revoked_at,
            session.device.platform.as_deref(),
            session.device.browser.as_deref(),
            session.device.device.as_deref(),
            session.user_agent.as_deref(),
            session.address.as_ref().map(Envelope::as_bytes),
            session.place.as_ref().map(Envelope::as_bytes),
            session.fingerprint.as_deref(),
            session.authenticated_at,
            session.methods.to_stored(),
        )?;
        Ok(())
    }

    async fn family(&self, conn: &mut Conn, id: SessionId) -> Result<Option<(Family, User)>, StoreError> {
        let row = fetch_optional!(
            conn,
            RowWithUser,
            "SELECT s.id, s.user_id, s.tenant_id, s.version, s.client_id, s.key_id, s.salt, s.generation, s.rotated_at, s.created_at, \
             s.last_seen_at, s.idle_expires_at, s.absolute_expires_at, s.revoked_at, s.platform, s.browser, s.device, s.user_agent, \
             s.address_envelope, s.place_envelope, s.fingerprint, s.authenticated_at, s.methods, u.email, u.email_shown, u.display_name, u.status, \
             u.email_verified_at, u.password_compromised_at, \
             u.created_at AS user_created_at FROM saas_sessions s JOIN saas_users u ON u.id = s.user_id WHERE s.id = $1",
            id.as_uuid()
        )?;
        Ok(row.map(|row| (Family::from(row.session), User::from(row.user))))
    }

    async fn rotate(&self, tx: &mut Tx, rotation: &Rotation<'_>) -> Result<Option<Rotated>, StoreError> {
        let row = fetch_optional!(
            tx.conn(),
            RotatedRow,
            concat!(
                "UPDATE saas_sessions SET generation = generation + 1, rotated_at = $3, last_seen_at = $3, idle_expires_at = $4 ",
                rotatable!()
            ),
            rotation.session.as_uuid(),
            rotation.generation,
            rotation.now,
            rotation.idle_expires_at,
            rotation.user.as_uuid(),
            rotation.tenant.as_uuid(),
            rotation.client_id,
            rotation.salt,
        )?;
        Ok(row.map(Rotated::from))
    }

    async fn switch(
        &self,
        tx: &mut Tx,
        rotation: &Rotation<'_>,
        to: TenantId,
    ) -> Result<Option<Rotated>, StoreError> {
        let row = fetch_optional!(
            tx.conn(),
            RotatedRow,
            concat!(
                "UPDATE saas_sessions SET generation = generation + 1, rotated_at = $3, last_seen_at = $3, idle_expires_at = $4, \
                 tenant_id = $9, version = version + 1 ",
                rotatable!()
            ),
            rotation.session.as_uuid(),
            rotation.generation,
            rotation.now,
            rotation.idle_expires_at,
            rotation.user.as_uuid(),
            rotation.tenant.as_uuid(),
            rotation.client_id,
            rotation.salt,
            to.as_uuid(),
        )?;
        Ok(row.map(Rotated::from))
    }

    async fn touch(&self, tx: &mut Tx, touch: &Touch) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_sessions SET last_seen_at = $1, idle_expires_at = $2 WHERE id = $3 AND version = $4 \
             AND revoked_at IS NULL AND idle_expires_at > $1 AND absolute_expires_at > $1 AND last_seen_at <= $5",
            touch.now,
            touch.idle_expires_at,
            touch.session.as_uuid(),
            touch.version,
            touch.last_seen_before,
        )?;
        Ok(changed == 1)
    }

    async fn set_place(&self, tx: &mut Tx, id: SessionId, place: &Envelope) -> Result<bool, StoreError> {
        let set = "UPDATE saas_sessions SET place_envelope = $1 WHERE id = $2";
        Ok(execute!(tx.conn(), set, place.as_bytes(), id.as_uuid())? == 1)
    }

    async fn revoke(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_sessions SET revoked_at = $1, revoked_reason = $2 WHERE id = $3 AND user_id = $4 AND revoked_at IS NULL",
            now,
            why.as_str(),
            id.as_uuid(),
            user.as_uuid(),
        )?;
        Ok(changed == 1)
    }

    async fn revoke_all(
        &self,
        tx: &mut Tx,
        user: UserId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Ok(execute!(
            tx.conn(),
            "UPDATE saas_sessions SET revoked_at = $1, revoked_reason = $2 WHERE user_id = $3 AND revoked_at IS NULL",
            now,
            why.as_str(),
            user.as_uuid(),
        )?)
    }

    async fn revoke_others(
        &self,
        tx: &mut Tx,
        user: UserId,
        kept: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Ok(execute!(
            tx.conn(),
            "UPDATE saas_sessions SET revoked_at = $1, revoked_reason = $2 WHERE user_id = $3 AND id <> $4 AND revoked_at IS NULL",
            now,
            why.as_str(),
            user.as_uuid(),
            kept.as_uuid(),
        )?)
    }

    async fn authenticate_again(&self, tx: &mut Tx, again: &Reauthentication) -> Result<bool, StoreError> {
        let noted = execute!(
            tx.conn(),
            "UPDATE saas_sessions SET authenticated_at = $3, methods = $4, version = version + 1, guesses = 0 \
             WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND idle_expires_at > $3 AND absolute_expires_at > $3",
            again.session.as_uuid(),
            again.user.as_uuid(),
            again.now,
            again.methods.to_stored(),
        )?;
        Ok(noted == 1)
    }

    async fn guess(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let counted = execute!(
            tx.conn(),
            "UPDATE saas_sessions SET guesses = guesses + 1 WHERE id = $1 AND user_id = $2 AND guesses < $3 \
             AND revoked_at IS NULL AND idle_expires_at > $4 AND absolute_expires_at > $4",
            id.as_uuid(),
            user.as_uuid(),
            most,
            now,
        )?;
        Ok(counted == 1)
    }

    async fn snapshot(&self, conn: &mut Conn, id: SessionId) -> Result<Option<Snapshot>, StoreError> {
        let row = fetch_optional!(conn, SnapshotRow, concat!(snapshots!(), "= $1"), id.as_uuid())?;
        Ok(row.map(Snapshot::from))
    }

    async fn snapshots(
        &self,
        conn: &mut Conn,
        ids: &[SessionId],
    ) -> Result<Vec<(SessionId, Snapshot)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<SnapshotRow> = sql!(conn, |c| async {
            let mut query = QueryBuilder::new(concat!(snapshots!(), "IN ("));
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_uuid());
            }
            query.push(")");
            // Its text is another for each number of sessions: it is not worth a place among the prepared statements.
            query.build_query_as().persistent(false).fetch_all(c).await
        })?;
        Ok(rows.into_iter().map(|row| (SessionId::from_uuid(row.id), row.into())).collect())
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
        let tenant = filter.tenant.map(TenantId::as_uuid);
        let rows = match start {
            PageStart::Offset(offset) => fetch_all!(
                conn,
                Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " ",
                    filtered!(),
                    " ORDER BY last_seen_at DESC, id DESC LIMIT $5 OFFSET $6"
                ),
                user.as_uuid(),
                tenant,
                filter.include_ended,
                now,
                i64::from(limit),
                i64::from(*offset),
            )?,
            PageStart::After(seen, id) => fetch_all!(
                conn,
                Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " ",
                    filtered!(),
                    " AND (last_seen_at < $5 OR (last_seen_at = $5 AND id < $6)) ORDER BY last_seen_at DESC, id DESC LIMIT $7"
                ),
                user.as_uuid(),
                tenant,
                filter.include_ended,
                now,
                seen,
                id.as_uuid(),
                i64::from(limit),
            )?,
        };
        Ok(rows.into_iter().map(|row| Family::from(row).session).collect())
    }

    async fn count(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        let (count,): (i64,) = fetch_one!(
            conn,
            (i64,),
            concat!("SELECT COUNT(*) ", filtered!()),
            user.as_uuid(),
            filter.tenant.map(TenantId::as_uuid),
            filter.include_ended,
            now,
        )?;
        Ok(count)
    }
}
