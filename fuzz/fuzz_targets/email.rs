//! E-mail addresses: one that is taken is taken again as it is shown, and is the same person's; nothing in it can break a header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use saas_core::{DisplayName, Email, Mailbox};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(mailbox) = Mailbox::parse(text) {
        assert!(!mailbox.address.shown().chars().any(char::is_control));
        assert!(!mailbox.name.is_some_and(|name| name.as_str().chars().any(char::is_control)));
    }
    let _ = DisplayName::parse(text);
    let Ok(email) = Email::parse(text) else { return };
    assert!(!email.shown().chars().any(|c| c.is_control() || c.is_whitespace()), "{text:?}");
    assert!(email.as_str().len() <= 320 && email.as_str().contains('@'), "{text:?}");
    for spelling in [email.shown(), email.as_str()] {
        let again = Email::parse(spelling).unwrap_or_else(|error| panic!("{text:?} as {spelling:?}: {error}"));
        assert_eq!(again.as_str(), email.as_str(), "{text:?} as {spelling:?}");
    }
});
