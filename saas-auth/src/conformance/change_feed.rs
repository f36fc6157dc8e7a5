//! The contract of [`ChangeFeed`].

use std::{any::Any, sync::Arc};

use saas_core::Storage;

use super::{REACH, at, tenant_id, user_id, uuid};
use crate::{Change, ChangeFeed, ChangeId, Changed};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`ChangeFeed`](crate::ChangeFeed): takes the path of an `async fn() -> ChangeFeedSubject`, makes a test of each line of its
    /// contract.
    change_feed_conformance, saas_auth, change_feed, ChangeFeedSubject,
    [
        a_change_is_seen_after_its_commit_and_never_before_or_without_it,
        the_changes_since_a_moment_come_each_once_oldest_first_up_to_a_limit,
        what_is_older_than_a_moment_is_forgotten_and_nothing_else,
    ]
}

/// A feed without changes, and the storage that it is in.
#[derive(Debug)]
pub struct ChangeFeedSubject {
    storage: Arc<dyn Storage>,
    changes: Arc<dyn ChangeFeed>,
    _kept: Box<dyn Any + Send>,
}

impl ChangeFeedSubject {
    /// A new, empty feed; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(storage: Arc<dyn Storage>, changes: Arc<dyn ChangeFeed>, kept: impl Any + Send) -> Self {
        Self { storage, changes, _kept: Box::new(kept) }
    }

    async fn note(&self, changes: &[Change]) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        for change in changes {
            self.changes.note(&mut tx, change).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn since(&self, seconds: i64, limit: u32) -> Vec<Change> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.changes.since(&mut conn, at(seconds), limit).await.unwrap()
    }
}

/// The change of that number, noted so many seconds after the beginning.
fn change(number: u128, seconds: i64) -> Change {
    let what = if number.is_multiple_of(2) {
        Changed::User(user_id(number))
    } else {
        Changed::Tenant(tenant_id(number))
    };
    Change { id: ChangeId::from_uuid(uuid(number)), what, at: at(seconds) }
}

async fn a_change_is_seen_after_its_commit_and_never_before_or_without_it(subject: ChangeFeedSubject) {
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    subject.changes.note(&mut tx, &change(1, 0)).await.unwrap();
    assert_eq!(subject.since(0, 10).await, [], "it is not committed yet");
    drop(tx);
    assert_eq!(subject.since(0, 10).await, [], "it never was");
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    subject.changes.note(&mut tx, &change(2, 0)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(subject.since(0, 10).await, [change(2, 0)]);
}

async fn the_changes_since_a_moment_come_each_once_oldest_first_up_to_a_limit(subject: ChangeFeedSubject) {
    // Noted in another order than they happened in, and two at one moment.
    subject.note(&[change(3, 3), change(1, 1)]).await;
    subject.note(&[change(4, 2), change(2, 2)]).await;
    assert_eq!(subject.since(0, 10).await, [change(1, 1), change(2, 2), change(4, 2), change(3, 3)]);
    assert_eq!(
        subject.since(2, 10).await,
        [change(2, 2), change(4, 2), change(3, 3)],
        "the moment itself counts"
    );
    assert_eq!(subject.since(0, 2).await, [change(1, 1), change(2, 2)]);
    assert_eq!(subject.since(4, 10).await, []);
}

async fn what_is_older_than_a_moment_is_forgotten_and_nothing_else(subject: ChangeFeedSubject) {
    subject.note(&[change(1, 1), change(2, 2), change(3, 3)]).await;
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert_eq!(subject.changes.forget(&mut tx, at(2)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(subject.since(0, 10).await, [change(2, 2), change(3, 3)]);
}
