//! What a program without the kit brings itself: the time, a place to hash passwords, the root key.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Argon2id, HashError, Password, PasswordAdvice, PasswordHash, PasswordHasher};
use saas_core::{Clock, Entropy, InternalError};
use saas_sql::RootKey;
use tokio::sync::Semaphore;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock(pub(crate) Instant);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Argon2id off the threads that serve: so many hashes at once, so many waiting, and the rest turned away.
#[derive(Debug)]
pub(crate) struct Hasher {
    argon2id: Arc<Argon2id>,
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

impl Hasher {
    pub(crate) fn new(argon2id: Argon2id, at_once: usize, waiting: usize) -> Self {
        Self {
            argon2id: Arc::new(argon2id),
            places: Arc::new(Semaphore::new(at_once + waiting)),
            slots: Arc::new(Semaphore::new(at_once)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2id) -> Result<T, InternalError> + Send + 'static,
    ) -> Result<T, HashError> {
        let overloaded = |_| HashError::Overloaded { retry_after: Duration::from_secs(1) };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(overloaded)?;
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(InternalError::new)?;
        let argon2id = Arc::clone(&self.argon2id);
        // Whoever leaves frees nothing before the hash is done: memory stays bounded.
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&argon2id);
            drop((slot, place));
            done
        });
        Ok(work.await.map_err(InternalError::new)??)
    }
}

#[async_trait]
impl PasswordHasher for Hasher {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.run(move |argon2id| argon2id.hash(&password)).await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.run(move |argon2id| argon2id.verify(&password, &hash)).await
    }

    fn is_current(&self, hash: &PasswordHash) -> bool {
        self.argon2id.is_current(hash)
    }

    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError> {
        self.run(move |_| Ok(PasswordAdvice::of(&password, &context))).await
    }
}

/// The key that seals auth's secrets, kept in a file that its owner alone reads; back it up with the database.
pub(crate) fn root_key(path: &Path, entropy: &dyn Entropy) -> Result<RootKey, Box<dyn Error>> {
    match fs::read(path) {
        Ok(bytes) => Ok(RootKey::new(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = RootKey::generate(entropy);
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(path)?;
            file.write_all(key.expose())?;
            file.sync_all()?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use saas_auth::{Argon2idParams, Keyring, conformance::password_hasher::PasswordHasherSubject};
    use saas_core::entropy::SystemEntropy;

    use super::*;

    /// Two passwords at once and one that waits: four are one too many.
    async fn subject() -> PasswordHasherSubject {
        let params = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
        let argon2id = Argon2id::new(params, Keyring::generate(&SystemEntropy), Arc::new(SystemEntropy));
        PasswordHasherSubject::new(
            Arc::new(Hasher::new(argon2id.expect("the parameters are sound"), 2, 1)),
            4,
            (),
        )
    }

    saas_auth::password_hasher_conformance!(subject);
}
