//! The contract of [`MembershipStore`], beyond that of [`Memberships`](saas_core::Memberships).

use std::{any::Any, sync::Arc};

use saas_auth::{PasswordHash, User, UserStatus, UserStore};
use saas_core::{Email, Role, Storage, StoreError, TenantState, UserId, conformance::at_once};

use super::{REACH, at, tenant, uuid};
use crate::{Leaving, MembershipStore, TenantStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`MembershipStore`](crate::MembershipStore): takes the path of an `async fn() -> MembershipStoreSubject`, makes a test of
    /// each line of its contract.
    membership_store_conformance, saas_tenancy, membership_store, MembershipStoreSubject,
    [
        a_user_is_at_most_one_member_of_a_tenant,
        a_second_insert_changes_nothing,
        leaving_tells_of_each_tenant_and_keeps_others_from_leaving_it,
        held_gives_each_membership_once,
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

impl MembershipStoreSubject {
    /// User 2, who is nobody's member yet.
    async fn seed_another(&self) {
        let user = User {
            id: user_id(2),
            email: Email::parse("bob@example.com").unwrap(),
            display_name: None,
            status: UserStatus::Active,
            email_verified_at: None,
            password_compromised_at: None,
            created_at: at(0),
        };
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.users.insert(&mut tx, &user, &PasswordHash::from_stored("$none$".to_owned())).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn add(&self, user: u128, tenant_number: u128, role: Role) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.members.insert(&mut tx, user_id(user), tenant(tenant_number).id, role, at(0)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn leaving_tells_of_each_tenant_and_keeps_others_from_leaving_it(subject: MembershipStoreSubject) {
    subject.seed().await;
    subject.seed_another().await;
    for (user, tenant, role) in [(1, 1, Role::Owner), (1, 2, Role::Member), (2, 1, Role::Owner)] {
        subject.add(user, tenant, role).await;
    }
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    let suspended = subject.tenants.set_state(&mut tx, tenant(2).id, TenantState::Suspended, at(1)).await;
    assert!(suspended.unwrap());
    tx.commit().await.unwrap();
    let (members, storage) = (&subject.members, &subject.storage);
    let mut tx = storage.begin(REACH).await.unwrap();
    let both = [
        Leaving { tenant: tenant(1).id, role: Role::Owner, members: 2, owners: 2 },
        Leaving { tenant: tenant(2).id, role: Role::Member, members: 1, owners: 0 },
    ];
    assert_eq!(members.leaving(&mut tx, user_id(1)).await.unwrap(), both);
    assert_eq!(members.leaving(&mut tx, user_id(3)).await.unwrap(), [], "nobody has that id");
    // One who wants to leave at the same time hears what is left when this one has left.
    let other = async {
        let mut tx = storage.begin(REACH).await.unwrap();
        members.leaving(&mut tx, user_id(2)).await.unwrap()
    };
    let leave = async {
        // As long as it takes: one that does not wait has looked by then.
        for _ in 0..50 {
            assert!(subject.role(1).await.is_some());
        }
        assert!(subject.users.delete(&mut tx, user_id(1)).await.unwrap());
        tx.commit().await.unwrap();
    };
    let (other, ()) = futures_util::future::join(other, leave).await;
    assert_eq!(other, [Leaving { tenant: tenant(1).id, role: Role::Owner, members: 1, owners: 1 }]);
}

async fn held_gives_each_membership_once(subject: MembershipStoreSubject) {
    subject.seed().await;
    subject.seed_another().await;
    for (user, tenant, role) in [(1, 2, Role::Member), (1, 1, Role::Owner), (2, 1, Role::Viewer)] {
        subject.add(user, tenant, role).await;
    }
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(subject.tenants.set_state(&mut tx, tenant(2).id, TenantState::Suspended, at(1)).await.unwrap());
    tx.commit().await.unwrap();
    let mut conn = subject.storage.read(REACH).await.unwrap();
    let mut held = async |user: u128, after: Option<u128>, limit| {
        let after = after.map(|number| tenant(number).id);
        let held = subject.members.held(&mut conn, user_id(user), after, limit).await.unwrap();
        held.into_iter().map(|held| (held.tenant.id, held.role, held.since)).collect::<Vec<_>>()
    };
    let (one, two) = ((tenant(1).id, Role::Owner, at(0)), (tenant(2).id, Role::Member, at(0)));
    assert_eq!(held(1, None, 9).await, [one, two], "the suspended one, too");
    assert_eq!(held(1, None, 1).await, [one]);
    assert_eq!(held(1, Some(1), 9).await, [two]);
    assert_eq!(held(2, None, 9).await, [(tenant(1).id, Role::Viewer, at(0))]);
    assert_eq!(held(3, None, 9).await, [], "nobody has that id");
}
