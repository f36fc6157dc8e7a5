//! The contract of [`Memberships`].

use std::{any::Any, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::REACH;
use crate::{
    Memberships, Role, Slug, Standing, Storage, TenantChoice, TenantId, TenantName, TenantState, UserId,
};

saas_core::conformance_suite! {
    ($)
    /// Tests [`Memberships`](crate::Memberships): takes the path of an `async fn() -> MembershipsSubject`, makes a test of each line of
    /// their contract.
    memberships_conformance, saas_core, memberships, MembershipsSubject,
    [
        standing_tells_the_role_and_the_tenants_state_as_they_are_now,
        who_is_no_member_has_no_standing,
        standings_tell_of_each_member_once_and_of_nobody_else,
        of_user_lists_the_active_tenants_of_the_user_as_they_are,
        of_user_lists_the_oldest_memberships_first_up_to_a_limit,
    ]
}

/// Makes what the port only answers about; each method has committed when it returns.
#[async_trait]
pub trait People: Debug + Send + Sync + 'static {
    /// Makes a user.
    async fn add_user(&self, user: UserId);
    /// Makes an active tenant.
    async fn add_tenant(&self, tenant: TenantId, slug: Slug, name: TenantName);
    /// Makes a member; both are there.
    async fn add_member(&self, user: UserId, tenant: TenantId, role: Role, since: DateTime<Utc>);
    /// Sets the state of a tenant that is there.
    async fn set_state(&self, tenant: TenantId, state: TenantState);
}

/// Memberships in a place without any, the storage that they are read on, and who makes some.
#[derive(Debug)]
pub struct MembershipsSubject {
    storage: Arc<dyn Storage>,
    memberships: Arc<dyn Memberships>,
    people: Arc<dyn People>,
    _kept: Box<dyn Any + Send>,
}

impl MembershipsSubject {
    /// A place without users, tenants and members; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        memberships: Arc<dyn Memberships>,
        people: Arc<dyn People>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, memberships, people, _kept: Box::new(kept) }
    }

    /// Users 1 and 2, and tenants 1 to 5, all active.
    async fn seed(&self) {
        for number in 1..=2 {
            self.people.add_user(user(number)).await;
        }
        for number in 1..=5 {
            let (slug, name) = (format!("tenant-{number}"), format!("Tenant № {number}"));
            let (slug, name) = (Slug::parse(&slug).unwrap(), TenantName::parse(&name).unwrap());
            self.people.add_tenant(tenant(number), slug, name).await;
        }
    }

    async fn member(&self, user_number: u128, tenant_number: u128, role: Role, second: i64) {
        let since = DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap();
        self.people.add_member(user(user_number), tenant(tenant_number), role, since).await;
    }

    async fn standing(&self, user_number: u128, tenant_number: u128) -> Option<Standing> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.memberships.standing(&mut conn, user(user_number), tenant(tenant_number)).await.unwrap()
    }

    async fn of_user(&self, number: u128, limit: u32) -> Vec<TenantChoice> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.memberships.of_user(&mut conn, user(number), limit).await.unwrap()
    }
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn user(number: u128) -> UserId {
    UserId::from_uuid(uuid(number))
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(uuid(number))
}

fn tenants(choices: &[TenantChoice]) -> Vec<TenantId> {
    choices.iter().map(|choice| choice.tenant).collect()
}

async fn standing_tells_the_role_and_the_tenants_state_as_they_are_now(subject: MembershipsSubject) {
    subject.seed().await;
    for (number, role) in (1..).zip(Role::ALL) {
        subject.member(1, number, role, 0).await;
        let active = Standing { role, tenant_state: TenantState::Active };
        assert_eq!(subject.standing(1, number).await, Some(active));
    }
    let suspended = Standing { role: Role::Viewer, tenant_state: TenantState::Suspended };
    let active = Standing { role: Role::Viewer, tenant_state: TenantState::Active };
    for standing in [suspended, active] {
        subject.people.set_state(tenant(1), standing.tenant_state).await;
        assert_eq!(subject.standing(1, 1).await, Some(standing), "it is as of now");
    }
}

async fn who_is_no_member_has_no_standing(subject: MembershipsSubject) {
    subject.seed().await;
    subject.member(1, 1, Role::Owner, 0).await;
    subject.member(2, 2, Role::Owner, 0).await;
    for (user, tenant, why) in [
        (1, 2, "they are a member of another tenant"),
        (2, 1, "somebody else is a member"),
        (1, 3, "nobody is a member"),
        (1, 9, "there is no such tenant"),
        (9, 1, "there is no such user"),
    ] {
        assert_eq!(subject.standing(user, tenant).await, None, "{why}");
    }
}

async fn standings_tell_of_each_member_once_and_of_nobody_else(subject: MembershipsSubject) {
    subject.seed().await;
    for (user, tenant, role) in
        [(1, 1, Role::Owner), (1, 2, Role::Viewer), (2, 2, Role::Admin), (2, 4, Role::Member)]
    {
        subject.member(user, tenant, role, 0).await;
    }
    subject.people.set_state(tenant(2), TenantState::Suspended).await;
    let mut conn = subject.storage.read(REACH).await.unwrap();
    // Of (2, 4) nobody asks; of (2, 1) each half is asked for, and part of a member.
    let asked =
        [(1, 1), (2, 1), (2, 2), (9, 1), (1, 9), (1, 2)].map(|(one, other)| (user(one), tenant(other)));
    let mut told = subject.memberships.standings(&mut conn, &asked).await.unwrap();
    told.sort_by_key(|(member, _)| *member);
    let expected = [
        (1, 1, Role::Owner, TenantState::Active),
        (1, 2, Role::Viewer, TenantState::Suspended),
        (2, 2, Role::Admin, TenantState::Suspended),
    ];
    let expected = expected.map(|(one, other, role, tenant_state)| {
        ((user(one), tenant(other)), Standing { role, tenant_state })
    });
    assert_eq!(told, expected);
    assert_eq!(subject.memberships.standings(&mut conn, &[]).await.unwrap(), [], "nobody was asked for");
}

async fn of_user_lists_the_active_tenants_of_the_user_as_they_are(subject: MembershipsSubject) {
    subject.seed().await;
    for (user, tenant, role) in [(1, 1, Role::Viewer), (1, 2, Role::Owner), (2, 2, Role::Admin)] {
        subject.member(user, tenant, role, 0).await;
    }
    subject.people.set_state(tenant(1), TenantState::Suspended).await;
    let choices = subject.of_user(1, 10).await;
    assert_eq!(tenants(&choices), [tenant(2)], "tenant 1 is suspended, of the others they are no member");
    let choice = &choices[0];
    assert_eq!((choice.slug.as_str(), choice.name.as_str()), ("tenant-2", "Tenant № 2"));
    assert_eq!(choice.role, Role::Owner);
    subject.people.set_state(tenant(2), TenantState::Suspended).await;
    subject.people.set_state(tenant(1), TenantState::Active).await;
    assert_eq!(tenants(&subject.of_user(1, 10).await), [tenant(1)], "it is as of now");
    assert_eq!(tenants(&subject.of_user(9, 10).await), [], "there is no such user");
}

async fn of_user_lists_the_oldest_memberships_first_up_to_a_limit(subject: MembershipsSubject) {
    subject.seed().await;
    for (tenant, second) in [(1, 40), (2, 10), (3, 0), (4, 30), (5, 20)] {
        subject.member(1, tenant, Role::Member, second).await;
    }
    assert_eq!(tenants(&subject.of_user(1, 10).await), [3, 2, 5, 4, 1].map(tenant));
    subject.people.set_state(tenant(3), TenantState::Suspended).await;
    assert_eq!(tenants(&subject.of_user(1, 2).await), [2, 5].map(tenant), "the suspended one takes no place");
}
