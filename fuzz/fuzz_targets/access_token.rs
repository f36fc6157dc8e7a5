//! Access tokens: whatever a stranger sends is refused, and a payload that was signed is let in only where every claim is within the rules.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use saas_fuzz::{AUDIENCE, Forge, ISSUER};

static FORGE: LazyLock<Forge> = LazyLock::new(Forge::new);

fuzz_target!(|data: &[u8]| {
    let forge = &*FORGE;
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(text == forge.good || forge.tokens.verify(text).is_err(), "a forged token was let in");
    }
    let Ok(claims) = forge.tokens.verify(&forge.sign(&forge.header, data)) else { return };
    assert_eq!((claims.iss.as_str(), claims.aud.as_str()), (ISSUER, AUDIENCE));
    assert!(claims.exp > forge.now && claims.nbf <= forge.now + 30 && claims.iat <= forge.now + 30);
    assert!(claims.exp - claims.iat <= 15 * 60, "it lives longer than any access token may");
});
