//! Password hashing off the threads that serve requests, bounded in number and in waiting.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use saas_auth::{
    Argon2id, HashError, Password, PasswordAdvice, PasswordHash, PasswordHasher, password::Argon2idMemory,
};
use saas_core::InternalError;
use tokio::sync::Semaphore;

/// [`PasswordHasher`] over [`Argon2id`]: so many hashes at once, so many waiting, and the rest turned away.
#[derive(Debug)]
pub struct HashPool {
    argon2id: Arc<Argon2id>,
    slots: Arc<Semaphore>,
    admitted: Arc<AtomicUsize>,
    most_admitted: usize,
    memories: Memories,
    measures: Measures,
}

/// Memory that hashes worked in, for the next: to map and to clear 19 MiB takes a part of a hash's time, and what a thread frees the
/// allocator keeps for that thread, of which there may be many. So it is kept here, and there is never more than one for each hash at once.
#[derive(Debug, Clone, Default)]
struct Memories(Arc<Mutex<Vec<Argon2idMemory>>>);

impl Memories {
    fn take(&self) -> Argon2idMemory {
        self.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, memory: Argon2idMemory) {
        self.lock().push(memory);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Argon2idMemory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operator may know of the pool.
#[derive(Debug, Clone)]
struct Measures {
    running: Gauge,
    waiting: Gauge,
    shed: Counter,
    duration: Histogram,
}

/// One more in a gauge, as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
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
        gauge!("saas_password_hash_slots").set(u32::try_from(concurrency).unwrap_or(u32::MAX));
        Self {
            argon2id: Arc::new(argon2id),
            slots: Arc::new(Semaphore::new(concurrency)),
            admitted: Arc::new(AtomicUsize::new(0)),
            most_admitted: concurrency + queue,
            memories: Memories::default(),
            measures: Measures {
                running: gauge!("saas_password_hashes_running"),
                waiting: gauge!("saas_password_hashes_waiting"),
                shed: counter!("saas_password_hashes_shed_total"),
                duration: histogram!("saas_password_hash_duration_seconds"),
            },
        }
    }

    /// One hash: how long it takes is measured.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2id, &mut Argon2idMemory) -> Result<T, InternalError> + Send + 'static,
    ) -> Result<T, HashError> {
        let (duration, memories) = (self.measures.duration.clone(), self.memories.clone());
        self.run(move |argon2id| {
            let begun = Instant::now();
            let mut memory = memories.take();
            let done = work(argon2id, &mut memory);
            duration.record(begun.elapsed());
            // Before the slot is free, or the next hash would map memory that is here already.
            memories.give_back(memory);
            done
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2id) -> Result<T, InternalError> + Send + 'static,
    ) -> Result<T, HashError> {
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        let admitted = Admitted(Arc::clone(&self.admitted));
        if before >= self.most_admitted {
            self.measures.shed.increment(1);
            return Err(HashError::Overloaded { retry_after: Duration::from_secs(1) });
        }
        let waiting = Counted::new(&self.measures.waiting);
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(InternalError::new)?;
        drop(waiting);
        let running = Counted::new(&self.measures.running);
        let argon2id = Arc::clone(&self.argon2id);
        // A caller that leaves does not free the slot before the hash is done: memory stays bounded.
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&argon2id);
            drop((slot, admitted, running));
            done
        });
        Ok(work.await.map_err(InternalError::new)??)
    }
}

#[async_trait]
impl PasswordHasher for HashPool {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.hashing(move |argon2id, memory| argon2id.hash_in(memory, &password)).await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.hashing(move |argon2id, memory| argon2id.verify_in(memory, &password, &hash)).await
    }

    fn is_current(&self, hash: &PasswordHash) -> bool {
        self.argon2id.is_current(hash)
    }

    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError> {
        self.run(move |_| Ok(PasswordAdvice::of(&password, &context))).await
    }
}
