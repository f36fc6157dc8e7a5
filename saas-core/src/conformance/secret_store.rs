//! The contract of [`SecretStore`].

use std::{any::Any, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use futures_util::{FutureExt, future::BoxFuture};

use super::at_once;
use crate::{Reach, ReplacedIn, Secret, SecretStore, Storage, StoredSecret, text::hex};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`SecretStore`](crate::SecretStore): takes the path of an `async fn() -> SecretStoreSubject`, makes a test of each line of
    /// its contract.
    secret_store_conformance, saas_core, secret_store, SecretStoreSubject,
    [
        what_was_stored_is_read_back_and_what_was_not_is_none,
        of_several_inserts_one_stores_its_value_and_all_return_what_is_stored,
        a_replacement_is_stored_over_its_version_alone,
        of_several_replacements_of_a_version_one_is_stored,
        a_replacement_in_a_transaction_is_there_with_it_or_not_at_all,
        what_one_replica_stored_every_other_reads,
        nothing_readable_is_at_rest,
    ]
}

/// A store without secrets, as two replicas have it, and what of it others can read.
pub struct SecretStoreSubject {
    stores: [Arc<dyn SecretStore>; 2],
    storage: Arc<dyn Storage>,
    at_rest: Box<dyn Fn() -> BoxFuture<'static, Vec<u8>> + Send + Sync>,
    _kept: Box<dyn Any + Send>,
}

impl fmt::Debug for SecretStoreSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStoreSubject").field("stores", &self.stores).finish_non_exhaustive()
    }
}

impl SecretStoreSubject {
    /// A new, empty store, and the same store as another replica has it; `kept` is dropped after the test, as a temporary folder should be.
    ///
    /// `storage` is the product's: the store is given its transactions, also where it keeps its secrets elsewhere.
    ///
    /// `at_rest` gives every byte that the store keeps where others than its replicas can read it, as its files or its rows; none where
    /// there is no such place.
    pub fn new<F>(
        store: Arc<dyn SecretStore>,
        elsewhere: Arc<dyn SecretStore>,
        storage: Arc<dyn Storage>,
        at_rest: impl Fn() -> F + Send + Sync + 'static,
        kept: impl Any + Send,
    ) -> Self
    where
        F: Future<Output = Vec<u8>> + Send + 'static,
    {
        let at_rest = Box::new(move || at_rest().boxed());
        Self { stores: [store, elsewhere], storage, at_rest, _kept: Box::new(kept) }
    }

    /// The replica whose turn it is.
    fn replica(&self, number: usize) -> &dyn SecretStore {
        &*self.stores[number % 2]
    }

    async fn stored(&self, name: &str) -> Option<(Vec<u8>, i64)> {
        self.replica(0).get(name).await.unwrap().as_ref().map(plain)
    }
}

fn secret(value: impl Into<Vec<u8>>) -> Secret<Vec<u8>> {
    Secret::new(value.into())
}

fn plain(stored: &StoredSecret) -> (Vec<u8>, i64) {
    (stored.value.expose().clone(), stored.version)
}

async fn what_was_stored_is_read_back_and_what_was_not_is_none(subject: SecretStoreSubject) {
    let every_byte: Vec<u8> = (0..=255).cycle().take(4_096).collect();
    for (name, value) in [("keys", every_byte), ("keys.next", b"other".to_vec()), ("empty", Vec::new())] {
        let inserted = subject.replica(0).insert(name, &secret(value.clone())).await.unwrap();
        assert_eq!(plain(&inserted), (value.clone(), 1), "insert returns {name}");
        assert_eq!(subject.stored(name).await, Some((value, 1)), "{name} is read back");
    }
    assert_eq!(subject.stored("key").await, None, "nothing was stored under that name");
}

async fn of_several_inserts_one_stores_its_value_and_all_return_what_is_stored(subject: SecretStoreSubject) {
    let values: Vec<_> = (0..8).map(|number| secret(format!("value {number}"))).collect();
    let inserted = at_once(8, |number| subject.replica(number).insert("key", &values[number])).await;
    let stored = subject.stored("key").await.expect("one of them was stored");
    assert!(values.iter().any(|value| value.equals(&stored.0)) && stored.1 == 1, "{} is another", stored.1);
    for inserted in inserted {
        assert!(plain(&inserted.unwrap()) == stored, "an insert returned what is not stored");
    }
    assert!(subject.replica(0).replace("key", 1, &secret("newer")).await.unwrap());
    let late = subject.replica(1).insert("key", &secret("late")).await.unwrap();
    assert_eq!(plain(&late), (b"newer".to_vec(), 2), "what is there then is returned");
    assert_eq!(subject.stored("key").await, Some((b"newer".to_vec(), 2)), "nothing is overwritten");
}

async fn a_replacement_is_stored_over_its_version_alone(subject: SecretStoreSubject) {
    let store = subject.replica(0);
    assert!(!store.replace("key", 1, &secret("of nothing")).await.unwrap(), "there is nothing to replace");
    assert_eq!(subject.stored("key").await, None);
    for name in ["key", "other"] {
        store.insert(name, &secret("first")).await.unwrap();
    }
    let mut expected = (b"first".to_vec(), 1);
    for (version, fits) in [(0, false), (2, false), (1, true), (1, false), (2, true), (4, false)] {
        let value = format!("over {version}");
        let replaced = store.replace("key", version, &secret(value.clone())).await.unwrap();
        assert_eq!(replaced, fits, "version {version} over version {}", expected.1);
        if fits {
            expected = (value.into_bytes(), version + 1);
        }
        assert_eq!(subject.stored("key").await.as_ref(), Some(&expected));
    }
    assert_eq!(subject.stored("other").await, Some((b"first".to_vec(), 1)), "no other is replaced");
}

async fn of_several_replacements_of_a_version_one_is_stored(subject: SecretStoreSubject) {
    subject.replica(0).insert("key", &secret("first")).await.unwrap();
    let values: Vec<_> = (0..8).map(|number| secret(format!("value {number}"))).collect();
    let replaced = at_once(8, |number| subject.replica(number).replace("key", 1, &values[number])).await;
    let replaced: Vec<bool> = replaced.into_iter().map(Result::unwrap).collect();
    assert_eq!(replaced.iter().filter(|replaced| **replaced).count(), 1, "one of eight: {replaced:?}");
    let winner = replaced.iter().position(|replaced| *replaced).unwrap_or_default();
    assert_eq!(subject.stored("key").await, Some((values[winner].expose().clone(), 2)));
}

async fn a_replacement_in_a_transaction_is_there_with_it_or_not_at_all(subject: SecretStoreSubject) {
    const REACH: Reach = Reach::Platform("conformance");
    let store = subject.replica(0);
    let first = store.insert("key", &secret("first")).await.unwrap();
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    let said = store.replace_in(&mut tx, "key", 1, &secret("undone")).await.unwrap();
    drop(tx);
    assert_eq!(subject.stored("key").await, Some(plain(&first)), "its transaction was dropped");
    for (version, fits) in [(2, false), (1, true), (1, false)] {
        let before = subject.stored("key").await;
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        let said_now = store.replace_in(&mut tx, "key", version, &secret("second")).await.unwrap();
        tx.commit().await.unwrap();
        let after = subject.stored("key").await;
        match said_now {
            ReplacedIn::Replaced => {
                assert!(fits, "version {version} was replaced");
                assert_eq!(after, Some((b"second".to_vec(), version + 1)));
            }
            ReplacedIn::Stale => {
                assert!(!fits && after == before, "version {version} is the one that is there");
            }
            ReplacedIn::Elsewhere => assert_eq!(after, before, "it said that it does not reach it"),
        }
        let elsewhere = |said| said == ReplacedIn::Elsewhere;
        assert_eq!(elsewhere(said_now), elsewhere(said), "it is the same for all secrets");
    }
}

async fn what_one_replica_stored_every_other_reads(subject: SecretStoreSubject) {
    let [one, other] = [subject.replica(0), subject.replica(1)];
    let seen = async |expected: (&str, i64)| {
        let stored =
            other.get("key").await.unwrap().as_ref().map(plain).expect("the other replica stored it");
        assert_eq!(stored, (expected.0.into(), expected.1));
    };
    assert!(other.get("key").await.unwrap().is_none());
    one.insert("key", &secret("first")).await.unwrap();
    seen(("first", 1)).await;
    assert!(one.replace("key", 1, &secret("second")).await.unwrap());
    seen(("second", 2)).await;
}

async fn nothing_readable_is_at_rest(subject: SecretStoreSubject) {
    const FIRST: &str = "the plaintext of a secret";
    const SECOND: &str = "and of what replaced it.";
    let store = subject.replica(0);
    let before = (subject.at_rest)().await;
    store.insert("key", &secret(FIRST)).await.unwrap();
    let first = (subject.at_rest)().await;
    assert!(store.replace("key", 1, &secret(SECOND)).await.unwrap());
    let second = (subject.at_rest)().await;
    assert!(first.is_empty() || first != before, "what was read is not where the secret is");
    let shown = format!("{:?} {:?}", store, store.get("key").await.unwrap()).into_bytes();
    for (place, at_rest) in [("at rest", &first), ("at rest", &second), ("in Debug", &shown)] {
        for value in [FIRST, SECOND] {
            for readable in [value.to_owned(), hex(value.as_bytes()), STANDARD_NO_PAD.encode(value)] {
                let found = at_rest.windows(readable.len()).any(|window| window == readable.as_bytes());
                assert!(!found, "{place}, the secret can be read");
            }
        }
    }
}
