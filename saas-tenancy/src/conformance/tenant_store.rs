//! The contract of [`TenantStore`].

use std::{any::Any, sync::Arc};

use saas_core::{Storage, StoreError, TenantState, conformance::at_once};

use super::{REACH, at, tenant};
use crate::{Tenant, TenantStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`TenantStore`](crate::TenantStore): takes the path of an `async fn() -> TenantStoreSubject`, makes a test of each line of
    /// its contract.
    tenant_store_conformance, saas_tenancy, tenant_store, TenantStoreSubject,
    [
        what_was_inserted_is_read_back,
        one_of_several_inserts_of_a_slug_answers_true_and_the_others_leave_their_transaction_usable,
        a_state_is_set_for_a_tenant_that_is_there,
    ]
}

/// A store without tenants, and the storage that it is in.
#[derive(Debug)]
pub struct TenantStoreSubject {
    storage: Arc<dyn Storage>,
    tenants: Arc<dyn TenantStore>,
    _kept: Box<dyn Any + Send>,
}

impl TenantStoreSubject {
    /// A new, empty store; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(storage: Arc<dyn Storage>, tenants: Arc<dyn TenantStore>, kept: impl Any + Send) -> Self {
        Self { storage, tenants, _kept: Box::new(kept) }
    }

    async fn insert(&self, tenant: &Tenant) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        assert!(self.tenants.insert(&mut tx, tenant).await.unwrap(), "the slug is free");
        tx.commit().await.unwrap();
    }

    async fn by_number(&self, number: u128) -> Option<Tenant> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.tenants.by_id(&mut conn, tenant(number).id).await.unwrap()
    }
}

async fn what_was_inserted_is_read_back(subject: TenantStoreSubject) {
    subject.insert(&tenant(1)).await;
    let mut suspended = tenant(2);
    suspended.state = TenantState::Suspended;
    subject.insert(&suspended).await;
    for inserted in [tenant(1), suspended] {
        let mut conn = subject.storage.read(REACH).await.unwrap();
        let found =
            subject.tenants.by_id(&mut conn, inserted.id).await.unwrap().expect("the tenant is there");
        assert_eq!(format!("{found:?}"), format!("{inserted:?}"));
    }
    assert!(subject.by_number(3).await.is_none(), "no tenant has that id");
}

async fn one_of_several_inserts_of_a_slug_answers_true_and_the_others_leave_their_transaction_usable(
    subject: TenantStoreSubject,
) {
    let subject = &subject;
    let inserted = at_once(8, |number| async move {
        let number = number as u128;
        let mut contender = tenant(100 + number);
        contender.slug = tenant(1).slug;
        let mut tx = subject.storage.begin(REACH).await?;
        let won = subject.tenants.insert(&mut tx, &contender).await?;
        assert!(subject.tenants.insert(&mut tx, &tenant(200 + number)).await?, "this slug is nobody else's");
        tx.commit().await?;
        Ok::<_, StoreError>(won)
    })
    .await;
    let won: Vec<bool> = inserted.into_iter().map(Result::unwrap).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "one gets the slug: {won:?}");
    for (number, won) in won.into_iter().enumerate() {
        assert_eq!(
            subject.by_number(100 + number as u128).await.is_some(),
            won,
            "who was told no is not there"
        );
        assert!(
            subject.by_number(200 + number as u128).await.is_some(),
            "what else the transaction wrote is"
        );
    }
}

async fn a_state_is_set_for_a_tenant_that_is_there(subject: TenantStoreSubject) {
    subject.insert(&tenant(1)).await;
    subject.insert(&tenant(2)).await;
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    let set = subject.tenants.set_state(&mut tx, tenant(1).id, TenantState::Suspended, at(1)).await.unwrap();
    let unset =
        subject.tenants.set_state(&mut tx, tenant(3).id, TenantState::Suspended, at(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(set && !unset, "it tells whether there is such a tenant");
    assert_eq!(subject.by_number(1).await.unwrap().state, TenantState::Suspended);
    assert_eq!(subject.by_number(2).await.unwrap().state, TenantState::Active, "no other is changed");
}
