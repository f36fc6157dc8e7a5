//! The ids of requests.

use std::sync::{Mutex, PoisonError};

use saas_core::{Clock, Entropy, RequestId};

/// How many random bytes an id takes, and for how many ids they are asked for at once.
const RANDOM: usize = 10;
const IDS: usize = 64;

/// Makes ids with random bytes that were asked for in advance: a system call for each request would cost it more than its route does.
/// An id is no secret, and its bytes serve for nothing else.
#[derive(Debug, Default)]
pub(super) struct RequestIds(Mutex<Vec<[u8; RANDOM]>>);

impl RequestIds {
    pub(super) fn next(&self, clock: &dyn Clock, entropy: &dyn Entropy) -> RequestId {
        let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
        let random = self.random(entropy);
        RequestId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    fn random(&self, entropy: &dyn Entropy) -> [u8; RANDOM] {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(random) = left.pop() {
            return random;
        }
        left.resize(IDS, [0; RANDOM]);
        entropy.fill(left.as_flattened_mut());
        left.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use saas_core::{clock::ManualClock, entropy::SeededEntropy};

    use super::*;

    #[test]
    fn no_id_is_given_twice() {
        let (ids, clock, entropy) = (RequestIds::default(), ManualClock::default(), SeededEntropy::new(1));
        let given: HashSet<_> = (0..10 * IDS).map(|_| ids.next(&clock, &entropy)).collect();
        assert_eq!(given.len(), 10 * IDS);
        assert!(given.iter().all(|id| id.as_uuid().get_version_num() == 7));
    }
}
