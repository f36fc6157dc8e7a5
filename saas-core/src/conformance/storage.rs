//! The contract of [`Storage`].

use std::{
    fmt::Debug,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{REACH, at_once};
use crate::clock::within;
use crate::{Clock, Conn, Reach, Storage, StoreError, TenantId};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`Storage`](crate::Storage): takes the path of an `async fn() -> StorageSubject`, makes a test of each line of its
    /// contract.
    storage_conformance, saas_core, storage, StorageSubject,
    [
        a_connection_from_read_cannot_write,
        a_transaction_is_seen_by_itself_alone_before_its_commit_and_by_everybody_after_it,
        dropping_a_transaction_undoes_all_of_it,
        begin_waits_for_a_writer,
        begin_gives_up_after_its_time_out_so_that_a_nested_one_never_hangs,
        effects_run_in_their_order_after_the_commit_and_not_after_a_roll_back,
        after_a_crash_a_transaction_is_there_whole_or_not_at_all,
        what_one_statement_wrote_is_there_after_its_commit_and_its_effects_run_then,
    ]
}

/// A place for one test's storage, where nothing is yet, and what the port cannot say about it.
///
/// It holds whatever the test needs, as a temporary folder; it is dropped after the test.
#[async_trait]
pub trait StoragePlace: Debug + Send + Sync + 'static {
    /// Opens the storage, as each process does. It can be opened several times at once; dropping it without closing is a crash.
    async fn open(&self) -> Arc<dyn Storage>;
    /// Writes a key, on a transaction's connection; on one to read on, it tries to.
    async fn put(&self, conn: &mut Conn, key: &str) -> Result<(), StoreError>;
    /// Reads all keys, with one look, in any order.
    async fn keys(&self, conn: &mut Conn) -> Result<Vec<String>, StoreError>;
    /// How many transactions can be open at once.
    fn writers(&self) -> usize;
    /// How long `begin` waits when there are so many. A check waits as long: seconds, not minutes.
    fn time_out(&self) -> Duration;
}

/// A place, and a clock that bounds how long a check waits.
#[derive(Debug)]
pub struct StorageSubject {
    place: Arc<dyn StoragePlace>,
    clock: Arc<dyn Clock>,
}

impl StorageSubject {
    /// A new, empty place, and a clock that goes by itself.
    pub fn new(place: Arc<dyn StoragePlace>, clock: Arc<dyn Clock>) -> Self {
        Self { place, clock }
    }

    /// Writes keys in one transaction.
    async fn write(&self, storage: &dyn Storage, keys: &[String]) -> Result<(), StoreError> {
        let mut tx = storage.begin(REACH).await?;
        for key in keys {
            self.place.put(tx.conn(), key).await?;
        }
        tx.commit().await
    }

    /// What somebody sees who looks now.
    async fn seen(&self, storage: &dyn Storage) -> Vec<String> {
        let mut conn = storage.read(REACH).await.unwrap();
        self.keys(&mut conn).await
    }

    async fn keys(&self, conn: &mut Conn) -> Vec<String> {
        let mut keys = self.place.keys(conn).await.unwrap();
        keys.sort();
        keys
    }
}

/// The output of `future`, or `None` when it was polled so often without one: then it is dropped where it stands.
async fn cut_short<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn a_connection_from_read_cannot_write(subject: StorageSubject) {
    let storage = subject.place.open().await;
    for reach in [REACH, Reach::Tenant(TenantId::from_uuid(Uuid::from_u128(7)))] {
        let mut conn = storage.read(reach).await.unwrap();
        subject.place.put(&mut conn, "smuggled").await.expect_err("it wrote");
        drop(conn);
        assert!(subject.seen(&*storage).await.is_empty(), "it failed, and wrote all the same");
    }
    subject.write(&*storage, &["kept".to_owned()]).await.expect("a transaction writes there");
}

async fn a_transaction_is_seen_by_itself_alone_before_its_commit_and_by_everybody_after_it(
    subject: StorageSubject,
) {
    let (storage, other_process) = (subject.place.open().await, subject.place.open().await);
    let mut tx = storage.begin(REACH).await.unwrap();
    for key in ["1", "2"] {
        subject.place.put(tx.conn(), key).await.unwrap();
    }
    assert_eq!(subject.keys(tx.conn()).await, ["1", "2"], "it sees what it wrote");
    for reader in [&storage, &other_process] {
        assert!(subject.seen(&**reader).await.is_empty(), "others see it before its commit");
    }
    tx.commit().await.unwrap();
    for reader in [&storage, &other_process] {
        assert_eq!(subject.seen(&**reader).await, ["1", "2"], "everybody sees it after its commit");
    }
}

async fn dropping_a_transaction_undoes_all_of_it(subject: StorageSubject) {
    let storage = subject.place.open().await;
    let mut tx = storage.begin(REACH).await.unwrap();
    for key in ["1", "2"] {
        subject.place.put(tx.conn(), key).await.unwrap();
    }
    drop(tx);
    subject.write(&*storage, &["3".to_owned()]).await.expect("who comes next can write");
    assert_eq!(subject.seen(&*storage).await, ["3"]);
}

async fn begin_waits_for_a_writer(subject: StorageSubject) {
    let storage = subject.place.open().await;
    let keys: Vec<[String; 1]> = (0..8).map(|number| [number.to_string()]).collect();
    for written in at_once(keys.len(), |number| subject.write(&*storage, &keys[number])).await {
        written.expect("one after the other, they all write");
    }
    assert_eq!(subject.seen(&*storage).await, keys.concat());
}

async fn begin_gives_up_after_its_time_out_so_that_a_nested_one_never_hangs(subject: StorageSubject) {
    let storage = subject.place.open().await;
    let mut held = Vec::new();
    for _ in 0..subject.place.writers() {
        held.push(storage.begin(REACH).await.expect("so many can be open at once"));
    }
    let limit = subject.place.time_out() * 5;
    let nested = within(&*subject.clock, limit, storage.begin(REACH)).await.expect("a nested begin hangs");
    let error = nested.expect_err("more transactions are open than can be");
    assert!(matches!(error, StoreError::Busy { .. }), "it is another error: {error:?}");
    drop(held);
    subject.write(&*storage, &["1".to_owned()]).await.expect("there is a writer again");
}

async fn effects_run_in_their_order_after_the_commit_and_not_after_a_roll_back(subject: StorageSubject) {
    let storage = subject.place.open().await;
    let ran = Arc::new(Mutex::new(Vec::new()));
    for committed in [false, true] {
        let mut tx = storage.begin(REACH).await.unwrap();
        for number in 1..=3 {
            let ran = Arc::clone(&ran);
            tx.after_commit(move || ran.lock().unwrap().push(number));
        }
        subject.place.put(tx.conn(), "1").await.unwrap();
        assert!(ran.lock().unwrap().is_empty(), "an effect ran before the commit");
        if committed {
            tx.commit().await.expect("what can be written is committed");
        }
    }
    assert_eq!(*ran.lock().unwrap(), [1, 2, 3]);
    assert_eq!(Arc::strong_count(&ran), 1, "an effect that will not run is still kept");
    assert_eq!(subject.seen(&*storage).await, ["1"], "the effects ran, and nothing was committed");
}

async fn after_a_crash_a_transaction_is_there_whole_or_not_at_all(subject: StorageSubject) {
    let mut storage = subject.place.open().await;
    // Wherever a transaction waits, the process ends once.
    for polls in 1..1_000 {
        let keys = ["first", "second"].map(|key| format!("{key} of {polls}"));
        let written = cut_short(polls, subject.write(&*storage, &keys)).await;
        drop(storage);
        storage = subject.place.open().await;
        let seen = subject.seen(&*storage).await;
        let there = keys.iter().filter(|key| seen.contains(key)).count();
        assert!([0, 2].contains(&there), "half of a transaction is there: {seen:?}");
        if let Some(written) = written {
            written.unwrap();
            assert_eq!(there, 2, "a transaction that was committed is gone");
            return;
        }
    }
    panic!("a transaction does not end");
}

async fn what_one_statement_wrote_is_there_after_its_commit_and_its_effects_run_then(
    subject: StorageSubject,
) {
    let storage = subject.place.open().await;
    let ran = Arc::new(Mutex::new(0));
    for key in ["1", "2", "3"] {
        let mut tx = storage.begin_single(REACH).await.unwrap();
        let effect = Arc::clone(&ran);
        tx.after_commit(move || *effect.lock().unwrap() += 1);
        let before = *ran.lock().unwrap();
        subject.place.put(tx.conn(), key).await.unwrap();
        assert_eq!(*ran.lock().unwrap(), before, "an effect ran before the commit");
        tx.commit().await.expect("what can be written is committed");
        assert_eq!(*ran.lock().unwrap(), before + 1, "an effect did not run");
    }
    assert_eq!(subject.seen(&*storage).await, ["1", "2", "3"]);
}
