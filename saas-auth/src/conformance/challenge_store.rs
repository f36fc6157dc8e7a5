//! The contract of [`ChallengeStore`].

use std::{any::Any, sync::Arc};

use chrono::{DateTime, Utc};
use saas_core::{Storage, conformance::at_once};

use super::{REACH, at, hash, user, user_id, uuid};
use crate::{Challenge, ChallengeId, ChallengeStore, UserStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`ChallengeStore`](crate::ChallengeStore): takes the path of an `async fn() -> ChallengeStoreSubject`, makes a test of each line
    /// of its contract.
    challenge_store_conformance, saas_auth, challenge_store, ChallengeStoreSubject,
    [
        a_challenge_is_given_back_as_often_as_may_be_and_not_from_its_end_on,
        of_many_attempts_at_once_no_more_are_let_through,
        a_challenge_is_closed_once_and_found_no_more,
        all_challenges_of_a_user_end_and_nobody_elses,
    ]
}

/// A store without challenges, the store of the users that they are of, and the storage that both are in.
#[derive(Debug)]
pub struct ChallengeStoreSubject {
    storage: Arc<dyn Storage>,
    users: Arc<dyn UserStore>,
    challenges: Arc<dyn ChallengeStore>,
    _kept: Box<dyn Any + Send>,
}

/// One that ends at `at(300)`.
fn challenge(number: u128) -> Challenge {
    Challenge {
        id: ChallengeId::from_uuid(uuid(number)),
        user: user_id(1),
        created_at: at(0),
        expires_at: at(300),
    }
}

impl ChallengeStoreSubject {
    /// New, empty stores; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        users: Arc<dyn UserStore>,
        challenges: Arc<dyn ChallengeStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, users, challenges, _kept: Box::new(kept) }
    }

    /// User 1 with challenges 1 and 2.
    async fn seed(&self) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.users.insert(&mut tx, &user(1), &hash(1)).await.unwrap();
        for number in [1, 2] {
            self.challenges.insert(&mut tx, &challenge(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn attempt(&self, number: u128, most: i64, now: DateTime<Utc>) -> Option<Challenge> {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let found = self.challenges.attempt(&mut tx, challenge(number).id, most, now).await.unwrap();
        tx.commit().await.unwrap();
        found
    }

    async fn end(&self, user: u128) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.challenges.end(&mut tx, user_id(user)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn close(&self, number: u128) -> bool {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let closed = self.challenges.close(&mut tx, challenge(number).id).await.unwrap();
        tx.commit().await.unwrap();
        closed
    }
}

async fn a_challenge_is_given_back_as_often_as_may_be_and_not_from_its_end_on(
    subject: ChallengeStoreSubject,
) {
    subject.seed().await;
    assert_eq!(subject.attempt(1, 2, at(1)).await, Some(challenge(1)));
    assert_eq!(subject.attempt(1, 2, at(299)).await, Some(challenge(1)));
    assert_eq!(subject.attempt(1, 2, at(299)).await, None, "two attempts were made");
    assert_eq!(subject.attempt(2, 2, at(300)).await, None, "its time is over");
    assert_eq!(subject.attempt(2, 2, at(299)).await, Some(challenge(2)), "another has its own attempts");
    assert_eq!(subject.attempt(3, 2, at(1)).await, None, "there is none");
}

async fn of_many_attempts_at_once_no_more_are_let_through(subject: ChallengeStoreSubject) {
    subject.seed().await;
    let subject = &subject;
    let found = at_once(16, |_| subject.attempt(1, 5, at(1))).await;
    assert_eq!(found.into_iter().flatten().count(), 5);
}

async fn a_challenge_is_closed_once_and_found_no_more(subject: ChallengeStoreSubject) {
    subject.seed().await;
    let at_one_moment = &subject;
    let closed = at_once(8, |_| at_one_moment.close(1)).await;
    assert_eq!(closed.into_iter().filter(|closed| *closed).count(), 1);
    assert_eq!(subject.attempt(1, 5, at(1)).await, None);
    assert!(subject.attempt(2, 5, at(1)).await.is_some(), "another is there");
}

async fn all_challenges_of_a_user_end_and_nobody_elses(subject: ChallengeStoreSubject) {
    subject.seed().await;
    let other = Challenge { user: user_id(2), ..challenge(3) };
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    subject.users.insert(&mut tx, &user(2), &hash(2)).await.unwrap();
    subject.challenges.insert(&mut tx, &other).await.unwrap();
    tx.commit().await.unwrap();
    subject.end(1).await;
    assert_eq!(subject.attempt(1, 5, at(1)).await, None);
    assert_eq!(subject.attempt(2, 5, at(1)).await, None);
    assert_eq!(subject.attempt(3, 5, at(1)).await, Some(other), "another user's is there");
}
