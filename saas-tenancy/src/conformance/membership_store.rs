//! The contract of [`MembershipStore`], beyond that of [`Memberships`](saas_core::Memberships).

use std::{any::Any, sync::Arc};

use saas_auth::{PasswordHash, User, UserStatus, UserStore};
use saas_core::{Email, Role, Storage, StoreError, UserId, conformance::at_once};

use super::{REACH, at, tenant, uuid};
use crate::{MembershipStore, TenantStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`MembershipStore`](crate::MembershipStore): takes the path of an `async fn() -> MembershipStoreSubject`, makes a test of
    /// each line of its contract.
    membership_store_conformance, saas_tenancy, membership_store, MembershipStoreSubject,
    [
        a_user_is_at_most_one_member_of_a_tenant,
        a_second_insert_changes_nothing,
    ]
}

/// A store without members, the stores of the users and tenants that they are of, and the storage that all are in.
#[derive(Debug)]
pub struct MembershipStoreSubject {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    /// Where users are.
    pub users: Arc<dyn UserStore>,
    /// Where tenants are.
    pub tenants: Arc<dyn TenantStore>,
    /// The store to check.
    pub members: Arc<dyn MembershipStore>,
    /// Dropped after the test, as a temporary folder should be.
    pub kept: Box<dyn Any + Send>,
}

fn user_id(number: u128) -> UserId {
    UserId::from_uuid(uuid(number))
}

impl MembershipStoreSubject {
    /// User 1 and tenants 1 and 2.
    async fn seed(&self) {
        let user = User {
            id: user_id(1),
            email: Email::parse("ada@example.com").unwrap(),
            display_name: None,
            status: UserStatus::Active,
            email_verified_at: None,
            password_compromised_at: None,
            created_at: at(0),
        };
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.users.insert(&mut tx, &user, &PasswordHash::from_stored("$none$".to_owned())).await.unwrap();
        for number in [1, 2] {
            assert!(self.tenants.insert(&mut tx, &tenant(number)).await.unwrap());
        }
        tx.commit().await.unwrap();
    }

    async fn insert(&self, tenant_number: u128, role: Role) -> Result<bool, StoreError> {
        let mut tx = self.storage.begin(REACH).await?;
        let added = self.members.insert(&mut tx, user_id(1), tenant(tenant_number).id, role, at(0)).await?;
        tx.commit().await?;
        Ok(added)
    }

    async fn role(&self, tenant_number: u128) -> Option<Role> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let standing = self.members.standing(&mut conn, user_id(1), tenant(tenant_number).id).await.unwrap();
        standing.map(|standing| standing.role)
    }
}

async fn a_user_is_at_most_one_member_of_a_tenant(subject: MembershipStoreSubject) {
    subject.seed().await;
    let added = at_once(8, |_| subject.insert(1, Role::Member)).await;
    let added: Vec<bool> = added.into_iter().map(|added| added.expect("each is answered")).collect();
    assert_eq!(added.iter().filter(|added| **added).count(), 1, "one of eight adds the member: {added:?}");
    assert_eq!((subject.role(1).await, subject.role(2).await), (Some(Role::Member), None));
}

async fn a_second_insert_changes_nothing(subject: MembershipStoreSubject) {
    subject.seed().await;
    assert!(subject.insert(1, Role::Viewer).await.unwrap());
    assert!(!subject.insert(1, Role::Owner).await.unwrap(), "they are a member already");
    assert_eq!(subject.role(1).await, Some(Role::Viewer), "nobody rises by being added again");
    assert!(subject.insert(2, Role::Owner).await.unwrap(), "another tenant is another membership");
}
