//! Password hashing off the threads that serve requests, bounded in number and in waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use saas_auth::{Argon2id, HashError, Password, PasswordHash, PasswordHasher};
use saas_core::InternalError;
use tokio::sync::Semaphore;

/// [`PasswordHasher`] over [`Argon2id`]: so many hashes at once, so many waiting, and the rest turned away.
#[derive(Debug)]
pub struct HashPool {
    argon2id: Arc<Argon2id>,
    slots: Arc<Semaphore>,
    admitted: Arc<AtomicUsize>,
    most_admitted: usize,
}

/// One request that is hashing or waiting; leaving makes room.
struct Admitted(Arc<AtomicUsize>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl HashPool {
    /// `concurrency` hashes at once (0 stands for the number of cores) and at most `queue` more that wait.
    pub fn new(argon2id: Argon2id, concurrency: usize, queue: usize) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let concurrency = if concurrency == 0 { cores() } else { concurrency };
        Self {
            argon2id: Arc::new(argon2id),
            slots: Arc::new(Semaphore::new(concurrency)),
            admitted: Arc::new(AtomicUsize::new(0)),
            most_admitted: concurrency + queue,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2id) -> Result<T, InternalError> + Send + 'static,
    ) -> Result<T, HashError> {
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        let admitted = Admitted(Arc::clone(&self.admitted));
        if before >= self.most_admitted {
            return Err(HashError::Overloaded { retry_after: Duration::from_secs(1) });
        }
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(InternalError::new)?;
        let argon2id = Arc::clone(&self.argon2id);
        // A caller that leaves does not free the slot before the hash is done: memory stays bounded.
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&argon2id);
            drop((slot, admitted));
            done
        });
        Ok(work.await.map_err(InternalError::new)??)
    }
}

#[async_trait]
impl PasswordHasher for HashPool {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.run(move |argon2id| argon2id.hash(&password)).await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.run(move |argon2id| argon2id.verify(&password, &hash)).await
    }
}
