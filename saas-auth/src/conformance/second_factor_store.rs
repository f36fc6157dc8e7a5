//! The contract of [`SecondFactorStore`].

use std::{any::Any, sync::Arc};

use chrono::{DateTime, Utc};
use saas_core::{Envelope, Storage, conformance::at_once};

use super::{REACH, at, hash, user, user_id};
use crate::{Factor, SecondFactorStore, UserStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`SecondFactorStore`](crate::SecondFactorStore): takes the path of an `async fn() -> SecondFactorStoreSubject`, makes a test of
    /// each line of its contract.
    second_factor_store_conformance, saas_auth, second_factor_store, SecondFactorStoreSubject,
    [
        a_factor_takes_the_place_of_one_that_is_not_confirmed_alone,
        a_factor_is_confirmed_once_as_it_was_begun_and_its_step_is_used,
        a_step_is_used_once_and_none_before_it,
        a_code_is_used_once_and_new_ones_take_the_place_of_all,
        a_factor_is_removed_with_its_codes_and_nobody_elses,
    ]
}

/// A store without second factors, the store of the users that they are of, and the storage that both are in.
#[derive(Debug)]
pub struct SecondFactorStoreSubject {
    storage: Arc<dyn Storage>,
    users: Arc<dyn UserStore>,
    factors: Arc<dyn SecondFactorStore>,
    _kept: Box<dyn Any + Send>,
}

fn seed(number: u8) -> Envelope {
    Envelope::from_stored(vec![number; 65])
}

macro_rules! in_a_transaction {
    ($subject:ident, $tx:ident => $done:expr) => {{
        let mut $tx = $subject.storage.begin(REACH).await.unwrap();
        let done = $done.await.unwrap();
        $tx.commit().await.unwrap();
        done
    }};
}

impl SecondFactorStoreSubject {
    /// New, empty stores; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        users: Arc<dyn UserStore>,
        factors: Arc<dyn SecondFactorStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, users, factors, _kept: Box::new(kept) }
    }

    /// Users 1 and 2.
    async fn users(&self) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        for number in [1, 2] {
            self.users.insert(&mut tx, &user(number), &hash(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn begin(&self, user: u128, seed_number: u8, now: DateTime<Utc>) -> bool {
        in_a_transaction!(self, tx => self.factors.begin(&mut tx, user_id(user), &seed(seed_number), now))
    }

    async fn confirm(&self, user: u128, begun: DateTime<Utc>, step: i64, now: DateTime<Utc>) -> bool {
        in_a_transaction!(self, tx => self.factors.confirm(&mut tx, user_id(user), begun, step, now))
    }

    async fn use_step(&self, user: u128, step: i64) -> bool {
        in_a_transaction!(self, tx => self.factors.use_step(&mut tx, user_id(user), step))
    }

    async fn use_code(&self, user: u128, code: u8) -> bool {
        in_a_transaction!(self, tx => self.factors.use_code(&mut tx, user_id(user), &[code; 32]))
    }

    async fn replace_codes(&self, user: u128, codes: &[[u8; 32]]) {
        in_a_transaction!(self, tx => self.factors.replace_codes(&mut tx, user_id(user), codes, at(1)));
    }

    async fn remove(&self, user: u128) -> Option<Factor> {
        in_a_transaction!(self, tx => self.factors.remove(&mut tx, user_id(user)))
    }

    async fn factor(&self, user: u128) -> Option<Factor> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.factors.factor(&mut conn, user_id(user)).await.unwrap()
    }

    async fn left(&self, user: u128) -> i64 {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.factors.codes_left(&mut conn, user_id(user)).await.unwrap()
    }

    /// User 1 with a factor that was confirmed at `at(1)` by step 100.
    async fn confirmed(&self) {
        self.users().await;
        assert!(self.begin(1, 7, at(0)).await && self.confirm(1, at(0), 100, at(1)).await);
    }
}

async fn a_factor_takes_the_place_of_one_that_is_not_confirmed_alone(subject: SecondFactorStoreSubject) {
    subject.users().await;
    assert!(subject.factor(1).await.is_none());
    assert!(subject.begin(1, 7, at(0)).await);
    assert!(subject.begin(1, 8, at(1)).await, "the one before is not confirmed");
    let begun = Factor { user: user_id(1), seed: seed(8), created_at: at(1), confirmed_at: None };
    assert_eq!(subject.factor(1).await, Some(begun.clone()));
    assert!(subject.confirm(1, at(1), 100, at(2)).await);
    assert!(!subject.begin(1, 9, at(3)).await, "the one before is confirmed");
    assert_eq!(subject.factor(1).await, Some(Factor { confirmed_at: Some(at(2)), ..begun }));
    assert!(subject.factor(2).await.is_none(), "another user has none");
}

async fn a_factor_is_confirmed_once_as_it_was_begun_and_its_step_is_used(subject: SecondFactorStoreSubject) {
    subject.users().await;
    assert!(subject.begin(1, 7, at(0)).await);
    assert!(!subject.use_step(1, 99).await, "it counts for nothing yet");
    assert!(!subject.confirm(1, at(1), 100, at(2)).await, "another was begun");
    assert!(!subject.confirm(2, at(0), 100, at(2)).await, "another user has begun none");
    let at_one_moment = &subject;
    let confirmed = at_once(8, |_| at_one_moment.confirm(1, at(0), 100, at(2))).await;
    assert_eq!(confirmed.into_iter().filter(|confirmed| *confirmed).count(), 1, "once");
    assert!(!subject.use_step(1, 100).await, "its step is used");
    assert!(subject.use_step(1, 101).await);
}

async fn a_step_is_used_once_and_none_before_it(subject: SecondFactorStoreSubject) {
    subject.confirmed().await;
    let at_one_moment = &subject;
    let used = at_once(16, |_| at_one_moment.use_step(1, 102)).await;
    assert_eq!(used.into_iter().filter(|used| *used).count(), 1, "one of sixteen");
    assert!(!subject.use_step(1, 101).await, "a later one was used");
    assert!(!subject.use_step(2, 103).await, "another user has none");
    assert!(subject.use_step(1, 103).await);
}

async fn a_code_is_used_once_and_new_ones_take_the_place_of_all(subject: SecondFactorStoreSubject) {
    subject.confirmed().await;
    subject.replace_codes(1, &[[1; 32], [2; 32]]).await;
    subject.replace_codes(2, &[[3; 32]]).await;
    assert_eq!((subject.left(1).await, subject.left(2).await), (2, 1));
    assert!(!subject.use_code(1, 3).await, "it is another user's");
    let at_one_moment = &subject;
    let used = at_once(16, |_| at_one_moment.use_code(1, 1)).await;
    assert_eq!(used.into_iter().filter(|used| *used).count(), 1, "one of sixteen");
    assert_eq!(subject.left(1).await, 1);
    subject.replace_codes(1, &[[4; 32], [5; 32]]).await;
    assert_eq!(subject.left(1).await, 2);
    assert!(!subject.use_code(1, 2).await, "it was replaced");
    assert!(subject.use_code(1, 4).await && subject.use_code(2, 3).await);
}

async fn a_factor_is_removed_with_its_codes_and_nobody_elses(subject: SecondFactorStoreSubject) {
    subject.confirmed().await;
    assert!(subject.begin(2, 8, at(0)).await);
    subject.replace_codes(1, &[[1; 32]]).await;
    subject.replace_codes(2, &[[2; 32]]).await;
    let removed = subject.remove(1).await.expect("it was there");
    assert_eq!((removed.user, removed.seed, removed.confirmed_at), (user_id(1), seed(7), Some(at(1))));
    assert!(subject.remove(1).await.is_none(), "it is not there any more");
    assert!(subject.factor(1).await.is_none() && subject.factor(2).await.is_some());
    assert_eq!((subject.left(1).await, subject.left(2).await), (0, 1));
}
