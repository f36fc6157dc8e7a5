//! Argon2id (RFC 9106) with a pepper as its secret input.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, ParamsBuilder, Version,
    password_hash::phc::{Ident, Output, ParamsString, PasswordHash as Phc, Salt},
};
use saas_core::{Entropy, InternalError, Secret, SecretStore, entropy::random};
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
pub struct Argon2idMemory {
    blocks: Vec<Block>,
    filled: u64,
}

impl Argon2idMemory {
    /// How many blocks of 1 KiB were computed in it so far, which is what hashing costs.
    pub const fn filled(&self) -> u64 {
        self.filled
    }
}

impl std::fmt::Debug for Argon2idMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Argon2idMemory").field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

const HASH_BYTES: usize = 32;

/// The most memory in KiB that a stored hash may ask for, unless today's ask for more: what an intruder writes into the database must not
/// take the machine's memory.
const MOST_STORED_MEMORY: u32 = 256 * 1024;
/// The most passes and lanes of a stored hash.
const MOST_STORED_PASSES: u32 = 16;

impl Argon2idParams {
    /// What a hash costs, in blocks of 1 KiB.
    fn blocks(self) -> u64 {
        let lanes = u64::from(self.parallelism.max(1));
        // Argon2 rounds to four blocks a lane.
        u64::from(self.memory_kib) / (4 * lanes) * (4 * lanes) * u64::from(self.iterations)
    }

    /// What to compute beside a hash of `done`, so that both together cost what one of these does; none where `done` costs as much.
    fn remainder(self, done: Self) -> Option<Self> {
        let missing = self.blocks().checked_sub(done.blocks()).filter(|missing| *missing >= 8)?;
        let passes = missing.div_ceil(u64::from(self.memory_kib)).max(1);
        Some(Self {
            memory_kib: u32::try_from(missing / passes).ok()?.max(8),
            iterations: u32::try_from(passes).ok()?,
            parallelism: 1,
        })
    }
}

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

    /// As [`Argon2id::open`], with peppers of the operator's own: the first goes into new hashes, the others and those that the deployment
    /// made are for what is stored.
    pub async fn open_with_peppers(
        params: Argon2idParams,
        own: &[Secret<String>],
        secrets: &dyn SecretStore,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenArgon2idError> {
        let made = Keyring::load_or_create(secrets, PEPPER, &*entropy).await?;
        Ok(Self::new(params, made.after(PEPPER, own), entropy)?)
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
        let params = self.build(self.params)?;
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
        let Stored { salt, expected, params } = self.parse(hash)?;
        let computed = self.compute(memory, password, salt.as_ref(), &params)?;
        // Whatever came out, older and cheaper parameters must not show in how long it took: a wrong guess costs what it costs where nobody
        // has such an account.
        if let Some(rest) = self.params.remainder(of(&params)) {
            self.compute(memory, password, salt.as_ref(), &self.build(rest)?)?;
        }
        Ok(computed.ct_eq(expected.as_bytes()).into())
    }

    /// Whether a hash has today's parameters and pepper.
    pub fn is_current(&self, hash: &PasswordHash) -> bool {
        self.parse(hash).is_ok_and(|Stored { params, .. }| {
            of(&params) == self.params && params.keyid() == self.peppers.current().as_str().as_bytes()
        })
    }

    /// A hash that we may have made.
    fn parse(&self, hash: &PasswordHash) -> Result<Stored, InternalError> {
        let phc = Phc::new(hash.as_phc()).map_err(failed)?;
        let params = Params::try_from(&phc).map_err(failed)?;
        let (Some(salt), Some(expected)) = (phc.salt, phc.hash) else {
            return Err(InternalError::new("the stored hash has no salt or no output"));
        };
        let ours = phc.algorithm.as_str() == "argon2id"
            && phc.version == Some(Version::V0x13.into())
            && expected.len() == HASH_BYTES
            && params.m_cost() <= MOST_STORED_MEMORY.max(self.params.memory_kib)
            && params.t_cost() <= MOST_STORED_PASSES
            && params.p_cost() <= MOST_STORED_PASSES;
        if !ours {
            return Err(InternalError::new("the stored hash has an algorithm or parameters out of bounds"));
        }
        Ok(Stored { salt, expected, params })
    }

    /// Parameters as the crate wants them, with the current pepper's name.
    fn build(&self, params: Argon2idParams) -> Result<Params, InternalError> {
        ParamsBuilder::new()
            .m_cost(params.memory_kib)
            .t_cost(params.iterations)
            .p_cost(params.parallelism)
            .keyid(argon2::KeyId::new(self.peppers.current().as_str().as_bytes()).map_err(failed)?)
            .output_len(HASH_BYTES)
            .build()
            .map_err(failed)
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
        if memory.blocks.capacity() > 2 * blocks.max(self.params.memory_kib as usize) {
            memory.blocks = Vec::new();
        }
        memory.blocks.resize(blocks, Block::default());
        memory.filled += blocks as u64 * u64::from(params.t_cost());
        argon2
            .hash_password_into_with_memory(password.bytes(), salt, &mut hash, memory.blocks.as_mut_slice())
            .map_err(failed)?;
        Ok(hash)
    }
}

/// What a stored hash says.
struct Stored {
    salt: Salt,
    expected: Output,
    params: Params,
}

fn of(params: &Params) -> Argon2idParams {
    Argon2idParams { memory_kib: params.m_cost(), iterations: params.t_cost(), parallelism: params.p_cost() }
}

fn failed(error: impl std::fmt::Display) -> InternalError {
    InternalError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use saas_core::entropy::SeededEntropy;

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
    fn a_planted_hash_cannot_take_the_memory_of_the_machine() {
        let hasher = hasher(1);
        let typed = password("correct horse battery");
        let hash = hasher.hash(&typed).unwrap_or_else(|e| panic!("{e}"));
        let planted = |from: &str, to: &str| PasswordHash(hash.as_phc().replace(from, to));
        for planted in [
            planted("m=64", "m=262145"),
            planted("m=64", "m=4294967295"),
            planted("t=1", "t=17"),
            planted("p=1", "p=17"),
            planted("argon2id", "argon2d"),
            planted("v=19", "v=16"),
        ] {
            let mut memory = Argon2idMemory::default();
            assert!(hasher.verify_in(&mut memory, &typed, &planted).is_err(), "{}", planted.as_phc());
            assert_eq!(memory.filled(), 0, "it is refused before anything is computed");
            assert!(!hasher.is_current(&planted));
        }
    }

    #[test]
    fn a_guess_at_an_older_hash_costs_what_one_at_no_account_does() {
        let entropy = Arc::new(SeededEntropy::new(1));
        let peppers = Keyring::generate(&*entropy);
        let with = |memory_kib, iterations, parallelism| {
            let params = Argon2idParams { memory_kib, iterations, parallelism };
            Argon2id::new(params, peppers.clone(), entropy.clone()).unwrap_or_else(|e| panic!("{e}"))
        };
        let typed = password("correct horse battery");
        let today = with(1_024, 2, 1);
        let mut unknown = Argon2idMemory::default();
        today.hash_in(&mut unknown, &typed).unwrap_or_else(|e| panic!("{e}"));
        for older in [with(64, 1, 1), with(512, 2, 1), with(1_024, 1, 1), with(700, 1, 2), with(512, 3, 1)] {
            let hash = older.hash(&typed).unwrap_or_else(|e| panic!("{e}"));
            assert!(today.is_current(&today.hash(&typed).unwrap()) && !today.is_current(&hash));
            for (guess, right) in [(typed.clone(), true), (password("another password"), false)] {
                let mut memory = Argon2idMemory::default();
                let verified = today.verify_in(&mut memory, &guess, &hash);
                assert_eq!(verified.unwrap_or_else(|e| panic!("{e}")), right);
                let difference = memory.filled().abs_diff(unknown.filled());
                assert!(
                    difference <= 8,
                    "{} blocks for {} in {}",
                    memory.filled(),
                    unknown.filled(),
                    hash.as_phc()
                );
            }
        }
    }

    #[test]
    fn a_pepper_rotates_by_going_before_the_old_ones() {
        let entropy = Arc::new(SeededEntropy::new(1));
        let own = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| Secret::new((*text).to_owned())).collect();
            let made = Keyring::generate(&SeededEntropy::new(7));
            let small = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
            Argon2id::new(small, made.after(PEPPER, &texts), entropy.clone())
                .unwrap_or_else(|e| panic!("{e}"))
        };
        let typed = password("correct horse battery");
        let (made, first, both, second) = (
            own(&[]),
            own(&["first pepper"]),
            own(&["second pepper", "first pepper"]),
            own(&["second pepper"]),
        );
        let old = first.hash(&typed).unwrap_or_else(|e| panic!("{e}"));
        let oldest = made.hash(&typed).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(both.verify(&typed, &old), Ok(true)) && !both.is_current(&old));
        assert!(matches!(both.verify(&typed, &oldest), Ok(true)), "what the deployment made stays");
        let new = both.hash(&typed).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(second.verify(&typed, &new), Ok(true)) && second.is_current(&new));
        assert!(second.verify(&typed, &old).is_err(), "a pepper that is taken away opens nothing");
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
