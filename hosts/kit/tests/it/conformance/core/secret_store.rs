//! `SecretStore`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use saas_core::{
    ReplacedIn, Secret, SecretStore, SecretStoreError, StoredSecret, Tx,
    clock::ManualClock,
    conformance::secret_store::{LINES, SecretStoreSubject as Subject, check},
    entropy::SystemEntropy,
};
use saas_kit::testing::TestEngine;
use saas_sql::{RootKey, SealedSecrets, SqlStorage};

use crate::{
    conformance::{broken::assert_noticed, migrated, on_each_engine},
    engines::open,
    secrets::at_rest,
};

fn sealed(storage: SqlStorage) -> SealedSecrets {
    let root = RootKey::new(&[1; 32]).unwrap();
    SealedSecrets::new(storage, root, Arc::<ManualClock>::default(), Arc::new(SystemEntropy))
}

/// Two replicas with their sealed secrets, in front of each whatever `wrap` makes.
async fn replicas(engine: TestEngine, wrap: impl Fn(SealedSecrets) -> Arc<dyn SecretStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    let other = open(&database).await;
    let (store, elsewhere) = (wrap(sealed(storage.clone())), wrap(sealed(other)));
    let (database, transactions) = (Arc::new(database), Arc::new(storage.clone()));
    let kept = Arc::clone(&database);
    let dump = move || {
        let (database, storage) = (Arc::clone(&database), storage.clone());
        async move { at_rest(&database, &storage, engine).await }
    };
    Subject::new(store, elsewhere, transactions, dump, kept)
}

async fn subject(engine: TestEngine) -> Subject {
    replicas(engine, |sealed| Arc::new(sealed)).await
}

on_each_engine!(saas_core::secret_store_conformance);

/// Secrets in memory, where no transaction reaches.
#[derive(Debug, Default)]
pub(crate) struct MemorySecrets(Mutex<HashMap<String, StoredSecret>>);

#[async_trait]
impl SecretStore for MemorySecrets {
    async fn get(&self, name: &str) -> Result<Option<StoredSecret>, SecretStoreError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    async fn insert(&self, name: &str, value: &Secret<Vec<u8>>) -> Result<StoredSecret, SecretStoreError> {
        let first = || StoredSecret { value: value.clone(), version: 1 };
        Ok(self.0.lock().unwrap().entry(name.to_owned()).or_insert_with(first).clone())
    }

    async fn replace(
        &self,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<bool, SecretStoreError> {
        let mut secrets = self.0.lock().unwrap();
        let Some(stored) = secrets.get_mut(name).filter(|stored| stored.version == version) else {
            return Ok(false);
        };
        *stored = StoredSecret { value: value.clone(), version: version + 1 };
        Ok(true)
    }

    async fn replace_in(
        &self,
        _: &mut Tx,
        _: &str,
        _: i64,
        _: &Secret<Vec<u8>>,
    ) -> Result<ReplacedIn, SecretStoreError> {
        Ok(ReplacedIn::Elsewhere)
    }
}

mod memory {
    use std::sync::Arc;

    use super::{MemorySecrets, Subject};

    async fn subject() -> Subject {
        let (database, storage) = super::migrated(saas_kit::testing::TestEngine::Sqlite).await;
        let store = Arc::new(MemorySecrets::default());
        Subject::new(
            Arc::<MemorySecrets>::clone(&store),
            store,
            Arc::new(storage),
            || async { Vec::new() },
            database,
        )
    }

    saas_core::secret_store_conformance!(subject);
}

/// Sealed secrets, but for one line of the contract.
#[derive(Debug)]
struct Broken {
    line: &'static str,
    sealed: SealedSecrets,
    cache: Mutex<HashMap<String, StoredSecret>>,
}

#[async_trait]
impl SecretStore for Broken {
    async fn get(&self, name: &str) -> Result<Option<StoredSecret>, SecretStoreError> {
        if self.line == "what_one_replica_stored_every_other_reads"
            && let Some(stored) = self.cache.lock().unwrap().get(name)
        {
            return Ok(Some(stored.clone()));
        }
        let stored = self.sealed.get(name).await?;
        if let Some(stored) = &stored {
            self.cache.lock().unwrap().insert(name.to_owned(), stored.clone());
        }
        Ok(stored)
    }

    async fn insert(&self, name: &str, value: &Secret<Vec<u8>>) -> Result<StoredSecret, SecretStoreError> {
        match self.line {
            // As text, which not every secret is.
            "what_was_stored_is_read_back_and_what_was_not_is_none" => {
                let text = String::from_utf8_lossy(value.expose()).into_owned();
                self.sealed.insert(name, &Secret::new(text.into_bytes())).await
            }
            "of_several_inserts_one_stores_its_value_and_all_return_what_is_stored" => {
                self.sealed.insert(name, value).await?;
                Ok(StoredSecret { value: value.clone(), version: 1 })
            }
            // Names are not sealed.
            "nothing_readable_is_at_rest" => {
                self.sealed.insert(&String::from_utf8_lossy(value.expose()), value).await?;
                self.sealed.insert(name, value).await
            }
            _ => self.sealed.insert(name, value).await,
        }
    }

    async fn replace(
        &self,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<bool, SecretStoreError> {
        match self.line {
            "a_replacement_is_stored_over_its_version_alone" => {
                let Some(stored) = self.sealed.get(name).await? else { return Ok(false) };
                self.sealed.replace(name, stored.version, value).await
            }
            // It says so, whoever did.
            "of_several_replacements_of_a_version_one_is_stored" => {
                self.sealed.replace(name, version, value).await?;
                Ok(true)
            }
            _ => self.sealed.replace(name, version, value).await,
        }
    }

    async fn replace_in(
        &self,
        tx: &mut Tx,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<ReplacedIn, SecretStoreError> {
        match self.line {
            // It was kept elsewhere, and is not there with the transaction.
            "a_replacement_in_a_transaction_is_there_with_it_or_not_at_all" => Ok(ReplacedIn::Replaced),
            _ => self.sealed.replace_in(tx, name, version, value).await,
        }
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let subject =
            replicas(TestEngine::Sqlite, |sealed| Arc::new(Broken { line, sealed, cache: Mutex::default() }));
        assert_noticed(line, check(line, subject.await)).await;
    }
}
