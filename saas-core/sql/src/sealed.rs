//! [`SecretStore`] in the database, sealed under the root key.

use std::sync::Arc;

use async_trait::async_trait;
use saas_core::{
    Clock, Entropy, Reach, ReplacedIn, Secret, SecretStore, SecretStoreError, Storage, StoreError,
    StoredSecret, Tx, clock::stored_now,
};

use crate::{RootKey, SqlStorage, execute, fetch_optional, root_key::Sealed};

/// Secrets in `saas_secrets`, each sealed with XChaCha20-Poly1305 under the root key, with its name and version as associated data.
#[derive(Debug, Clone)]
pub struct SealedSecrets {
    storage: SqlStorage,
    root: RootKey,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[derive(sqlx::FromRow)]
struct Row {
    version: i64,
    nonce: Vec<u8>,
    sealed: Vec<u8>,
}

impl SealedSecrets {
    /// A store over a migrated database.
    pub fn new(storage: SqlStorage, root: RootKey, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { storage, root, clock, entropy }
    }

    fn seal(&self, name: &str, version: i64, value: &Secret<Vec<u8>>) -> Result<Sealed, SecretStoreError> {
        self.root
            .seal(&*self.entropy, &context(name, version), value.expose())
            .map_err(|_| SecretStoreError::Backend("the secret is too long to seal".into()))
    }
}

/// What a sealed value is bound to.
fn context(name: &str, version: i64) -> String {
    format!("saas_secrets|{version}|{name}")
}

fn backend(error: impl Into<StoreError>) -> SecretStoreError {
    SecretStoreError::Backend(Box::new(error.into()))
}

#[async_trait]
impl SecretStore for SealedSecrets {
    async fn get(&self, name: &str) -> Result<Option<StoredSecret>, SecretStoreError> {
        let mut conn = self.storage.read(Reach::Platform("sealed secrets")).await.map_err(backend)?;
        let row = fetch_optional!(
            &mut conn,
            Row,
            "SELECT version, nonce, sealed FROM saas_secrets WHERE name = $1",
            name
        )
        .map_err(backend)?;
        let Some(Row { version, nonce, sealed }) = row else { return Ok(None) };
        let value = self
            .root
            .open(&context(name, version), &Sealed { nonce, bytes: sealed })
            .ok_or_else(|| SecretStoreError::Sealed { name: name.to_owned() })?;
        Ok(Some(StoredSecret { value, version }))
    }

    async fn insert(&self, name: &str, value: &Secret<Vec<u8>>) -> Result<StoredSecret, SecretStoreError> {
        let Sealed { nonce, bytes } = self.seal(name, 1, value)?;
        let now = stored_now(&*self.clock);
        let mut tx = self.storage.begin(Reach::Platform("sealed secrets")).await.map_err(backend)?;
        execute!(
            tx.conn(),
            "INSERT INTO saas_secrets (name, version, nonce, sealed, created_at, updated_at) VALUES ($1, 1, $2, $3, $4, $4) \
             ON CONFLICT (name) DO NOTHING",
            name,
            nonce.as_slice(),
            bytes.as_slice(),
            now,
        )
        .map_err(backend)?;
        tx.commit().await.map_err(backend)?;
        self.get(name)
            .await?
            .ok_or_else(|| SecretStoreError::Backend("the secret was removed as it was written".into()))
    }

    async fn replace(
        &self,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<bool, SecretStoreError> {
        let mut tx = self.storage.begin(Reach::Platform("sealed secrets")).await.map_err(backend)?;
        let replaced = self.replace_in(&mut tx, name, version, value).await?;
        tx.commit().await.map_err(backend)?;
        Ok(replaced == ReplacedIn::Replaced)
    }

    async fn replace_in(
        &self,
        tx: &mut Tx,
        name: &str,
        version: i64,
        value: &Secret<Vec<u8>>,
    ) -> Result<ReplacedIn, SecretStoreError> {
        let Sealed { nonce, bytes } = self.seal(name, version + 1, value)?;
        let changed = execute!(
            tx.conn(),
            "UPDATE saas_secrets SET version = version + 1, nonce = $1, sealed = $2, updated_at = $3 WHERE name = $4 AND version = $5",
            nonce.as_slice(),
            bytes.as_slice(),
            stored_now(&*self.clock),
            name,
            version,
        )
        .map_err(backend)?;
        Ok(if changed == 1 { ReplacedIn::Replaced } else { ReplacedIn::Stale })
    }
}
