//! `TenantStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, StoreError, TenantId, TenantState, Tx};
use saas_kit::testing::TestEngine;
use saas_tenancy::{
    Tenant, TenantStore,
    conformance::tenant_store::{LINES, TenantStoreSubject as Subject, check},
};
use saas_tenancy_sql::SqlTenants;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, tenants: Arc<dyn TenantStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), tenants, database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlTenants)).await
}

on_each_engine!(saas_tenancy::tenant_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

#[async_trait]
impl TenantStore for Broken {
    async fn insert(&self, tx: &mut Tx, tenant: &Tenant) -> Result<bool, StoreError> {
        let mut tenant = tenant.clone();
        if self.0.starts_with("what_was_inserted") {
            tenant.state = TenantState::Active;
        }
        let inserted = SqlTenants.insert(tx, &tenant).await?;
        Ok(inserted || self.0.starts_with("one_of_several"))
    }

    async fn by_id(&self, conn: &mut Conn, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        SqlTenants.by_id(conn, id).await
    }

    async fn set_state(
        &self,
        tx: &mut Tx,
        id: TenantId,
        state: TenantState,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let set = SqlTenants.set_state(tx, id, state, now).await?;
        Ok(set || self.0.starts_with("a_state"))
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
