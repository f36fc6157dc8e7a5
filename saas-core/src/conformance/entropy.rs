//! The contract of [`Entropy`], as far as it shows: no test tells whether bytes can be predicted, but many tell that they can.

use std::{collections::HashSet, sync::Arc, thread};

use crate::{Entropy, entropy::random};

saas_core::conformance_suite! {
    ($)
    /// Tests an [`Entropy`](crate::Entropy): takes the path of an `async fn() -> EntropySubject`, makes a test of each line of its
    /// contract.
    entropy_conformance, saas_core, entropy, EntropySubject,
    [
        every_byte_is_filled_whatever_the_length,
        nothing_is_given_twice,
        threads_get_different_bytes,
        every_bit_is_set_half_of_the_time,
    ]
}

/// A source of randomness.
#[derive(Debug)]
pub struct EntropySubject {
    entropy: Arc<dyn Entropy>,
}

impl EntropySubject {
    /// A source for one test.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy }
    }
}

async fn every_byte_is_filled_whatever_the_length(subject: EntropySubject) {
    // One call of an operating system gives 256 bytes at most.
    for length in (0..=70).chain([255, 256, 257, 1_000, 65_537]) {
        let mut seen = vec![(0xFF_u8, 0x00_u8); length];
        // A byte that is one value sixteen times is no random one: by chance in 1 of 2^120 cases.
        for _ in 0..16 {
            let mut bytes = vec![0xA5; length];
            subject.entropy.fill(&mut bytes);
            for ((lowest, highest), byte) in seen.iter_mut().zip(bytes) {
                (*lowest, *highest) = (byte.min(*lowest), byte.max(*highest));
            }
        }
        let constant = seen.iter().position(|(lowest, highest)| lowest == highest);
        assert_eq!(constant, None, "a byte of {length} is always the same");
    }
}

async fn nothing_is_given_twice(subject: EntropySubject) {
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        assert!(seen.insert(random::<16>(&*subject.entropy)), "the same 16 bytes came twice");
    }
}

async fn threads_get_different_bytes(subject: EntropySubject) {
    let draw = || (0..1_000).map(|_| random::<16>(&*subject.entropy)).collect::<Vec<_>>();
    let drawn: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: HashSet<_> = drawn.iter().collect();
    assert_eq!(distinct.len(), drawn.len(), "two threads got the same 16 bytes");
}

async fn every_bit_is_set_half_of_the_time(subject: EntropySubject) {
    let mut bytes = vec![0; 65_536];
    subject.entropy.fill(&mut bytes);
    for bit in 0..8 {
        let set = bytes.iter().filter(|byte| **byte & (1 << bit) != 0).count();
        // Ten standard deviations.
        assert!(set.abs_diff(32_768) < 1_280, "bit {bit} is set in {set} of 65536 bytes");
    }
}
