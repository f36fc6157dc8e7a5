//! The program's own users: a table with ids and columns of its own, and what auth asks of it.

use async_trait::async_trait;
use saas_core::{
    Conn, DisplayName, Memberships, Role, Slug, Standing, StoreError, TenantChoice, TenantId, TenantName,
    TenantState, Tx, UserId,
};
use saas_sql::{execute, fetch_all, fetch_optional};

/// A user as the program knows them.
#[derive(Debug)]
pub(crate) struct OwnUser {
    pub(crate) id: i64,
    pub(crate) nickname: DisplayName,
}

/// The tenant of somebody who is alone in it: it has their id.
pub(crate) fn alone(user: UserId) -> TenantId {
    TenantId::from_uuid(user.as_uuid())
}

/// The table, tied to auth's by `account`.
pub(crate) async fn create_table(tx: &mut Tx) -> Result<(), StoreError> {
    execute!(
        tx.conn(),
        "CREATE TABLE IF NOT EXISTS users (
             id integer PRIMARY KEY,
             account blob NOT NULL UNIQUE REFERENCES saas_users (id) ON DELETE CASCADE,
             nickname text NOT NULL UNIQUE,
             banned integer NOT NULL DEFAULT 0
         ) STRICT"
    )?;
    Ok(())
}

/// Adds a user; `None` when the nickname is taken.
pub(crate) async fn insert(
    tx: &mut Tx,
    account: UserId,
    nickname: &DisplayName,
) -> Result<Option<OwnUser>, StoreError> {
    let row = fetch_optional!(
        tx.conn(),
        (i64,),
        "INSERT INTO users (account, nickname) VALUES ($1, $2) ON CONFLICT (nickname) DO NOTHING RETURNING id",
        account.as_uuid(),
        nickname.as_str(),
    )?;
    Ok(row.map(|(id,)| OwnUser { id, nickname: nickname.clone() }))
}

/// The user with that account.
pub(crate) async fn by_account(conn: &mut Conn, account: UserId) -> Result<Option<OwnUser>, StoreError> {
    let row = fetch_optional!(
        conn,
        (i64, String),
        "SELECT id, nickname FROM users WHERE account = $1",
        account.as_uuid()
    )?;
    Ok(row.map(|(id, nickname)| OwnUser { id, nickname: DisplayName::from_stored(nickname) }))
}

/// Everybody is the owner of a tenant of their own. Somebody who is banned can neither sign in nor go on with what they have.
#[derive(Debug)]
pub(crate) struct Alone;

#[async_trait]
impl Memberships for Alone {
    async fn standing(
        &self,
        conn: &mut Conn,
        user: UserId,
        tenant: TenantId,
    ) -> Result<Option<Standing>, StoreError> {
        if tenant != alone(user) {
            return Ok(None);
        }
        let row =
            fetch_optional!(conn, (bool,), "SELECT banned FROM users WHERE account = $1", user.as_uuid())?;
        Ok(row.map(|(banned,)| Standing {
            role: Role::Owner,
            tenant_state: if banned { TenantState::Suspended } else { TenantState::Active },
        }))
    }

    async fn standings(
        &self,
        conn: &mut Conn,
        members: &[(UserId, TenantId)],
    ) -> Result<Vec<((UserId, TenantId), Standing)>, StoreError> {
        let mut standings = Vec::with_capacity(members.len());
        for &(user, tenant) in members {
            let standing = self.standing(conn, user, tenant).await?;
            standings.extend(standing.map(|standing| ((user, tenant), standing)));
        }
        Ok(standings)
    }

    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<TenantChoice>, StoreError> {
        let rows = fetch_all!(
            conn,
            (String,),
            "SELECT nickname FROM users WHERE account = $1 AND banned = 0 LIMIT $2",
            user.as_uuid(),
            i64::from(limit),
        )?;
        let choice = |(nickname,): (String,)| TenantChoice {
            tenant: alone(user),
            slug: Slug::from_name(&nickname),
            name: TenantName::from_stored(nickname),
            role: Role::Owner,
        };
        Ok(rows.into_iter().map(choice).collect())
    }
}
