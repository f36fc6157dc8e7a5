//! Envelopes of personal data: none that we did not seal opens.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use saas_core::{Clock, Envelope, Field, clock::ManualClock, entropy::SeededEntropy, envelope::DataKeys};

static KEYS: LazyLock<(DataKeys, Envelope)> = LazyLock::new(|| {
    let (entropy, now) = (SeededEntropy::new(1), ManualClock::default().now());
    let keys = DataKeys::generate(&entropy, now);
    let sealed = keys.seal(&entropy, now, FIELD, b"192.0.2.7").expect("a short value");
    (keys, sealed)
});
const FIELD: Field<'_> = Field { table: "saas_sessions", column: "address_envelope", row: &[7; 16] };

fuzz_target!(|data: &[u8]| {
    let (keys, genuine) = &*KEYS;
    // As it is, behind what a genuine one begins with, and as a change of a genuine one.
    let changed: Vec<u8> = genuine.as_bytes().iter().zip(data.iter().chain(std::iter::repeat(&0))).map(|(a, b)| a ^ b).collect();
    for bytes in [data.to_vec(), [&genuine.as_bytes()[..Envelope::PREFIX], data].concat(), changed] {
        if bytes != genuine.as_bytes() {
            assert!(keys.open(FIELD, &Envelope::from_stored(bytes)).is_err(), "an envelope opens that we did not seal");
        }
    }
});
