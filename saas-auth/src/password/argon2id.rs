//! Argon2id (RFC 9106) with a pepper as its secret input.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, ParamsBuilder, Version,
    password_hash::phc::{Ident, Output, ParamsString, PasswordHash as Phc, Salt},
};
use saas_core::{Entropy, InternalError, SecretStore, entropy::random};
use subtle::ConstantTimeEq;

use super::{Password, PasswordHash};
use crate::{Keyring, KeyringError};

/// The pepper's name among the secrets.
const PEPPER: &str = "auth.password_pepper";

/// Memory, passes and lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2idParams {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

impl Default for Argon2idParams {
    /// 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet; ASVS 5.0 appendix C).
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

/// Parameters that Argon2 cannot run with, or that would let a stored hash cost without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Argon2id takes 8 KiB to 1 GiB of memory per lane, 1 to 16 passes and 1 to 16 lanes")]
pub struct InvalidParams;

/// Why the hasher could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenArgon2idError {
    /// The peppers could not be loaded or made.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The parameters are out of bounds.
    #[error(transparent)]
    Params(#[from] InvalidParams),
}

/// Hashes on the calling thread. Hosts put it behind a pool.
#[derive(Debug, Clone)]
pub struct Argon2id {
    params: Argon2idParams,
    peppers: Keyring,
    entropy: Arc<dyn Entropy>,
}

/// The memory that a hash works in. The next hash may use it again: what is in it is overwritten before it is read.
#[derive(Default)]
pub struct Argon2idMemory(Vec<Block>);

impl std::fmt::Debug for Argon2idMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Argon2idMemory").field("blocks", &self.0.len()).finish()
    }
}

const HASH_BYTES: usize = 32;

impl Argon2id {
    /// A hasher with the current parameters; `peppers` holds every pepper that a stored hash names.
    pub fn new(
        params: Argon2idParams,
        peppers: Keyring,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, InvalidParams> {
        let lanes_have_memory = params.memory_kib >= 8 * params.parallelism;
        let bounded = params.memory_kib <= 1 << 20
            && (1..=16).contains(&params.iterations)
            && (1..=16).contains(&params.parallelism);
        if lanes_have_memory && bounded { Ok(Self { params, peppers, entropy }) } else { Err(InvalidParams) }
    }

    /// A hasher with the deployment's peppers, made where there are none yet.
    pub async fn open(
        params: Argon2idParams,
        secrets: &dyn SecretStore,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenArgon2idError> {
        let peppers = Keyring::load_or_create(secrets, PEPPER, &*entropy).await?;
        Ok(Self::new(params, peppers, entropy)?)
    }

    /// Hashes at the current parameters, with a new salt and the current pepper.
    pub fn hash(&self, password: &Password) -> Result<PasswordHash, InternalError> {
        self.hash_in(&mut Argon2idMemory::default(), password)
    }

    /// As [`Argon2id::hash`], in memory that was used before.
    pub fn hash_in(
        &self,
        memory: &mut Argon2idMemory,
        password: &Password,
    ) -> Result<PasswordHash, InternalError> {
        let params = ParamsBuilder::new()
            .m_cost(self.params.memory_kib)
            .t_cost(self.params.iterations)
            .p_cost(self.params.parallelism)
            .keyid(argon2::KeyId::new(self.peppers.current().as_str().as_bytes()).map_err(failed)?)
            .output_len(HASH_BYTES)
            .build()
            .map_err(failed)?;
        let salt: [u8; 16] = random(&*self.entropy);
        let hash = self.compute(memory, password, &salt, &params)?;
        let phc = Phc {
            algorithm: Ident::new("argon2id").map_err(failed)?,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(failed)?,
            salt: Some(Salt::new(&salt).map_err(failed)?),
            hash: Some(Output::new(&hash).map_err(failed)?),
        };
        Ok(PasswordHash(phc.to_string()))
    }

    /// Whether `hash` is `password`'s; an error for a hash that we cannot have made.
    pub fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<bool, InternalError> {
        self.verify_in(&mut Argon2idMemory::default(), password, hash)
    }

    /// As [`Argon2id::verify`], in memory that was used before.
    pub fn verify_in(
        &self,
        memory: &mut Argon2idMemory,
        password: &Password,
        hash: &PasswordHash,
    ) -> Result<bool, InternalError> {
        let phc = Phc::new(hash.as_phc()).map_err(failed)?;
        let params = Params::try_from(&phc).map_err(failed)?;
        let (Some(salt), Some(expected)) = (phc.salt, phc.hash) else {
            return Err(InternalError::new("the stored hash has no salt or no output"));
        };
        let ours = phc.algorithm.as_str() == "argon2id"
            && phc.version == Some(Version::V0x13.into())
            && expected.len() == HASH_BYTES
            && params.m_cost() <= 1 << 20
            && params.t_cost() <= 16
            && params.p_cost() <= 16;
        if !ours {
            return Err(InternalError::new("the stored hash has an algorithm or parameters out of bounds"));
        }
        let computed = self.compute(memory, password, salt.as_ref(), &params)?;
        Ok(computed.ct_eq(expected.as_bytes()).into())
    }

    fn compute(
        &self,
        memory: &mut Argon2idMemory,
        password: &Password,
        salt: &[u8],
        params: &Params,
    ) -> Result<[u8; HASH_BYTES], InternalError> {
        let id = std::str::from_utf8(params.keyid()).map_err(InternalError::new)?;
        let pepper = self
            .peppers
            .key(id)
            .ok_or_else(|| InternalError::new("the stored hash names a pepper that is not here"))?;
        let argon2 =
            Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params.clone())
                .map_err(failed)?;
        let mut hash = [0; HASH_BYTES];
        let blocks = params.block_count();
        // What one hash of unusual parameters took is not held for all others.
        if memory.0.capacity() > 2 * blocks {
            memory.0 = Vec::new();
        }
        memory.0.resize(blocks, Block::default());
        argon2
            .hash_password_into_with_memory(password.bytes(), salt, &mut hash, memory.0.as_mut_slice())
            .map_err(failed)?;
        Ok(hash)
    }
}

fn failed(error: impl std::fmt::Display) -> InternalError {
    InternalError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use saas_core::{Secret, entropy::SeededEntropy};

    use super::*;

    fn hasher(seed: u64) -> Argon2id {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let small = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
        Argon2id::new(small, Keyring::generate(&*entropy), entropy).unwrap_or_else(|e| panic!("{e}"))
    }

    fn password(text: &str) -> Password {
        Password::new(&Secret::new(text.to_owned())).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn memory_that_was_used_before_changes_no_hash() {
        let (first, second) = (password("correct horse battery"), password("another password"));
        let hasher = hasher(1);
        let mut memory = Argon2idMemory::default();
        let hash = hasher.hash_in(&mut memory, &first);
        let other = hasher.hash_in(&mut memory, &second);
        assert!(matches!(hash.as_ref().map(|hash| hasher.verify(&first, hash)), Ok(Ok(true))));
        assert!(matches!(hash.map(|hash| hasher.verify_in(&mut memory, &second, &hash)), Ok(Ok(false))));
        assert!(matches!(other.map(|hash| hasher.verify_in(&mut memory, &second, &hash)), Ok(Ok(true))));
    }

    #[test]
    fn a_hash_names_its_parameters_and_pepper_and_fits_its_password_alone() {
        let hasher = hasher(1);
        let hash = hasher.hash(&password("correct horse battery")).unwrap_or_else(|e| panic!("{e}"));
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=64,t=1,p=1,keyid="), "{}", hash.as_phc());
        assert!(matches!(hasher.verify(&password("correct horse battery"), &hash), Ok(true)));
        assert!(matches!(hasher.verify(&password("correct horse batterz"), &hash), Ok(false)));
    }

    #[test]
    fn no_byte_of_a_long_password_is_ignored() {
        let hasher = hasher(1);
        let long = "x".repeat(1023);
        let hash = hasher.hash(&password(&format!("{long}a"))).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(hasher.verify(&password(&format!("{long}b")), &hash), Ok(false)));
        assert_eq!(Password::new(&Secret::new("x".repeat(1025))).err(), Some(super::super::PasswordTooLong));
    }

    #[test]
    fn a_hash_under_a_foreign_pepper_or_with_boundless_parameters_is_an_error() {
        let hash = hasher(1).hash(&password("correct horse battery")).unwrap_or_else(|e| panic!("{e}"));
        assert!(hasher(2).verify(&password("correct horse battery"), &hash).is_err());
        let dear = PasswordHash(hash.as_phc().replace("m=64", "m=2000000"));
        assert!(hasher(1).verify(&password("correct horse battery"), &dear).is_err());
    }

    #[test]
    fn composed_and_decomposed_spellings_are_one_password() {
        let hasher = hasher(1);
        let hash =
            hasher.hash(&password("zo\u{eb} zo\u{eb} zo\u{eb} zo\u{eb}")).unwrap_or_else(|e| panic!("{e}"));
        let decomposed = password("zoe\u{308} zoe\u{308} zoe\u{308} zoe\u{308}");
        assert!(matches!(hasher.verify(&decomposed, &hash), Ok(true)));
    }
}
