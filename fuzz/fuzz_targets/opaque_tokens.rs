//! Refresh tokens, mailed tokens and those of devices: none that a stranger made is ours, and what is read is written back as it was.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use saas_auth::{DeviceToken, GuessKeys, Keyring, MailPurpose, MailToken, MailTokens, RefreshKeys, RefreshToken};
use saas_core::{Email, entropy::SeededEntropy};

static KEYS: LazyLock<(RefreshKeys, MailTokens, GuessKeys, Email)> = LazyLock::new(|| {
    let ring = || Keyring::generate(&SeededEntropy::new(1));
    let ada = Email::parse("ada@example.com").expect("it is an address");
    (RefreshKeys::new(ring()), MailTokens::new(ring()), GuessKeys::new(ring()), ada)
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (refresh, mail, guesses, ada) = &*KEYS;
    if let Ok(token) = RefreshToken::parse(text) {
        assert!(!refresh.made(&token).unwrap_or(false), "a forged refresh token is ours");
    }
    if let Ok(token) = MailToken::parse(text) {
        let hash = mail.hash(MailPurpose::PasswordReset, mail.current(), token.row).expect("the master is there");
        assert!(!token.has(&hash), "a forged mailed token is ours");
    }
    if let Ok(token) = DeviceToken::parse(text) {
        assert!(!token.is_of(guesses, ada), "a forged token of a device is ours");
    }
});
