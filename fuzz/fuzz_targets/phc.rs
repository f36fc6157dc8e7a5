//! Stored password hashes: one that we did not make is an error or no match, whatever it says.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use saas_auth::{Argon2id, Argon2idParams, Keyring, Password, PasswordHash};
use saas_core::{Secret, entropy::SeededEntropy};

static HASHER: LazyLock<(Argon2id, Password, String)> = LazyLock::new(|| {
    let entropy = Arc::new(SeededEntropy::new(1));
    let small = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
    let hasher = Argon2id::new(small, Keyring::generate(&*entropy), entropy).expect("the parameters are good");
    let password = Password::new(&Secret::new("correct horse battery".to_owned())).expect("a short password");
    let genuine = hasher.hash(&password).expect("a hash").as_phc().to_owned();
    (hasher, password, genuine)
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (hasher, password, genuine) = &*HASHER;
    // Both as it is, and with what a genuine one begins with: its parameters, its pepper.
    let prefix = genuine.rsplitn(3, '$').nth(2).expect("salt and hash at the end");
    for phc in [text.to_owned(), format!("{prefix}${text}")] {
        // What is dear but within the bounds is not what is searched for here.
        let dear = phc.split(['$', ',']).any(|part| {
            part.split_once('=').is_some_and(|(name, value)| {
                matches!(name, "m" | "t" | "p") && value.parse::<u64>().is_ok_and(|number| number > 512)
            })
        });
        if !dear && &phc != genuine {
            let verified = hasher.verify(password, &PasswordHash::from_stored(phc));
            assert!(!verified.unwrap_or(false), "a hash that we did not make matches");
        }
    }
});
