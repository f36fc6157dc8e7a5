//! The contract of [`PasswordHistory`].

use std::{any::Any, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use saas_core::{Storage, UserId};

use super::{REACH, at, hash, user, user_id, uuid};
use crate::{
    PasswordHash, UserStore,
    password::{FormerPassword, PasswordHistory},
};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`PasswordHistory`](crate::password::PasswordHistory): takes the path of an `async fn() -> PasswordHistorySubject`, makes
    /// a test of each line of its contract.
    password_history_conformance, saas_auth, password_history, PasswordHistorySubject,
    [
        the_latest_of_that_user_come_first_and_nobody_elses,
        no_more_are_kept_than_asked_for,
        what_is_remembered_goes_with_the_user,
    ]
}

/// Removes a user, as whoever operates the storage does.
pub type Remove = Box<dyn Fn(UserId) -> BoxFuture<'static, ()> + Send + Sync>;

/// A history without entries, the storage that it is in, the store of its users, and what removes one.
pub struct PasswordHistorySubject {
    storage: Arc<dyn Storage>,
    users: Arc<dyn UserStore>,
    history: Arc<dyn PasswordHistory>,
    remove: Remove,
    _kept: Box<dyn Any + Send>,
}

impl fmt::Debug for PasswordHistorySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHistorySubject").field("history", &self.history).finish_non_exhaustive()
    }
}

impl PasswordHistorySubject {
    /// A new, empty history; `kept` is dropped after the test.
    pub fn new(
        storage: Arc<dyn Storage>,
        users: Arc<dyn UserStore>,
        history: Arc<dyn PasswordHistory>,
        remove: Remove,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, users, history, remove, _kept: Box::new(kept) }
    }

    async fn insert_users(&self) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        for number in [1, 2] {
            self.users.insert(&mut tx, &user(number), &hash(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn remember(&self, owner: u128, number: u128, keep: u32) {
        let former = FormerPassword {
            id: uuid(owner * 1_000 + number),
            user: user_id(owner),
            hash: hash(number),
            replaced_at: at(i64::try_from(number).unwrap()),
        };
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.history.remember(&mut tx, &former, keep).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn recent(&self, owner: u128, limit: u32) -> Vec<PasswordHash> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.history.recent(&mut conn, user_id(owner), limit).await.unwrap()
    }
}

async fn the_latest_of_that_user_come_first_and_nobody_elses(subject: PasswordHistorySubject) {
    subject.insert_users().await;
    for (owner, number) in [(1, 10), (2, 11), (1, 12), (1, 13)] {
        subject.remember(owner, number, 9).await;
    }
    assert!(subject.recent(1, 9).await == [13, 12, 10].map(hash), "the last one first");
    assert!(subject.recent(1, 2).await == [13, 12].map(hash), "so many at most");
    assert!(subject.recent(2, 9).await == [hash(11)], "each their own");
    assert!(subject.recent(1, 0).await.is_empty());
    assert!(subject.recent(3, 9).await.is_empty(), "nobody has that id");
}

async fn no_more_are_kept_than_asked_for(subject: PasswordHistorySubject) {
    subject.insert_users().await;
    subject.remember(2, 9, 5).await;
    for number in 10..15 {
        subject.remember(1, number, 3).await;
    }
    assert!(subject.recent(1, 9).await == [14, 13, 12].map(hash), "the older ones are forgotten");
    subject.remember(1, 15, 0).await;
    assert!(subject.recent(1, 9).await.is_empty(), "none is kept");
    assert!(subject.recent(2, 9).await == [hash(9)], "nobody else's are forgotten");
}

async fn what_is_remembered_goes_with_the_user(subject: PasswordHistorySubject) {
    subject.insert_users().await;
    subject.remember(1, 10, 3).await;
    subject.remember(2, 11, 3).await;
    (subject.remove)(user_id(1)).await;
    assert!(subject.recent(1, 9).await.is_empty(), "hashes of somebody who is gone");
    assert!(subject.recent(2, 9).await == [hash(11)]);
}
