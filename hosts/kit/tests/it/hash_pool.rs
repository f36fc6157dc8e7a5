//! The pool that hashes passwords: so many at once, so many waiting, and the rest turned away.
//!
//! The runtime of these tests has one thread for blocking work, and the test holds it: what was let in stays until it is let go.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, mpsc},
    task::Poll,
    time::Duration,
};

use saas_auth::{Argon2id, Argon2idParams, HashError, Keyring, Password, PasswordHash, PasswordHasher};
use saas_core::{ErrorKind, Fault, Secret, entropy::SeededEntropy};
use saas_kit::{HashPool, testing::at_once};
use tokio::runtime::{Builder, Runtime};

#[test]
fn beyond_its_queue_the_pool_turns_away_and_has_room_again_afterwards() {
    runtime().block_on(async {
        let pool = pool(1, 1);
        let hash = pool.hash(password()).await.expect("nothing else is hashed");
        let hold = Hold::take();
        let mut hashing = pin!(pool.verify(password(), hash.clone()));
        let mut waiting = pin!(pool.verify(password(), hash.clone()));
        assert!(is_pending(hashing.as_mut()).await && is_pending(waiting.as_mut()).await);

        for _ in 0..10 {
            assert!(is_overloaded(&pool, &hash).await, "one is hashed and one waits");
        }
        let error = pool.verify(password(), hash.clone()).await.expect_err("one is hashed and one waits");
        assert!(matches!(error, HashError::Overloaded { retry_after } if retry_after > Duration::ZERO));
        let report = error.report();
        assert_eq!((report.kind, report.code), (ErrorKind::Unavailable, "overloaded"));
        assert!(report.retry_after.is_some());
        assert!(matches!(pool.hash(password()).await, Err(HashError::Overloaded { .. })));

        hold.let_go();
        assert!(hashing.await.expect("it was let in"));
        assert!(waiting.await.expect("it was let in"));
        assert!(pool.verify(password(), hash).await.expect("there is room again"));
    });
}

#[test]
fn a_caller_that_leaves_while_it_waits_frees_its_place() {
    runtime().block_on(async {
        let pool = pool(1, 1);
        let hash = pool.hash(password()).await.expect("nothing else is hashed");
        let hold = Hold::take();
        let mut hashing = pin!(pool.verify(password(), hash.clone()));
        assert!(is_pending(hashing.as_mut()).await);
        for _ in 0..10 {
            let mut leaving = Box::pin(pool.verify(password(), hash.clone()));
            assert!(is_pending(leaving.as_mut()).await, "the place of who left is free");
            assert!(is_overloaded(&pool, &hash).await);
            drop(leaving);
        }
        let mut staying = pin!(pool.verify(password(), hash.clone()));
        assert!(is_pending(staying.as_mut()).await);

        hold.let_go();
        assert!(hashing.await.expect("it was let in"));
        assert!(staying.await.expect("it was let in"));
    });
}

#[test]
fn a_caller_that_leaves_while_its_password_is_hashed_keeps_its_place_until_that_is_done() {
    runtime().block_on(async {
        let pool = pool(1, 1);
        let hash = pool.hash(password()).await.expect("nothing else is hashed");
        let hold = Hold::take();
        let mut leaving = Box::pin(pool.verify(password(), hash.clone()));
        assert!(is_pending(leaving.as_mut()).await);
        drop(leaving);
        let mut waiting = pin!(pool.verify(password(), hash.clone()));
        assert!(is_pending(waiting.as_mut()).await);
        assert!(is_overloaded(&pool, &hash).await, "memory is held until the hash is done");

        hold.let_go();
        assert!(waiting.await.expect("it was let in"));
        assert!(pool.verify(password(), hash).await.expect("there is room again"));
    });
}

#[test]
fn a_hash_that_fails_gives_its_place_back() {
    runtime().block_on(async {
        let pool = pool(1, 0);
        let hash = pool.hash(password()).await.expect("nothing else is hashed");
        for damaged in ["", "$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA", "plain"] {
            let damaged = PasswordHash::from_stored(damaged.to_owned());
            assert!(matches!(pool.verify(password(), damaged).await, Err(HashError::Internal(_))));
        }
        assert!(pool.verify(password(), hash).await.expect("there is room"));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_answered_or_turned_away_and_leaves_room() {
    let pool = Arc::new(pool(1, 1));
    let hash = pool.hash(password()).await.expect("nothing else is hashed");
    let answers = at_once(200, |_| {
        let (pool, hash) = (Arc::clone(&pool), hash.clone());
        async move { pool.verify(password(), hash).await }
    })
    .await;
    let right = |answer: &Result<bool, HashError>| matches!(answer, Ok(true));
    let turned_away = |answer: &Result<bool, HashError>| matches!(answer, Err(HashError::Overloaded { .. }));
    assert!(answers.iter().all(|answer| right(answer) || turned_away(answer)));
    assert!(answers.iter().any(right));
    assert!(pool.verify(password(), hash).await.expect("there is room again"));
}

/// Occupies the runtime's one thread for blocking work.
struct Hold(mpsc::Sender<()>);

impl Hold {
    fn take() -> Self {
        let (hold, until) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || until.recv());
        Self(hold)
    }

    fn let_go(self) {
        drop(self.0);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().max_blocking_threads(1).build().expect("a runtime can be made")
}

fn pool(concurrency: usize, queue: usize) -> HashPool {
    let entropy = Arc::new(SeededEntropy::new(1));
    let cheap = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
    let argon2id =
        Argon2id::new(cheap, Keyring::generate(&*entropy), entropy).expect("the parameters are valid");
    HashPool::new(argon2id, concurrency, queue)
}

fn password() -> Password {
    Password::new(&Secret::new("correct horse battery staple".to_owned())).expect("it is not too long")
}

/// Whether one more is turned away, at once: a test that waited here would wait for itself.
async fn is_overloaded(pool: &HashPool, hash: &PasswordHash) -> bool {
    let mut verifying = pin!(pool.verify(password(), hash.clone()));
    poll_fn(|context| {
        let answer = verifying.as_mut().poll(context);
        Poll::Ready(matches!(answer, Poll::Ready(Err(HashError::Overloaded { .. }))))
    })
    .await
}

/// Polls once.
async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}
