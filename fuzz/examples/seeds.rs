//! Writes the seeds that have to be made: what a genuine token is of.

use std::{fs, io, sync::Arc};

use saas_auth::{Argon2id, Argon2idParams, Keyring, MailPurpose, MailTokens, Password};
use saas_core::{Secret, entropy::SeededEntropy};
use saas_fuzz::Forge;

fn main() -> io::Result<()> {
    let forge = Forge::new();
    fs::write("seeds/access_token/payload", &forge.payload)?;
    fs::write("seeds/access_token/token", &forge.good)?;
    fs::write("seeds/token_header/header", &forge.header)?;
    let entropy = Arc::new(SeededEntropy::new(2));
    let tokens = MailTokens::new(Keyring::generate(&*entropy));
    let row = uuid::Uuid::from_u128(7);
    let mailed = tokens.token(MailPurpose::PasswordReset, tokens.current(), row).expect("the master is there");
    fs::write("seeds/opaque_tokens/mailed", mailed.expose())?;
    let small = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
    let hasher = Argon2id::new(small, Keyring::generate(&*entropy), entropy).expect("the parameters are good");
    let password = Password::new(&Secret::new("correct horse battery".to_owned())).expect("a short password");
    fs::write("seeds/phc/genuine", hasher.hash(&password).expect("a hash").as_phc())
}
