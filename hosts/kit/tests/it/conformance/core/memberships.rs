//! `Memberships`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{PasswordHash, User, UserStatus, UserStore};
use saas_auth_sql::SqlUsers;
use saas_core::{
    Conn, Email, Memberships, Reach, Role, Slug, Standing, Storage, StoreError, TenantChoice, TenantId,
    TenantName, TenantState, UserId,
    conformance::memberships::{LINES, MembershipsSubject as Subject, People, check},
};
use saas_kit::testing::TestEngine;
use saas_sql::SqlStorage;
use saas_tenancy::{MembershipStore, Tenant, TenantStore};
use saas_tenancy_sql::{SqlMemberships, SqlTenants};

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

const TEST: Reach = Reach::Platform("a test");

/// The stores that write what memberships answer of.
#[derive(Debug)]
struct Stores(SqlStorage);

#[async_trait]
impl People for Stores {
    async fn add_user(&self, id: UserId) {
        let mut tx = self.0.begin(TEST).await.unwrap();
        let user = User {
            id,
            email: Email::parse(&format!("{id}@example.com")).unwrap(),
            display_name: None,
            status: UserStatus::Active,
            email_verified_at: None,
            password_compromised_at: None,
            created_at: DateTime::UNIX_EPOCH,
        };
        SqlUsers.insert(&mut tx, &user, &PasswordHash::from_stored("$none$".to_owned())).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn add_tenant(&self, id: TenantId, slug: Slug, name: TenantName) {
        let mut tx = self.0.begin(TEST).await.unwrap();
        let tenant = Tenant { id, slug, name, state: TenantState::Active, created_at: DateTime::UNIX_EPOCH };
        assert!(SqlTenants.insert(&mut tx, &tenant).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn add_member(&self, user: UserId, tenant: TenantId, role: Role, since: DateTime<Utc>) {
        let mut tx = self.0.begin(TEST).await.unwrap();
        assert!(SqlMemberships.insert(&mut tx, user, tenant, role, since).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn set_state(&self, tenant: TenantId, state: TenantState) {
        let mut tx = self.0.begin(TEST).await.unwrap();
        assert!(SqlTenants.set_state(&mut tx, tenant, state, DateTime::UNIX_EPOCH).await.unwrap());
        tx.commit().await.unwrap();
    }
}

async fn subject(engine: TestEngine) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), Arc::new(SqlMemberships), Arc::new(Stores(storage)), database)
}

on_each_engine!(saas_core::memberships_conformance);

/// The SQL adapter, but for one line of the contract.
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
        let standing = SqlMemberships.standing(conn, user, tenant).await?;
        Ok(match self.0 {
            "standing_tells_the_role_and_the_tenants_state_as_they_are_now" => {
                standing.map(|standing| Standing { tenant_state: TenantState::Active, ..standing })
            }
            "who_is_no_member_has_no_standing" => {
                standing.or(Some(Standing { role: Role::Viewer, tenant_state: TenantState::Active }))
            }
            _ => standing,
        })
    }

    async fn standings(
        &self,
        conn: &mut Conn,
        members: &[(UserId, TenantId)],
    ) -> Result<Vec<((UserId, TenantId), Standing)>, StoreError> {
        let mut standings = SqlMemberships.standings(conn, members).await?;
        if self.0.starts_with("standings") {
            // Each member's, whatever the tenant.
            for &(user, tenant) in members {
                let own = standings.iter().find(|((member, _), _)| *member == user).copied();
                standings.extend(own.map(|(_, standing)| ((user, tenant), standing)));
            }
        }
        Ok(standings)
    }

    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<TenantChoice>, StoreError> {
        let mut choices = SqlMemberships.of_user(conn, user, limit).await?;
        match self.0 {
            "of_user_lists_the_active_tenants_of_the_user_as_they_are" => {
                for choice in &mut choices {
                    choice.role = Role::Viewer;
                }
            }
            "of_user_lists_the_oldest_memberships_first_up_to_a_limit" => choices.reverse(),
            _ => {}
        }
        Ok(choices)
    }
}

#[tokio::test]
async fn memberships_that_break_a_line_are_noticed() {
    for line in LINES {
        let (database, storage) = migrated(TestEngine::Sqlite).await;
        let people = Arc::new(Stores(storage.clone()));
        let subject = Subject::new(shared(&storage), Arc::new(Broken(line)), people, database);
        assert_noticed(line, check(line, subject)).await;
    }
}
