//! The protected header of a token whose signature is right: nothing but exactly our three members is let in.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use saas_fuzz::Forge;

static FORGE: LazyLock<Forge> = LazyLock::new(Forge::new);

fuzz_target!(|data: &[u8]| {
    let forge = &*FORGE;
    if forge.tokens.verify(&forge.sign(data, &forge.payload)).is_err() {
        return;
    }
    let text = std::str::from_utf8(data).expect("a header is JSON");
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    // Escapes may spell a member in another way, but never add one.
    assert_eq!(plain.matches(':').count(), 3, "{text}");
    if !text.contains('\\') {
        for part in [r#""alg":"EdDSA""#, r#""typ":"at+jwt""#, &format!(r#""kid":"{}""#, forge.kid)] {
            assert!(plain.contains(part), "{text}");
        }
    }
});
