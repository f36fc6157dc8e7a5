//! Tenants in `saas_tenants`, memberships in `saas_memberships`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{
    Conn, Memberships, Role, Slug, Standing, StoreError, TenantChoice, TenantId, TenantName, TenantState, Tx,
    UserId,
};
use saas_sql::{Engine, engine, execute, fetch_all, fetch_optional, sql};
use saas_tenancy::{Held, Leaving, MembershipStore, Tenant, TenantStore};
use sqlx::QueryBuilder;
use uuid::Uuid;

/// [`TenantStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlTenants;

/// [`MembershipStore`] and [`Memberships`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlMemberships;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    slug: String,
    name: String,
    state: String,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Tenant {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: TenantId::from_uuid(row.id),
            slug: slug(&row.slug)?,
            name: TenantName::from_stored(row.name),
            state: state(&row.state),
            created_at: row.created_at,
        })
    }
}

/// A membership beside its tenant.
#[derive(sqlx::FromRow)]
struct HeldRow {
    #[sqlx(flatten)]
    tenant: Row,
    role: String,
    since: DateTime<Utc>,
    role_since: DateTime<Utc>,
}

/// A stored word that this release does not know: a newer one wrote it.
fn unknown(what: &'static str) -> StoreError {
    StoreError::Backend(format!("the stored {what} is not known to this release").into())
}

const fn state_word(state: TenantState) -> &'static str {
    match state {
        TenantState::Active => "active",
        _ => "suspended",
    }
}

/// An unknown state, from a newer release, counts as suspended.
fn state(word: &str) -> TenantState {
    if word == "active" { TenantState::Active } else { TenantState::Suspended }
}

fn role(word: &str) -> Result<Role, StoreError> {
    word.parse().map_err(|_| unknown("role"))
}

fn slug(text: &str) -> Result<Slug, StoreError> {
    Slug::parse(text).map_err(|_| unknown("slug"))
}

#[async_trait]
impl TenantStore for SqlTenants {
    async fn insert(&self, tx: &mut Tx, tenant: &Tenant) -> Result<bool, StoreError> {
        let inserted = execute!(
            tx.conn(),
            "INSERT INTO saas_tenants (id, slug, name, state, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5) \
             ON CONFLICT (slug) DO NOTHING",
            tenant.id.as_uuid(),
            tenant.slug.as_str(),
            tenant.name.as_str(),
            state_word(tenant.state),
            tenant.created_at,
        )?;
        Ok(inserted == 1)
    }

    async fn by_id(&self, conn: &mut Conn, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let row = fetch_optional!(
            conn,
            Row,
            "SELECT id, slug, name, state, created_at FROM saas_tenants WHERE id = $1",
            id.as_uuid()
        )?;
        row.map(Tenant::try_from).transpose()
    }

    async fn set_state(
        &self,
        tx: &mut Tx,
        id: TenantId,
        state: TenantState,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_tenants SET state = $1, updated_at = $2 WHERE id = $3",
            state_word(state),
            now,
            id.as_uuid(),
        )?;
        Ok(changed == 1)
    }
}

#[async_trait]
impl Memberships for SqlMemberships {
    async fn standing(
        &self,
        conn: &mut Conn,
        user: UserId,
        tenant: TenantId,
    ) -> Result<Option<Standing>, StoreError> {
        let row = fetch_optional!(
            conn,
            (String, String),
            "SELECT m.role, t.state FROM saas_memberships m JOIN saas_tenants t ON t.id = m.tenant_id \
             WHERE m.tenant_id = $1 AND m.user_id = $2",
            tenant.as_uuid(),
            user.as_uuid(),
        )?;
        row.map(|(role_word, state_word)| {
            Ok(Standing { role: role(&role_word)?, tenant_state: state(&state_word) })
        })
        .transpose()
    }

    async fn standings(
        &self,
        conn: &mut Conn,
        members: &[(UserId, TenantId)],
    ) -> Result<Vec<((UserId, TenantId), Standing)>, StoreError> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(Uuid, Uuid, String, String)> = sql!(conn, |c| async {
            let mut query = QueryBuilder::new(
                "SELECT m.user_id, m.tenant_id, m.role, t.state FROM saas_memberships m \
                 JOIN saas_tenants t ON t.id = m.tenant_id WHERE (m.tenant_id, m.user_id) IN (",
            );
            query.push_values(members, |mut row, (user, tenant)| {
                row.push_bind(tenant.as_uuid()).push_bind(user.as_uuid());
            });
            query.push(")");
            // Its text is another for each number of members: it is not worth a place among the prepared statements.
            query.build_query_as().persistent(false).fetch_all(c).await
        })?;
        rows.into_iter()
            .map(|(user, tenant, role_word, state_word)| {
                let standing = Standing { role: role(&role_word)?, tenant_state: state(&state_word) };
                Ok(((UserId::from_uuid(user), TenantId::from_uuid(tenant)), standing))
            })
            .collect()
    }

    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<TenantChoice>, StoreError> {
        let rows = fetch_all!(
            conn,
            (Uuid, String, String, String),
            "SELECT t.id, t.slug, t.name, m.role FROM saas_memberships m JOIN saas_tenants t ON t.id = m.tenant_id \
             WHERE m.user_id = $1 AND t.state = 'active' ORDER BY m.created_at, t.id LIMIT $2",
            user.as_uuid(),
            i64::from(limit),
        )?;
        rows.into_iter()
            .map(|(id, slug_text, name, role_word)| {
                Ok(TenantChoice {
                    tenant: TenantId::from_uuid(id),
                    slug: slug(&slug_text)?,
                    name: TenantName::from_stored(name),
                    role: role(&role_word)?,
                })
            })
            .collect()
    }
}

#[async_trait]
impl MembershipStore for SqlMemberships {
    async fn insert(
        &self,
        tx: &mut Tx,
        user: UserId,
        tenant: TenantId,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let inserted = execute!(
            tx.conn(),
            "INSERT INTO saas_memberships (tenant_id, user_id, role, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
             ON CONFLICT (tenant_id, user_id) DO NOTHING",
            tenant.as_uuid(),
            user.as_uuid(),
            role.as_str(),
            now,
        )?;
        Ok(inserted == 1)
    }

    async fn leaving(&self, tx: &mut Tx, user: UserId) -> Result<Vec<Leaving>, StoreError> {
        hold_tenants(tx.conn(), user).await?;
        let rows = fetch_all!(
            tx.conn(),
            (Uuid, String, i64, i64),
            "SELECT m.tenant_id, m.role, (SELECT COUNT(*) FROM saas_memberships o WHERE o.tenant_id = m.tenant_id), \
             (SELECT COUNT(*) FROM saas_memberships o WHERE o.tenant_id = m.tenant_id AND o.role = 'owner') \
             FROM saas_memberships m WHERE m.user_id = $1 ORDER BY m.created_at, m.tenant_id",
            user.as_uuid(),
        )?;
        let leaving = |(tenant, role_word, members, owners): (Uuid, String, i64, i64)| {
            Ok(Leaving { tenant: TenantId::from_uuid(tenant), role: role(&role_word)?, members, owners })
        };
        rows.into_iter().map(leaving).collect()
    }

    async fn held(
        &self,
        conn: &mut Conn,
        user: UserId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<Held>, StoreError> {
        let rows = fetch_all!(
            conn,
            HeldRow,
            "SELECT t.id, t.slug, t.name, t.state, t.created_at, m.role, m.created_at AS since, m.updated_at AS role_since \
             FROM saas_memberships m JOIN saas_tenants t ON t.id = m.tenant_id \
             WHERE m.user_id = $1 AND m.tenant_id > $2 ORDER BY m.tenant_id LIMIT $3",
            user.as_uuid(),
            after.map_or(Uuid::nil(), TenantId::as_uuid),
            i64::from(limit),
        )?;
        let held = |row: HeldRow| {
            let (since, role_since) = (row.since, row.role_since);
            Ok(Held { tenant: row.tenant.try_into()?, role: role(&row.role)?, since, role_since })
        };
        rows.into_iter().map(held).collect()
    }
}

/// Holds the tenants of a user, in one order for all: row locks on PostgreSQL; SQLite's one writer is us.
#[cfg_attr(
    not(feature = "postgres"),
    expect(clippy::unused_async, reason = "SQLite has nothing to wait for")
)]
async fn hold_tenants(conn: &mut Conn, user: UserId) -> Result<(), StoreError> {
    match engine(conn)? {
        #[cfg(feature = "postgres")]
        Engine::Postgres(c) => sqlx::query(
            "SELECT id FROM saas_tenants WHERE id IN (SELECT tenant_id FROM saas_memberships WHERE user_id = $1) ORDER BY id FOR UPDATE",
        )
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(drop)
        .map_err(|error| saas_sql::SqlError::from(error).into()),
        #[cfg(feature = "sqlite")]
        Engine::Sqlite(_) => {
            let _ = user;
            Ok(())
        }
    }
}
