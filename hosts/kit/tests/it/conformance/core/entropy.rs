//! `Entropy`.

use std::{cell::RefCell, sync::Arc};

use saas_core::{
    Entropy,
    conformance::entropy::{EntropySubject as Subject, LINES, check},
    entropy::{SeededEntropy, SystemEntropy},
};

use crate::conformance::broken::assert_noticed;

mod system {
    async fn subject() -> super::Subject {
        super::Subject::new(std::sync::Arc::new(super::SystemEntropy))
    }
    saas_core::entropy_conformance!(subject);
}

mod seeded {
    async fn subject() -> super::Subject {
        super::Subject::new(std::sync::Arc::new(super::SeededEntropy::new(7)))
    }
    saas_core::entropy_conformance!(subject);
}

thread_local! {
    static OF_THIS_THREAD: RefCell<SeededEntropy> = RefCell::new(SeededEntropy::new(7));
}

/// The system's randomness, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

impl Entropy for Broken {
    fn fill(&self, bytes: &mut [u8]) {
        match self.0 {
            // What one call of an operating system gives.
            "every_byte_is_filled_whatever_the_length" => {
                let length = bytes.len().min(256);
                SystemEntropy.fill(&mut bytes[..length]);
            }
            // 16 bits of state.
            "nothing_is_given_twice" => {
                let mut seed = [0; 2];
                SystemEntropy.fill(&mut seed);
                SeededEntropy::new(u16::from_le_bytes(seed).into()).fill(bytes);
            }
            "threads_get_different_bytes" => OF_THIS_THREAD.with_borrow(|seeded| seeded.fill(bytes)),
            // Printable.
            "every_bit_is_set_half_of_the_time" => {
                SystemEntropy.fill(bytes);
                for byte in bytes {
                    *byte &= 0x7F;
                }
            }
            _ => SystemEntropy.fill(bytes),
        }
    }
}

/// Nothing random at all.
#[derive(Debug)]
struct Constant;

impl Entropy for Constant {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }
}

#[tokio::test]
async fn a_source_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, Subject::new(Arc::new(Broken(line))))).await;
        assert_noticed(line, check(line, Subject::new(Arc::new(Constant)))).await;
    }
}
