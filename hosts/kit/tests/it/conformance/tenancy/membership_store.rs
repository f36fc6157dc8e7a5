//! `MembershipStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth_sql::SqlUsers;
use saas_core::{
    Conn, Memberships, Role, Standing, StoreError, TenantChoice, TenantId, TenantState, Tx, UserId,
};
use saas_kit::testing::TestEngine;
use saas_sql::execute;
use saas_tenancy::{
    Held, Leaving, MembershipStore,
    conformance::membership_store::{LINES, MembershipStoreSubject as Subject, check},
};
use saas_tenancy_sql::{SqlMemberships, SqlTenants};

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, members: Arc<dyn MembershipStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject {
        storage: shared(&storage),
        users: Arc::new(SqlUsers),
        tenants: Arc::new(SqlTenants),
        members,
        kept: Box::new(database),
    }
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlMemberships)).await
}

on_each_engine!(saas_tenancy::membership_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl Memberships for Broken {
    async fn standing(
        &self,
        conn: &mut Conn,
        user: UserId,
        tenant: TenantId,
    ) -> Result<Option<Standing>, StoreError> {
        SqlMemberships.standing(conn, user, tenant).await
    }

    async fn standings(
        &self,
        conn: &mut Conn,
        members: &[(UserId, TenantId)],
    ) -> Result<Vec<((UserId, TenantId), Standing)>, StoreError> {
        SqlMemberships.standings(conn, members).await
    }

    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<TenantChoice>, StoreError> {
        SqlMemberships.of_user(conn, user, limit).await
    }
}

#[async_trait]
impl MembershipStore for Broken {
    async fn insert(
        &self,
        tx: &mut Tx,
        user: UserId,
        tenant: TenantId,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let inserted = SqlMemberships.insert(tx, user, tenant, role, now).await?;
        if self.0.starts_with("a_second_insert") {
            let overwrite = "UPDATE saas_memberships SET role = $1 WHERE tenant_id = $2 AND user_id = $3";
            execute!(tx.conn(), overwrite, role.as_str(), tenant.as_uuid(), user.as_uuid())?;
        }
        Ok(inserted || self.0.starts_with("a_user_is_at_most"))
    }

    async fn leaving(&self, tx: &mut Tx, user: UserId) -> Result<Vec<Leaving>, StoreError> {
        let mut leaving = SqlMemberships.leaving(tx, user).await?;
        if self.0.starts_with("leaving") {
            leaving.truncate(1);
        }
        Ok(leaving)
    }

    async fn held(
        &self,
        conn: &mut Conn,
        user: UserId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<Held>, StoreError> {
        let mut held = SqlMemberships.held(conn, user, after, limit).await?;
        if self.0.starts_with("held") {
            held.retain(|held| held.tenant.state == TenantState::Active);
        }
        Ok(held)
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
