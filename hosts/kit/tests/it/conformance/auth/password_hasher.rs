//! `PasswordHasher`.

use std::sync::Arc;

use async_trait::async_trait;
use saas_auth::{
    Argon2id, Argon2idParams, HashError, Keyring, Password, PasswordAdvice, PasswordHash, PasswordHasher,
    conformance::password_hasher::{LINES, PasswordHasherSubject as Subject, check},
};
use saas_core::{Secret, entropy::SeededEntropy};
use saas_kit::HashPool;

use crate::conformance::broken::assert_noticed;

/// Two passwords at once and one that waits: of eight some are too many, for a hash takes longer than asking for all of them.
fn pool() -> HashPool {
    let params = Argon2idParams { memory_kib: 4_096, iterations: 1, parallelism: 1 };
    let entropy = Arc::new(SeededEntropy::new(1));
    HashPool::new(Argon2id::new(params, Keyring::generate(&*entropy), entropy).unwrap(), 2, 1)
}

async fn subject() -> Subject {
    Subject::new(Arc::new(pool()), 8, ())
}

saas_auth::password_hasher_conformance!(subject);

/// The pool, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str, HashPool);

#[async_trait]
impl PasswordHasher for Broken {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        if self.0.starts_with("two_hashes") {
            return Ok(PasswordHash::from_stored("$argon2id$always the same".to_owned()));
        }
        loop {
            match self.1.hash(password.clone()).await {
                Err(HashError::Overloaded { .. }) if self.0.starts_with("beyond") => {
                    tokio::task::yield_now().await;
                }
                done => return done,
            }
        }
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        match self.0 {
            // Cut off, as bcrypt does with its 73rd byte.
            line if line.starts_with("a_hash_verifies") => {
                let text = String::from_utf8_lossy(password.bytes()).into_owned();
                let cut = Secret::new(text.chars().take(28).collect());
                self.1.verify(Password::new(&cut).unwrap(), hash).await
            }
            line if line.starts_with("a_damaged") => Ok(self.1.verify(password, hash).await.unwrap_or(true)),
            _ => self.1.verify(password, hash).await,
        }
    }

    fn is_current(&self, hash: &PasswordHash) -> bool {
        // As one does that goes by the algorithm's name alone.
        if self.0.starts_with("what_was_just_made") {
            !hash.as_phc().is_empty()
        } else {
            self.1.is_current(hash)
        }
    }

    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError> {
        let context = if self.0.starts_with("advice") { Vec::new() } else { context };
        self.1.advise(password, context).await
    }
}

#[tokio::test]
async fn a_hasher_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, Subject::new(Arc::new(Broken(line, pool())), 8, ()))).await;
    }
}
