//! How often an hour something may be asked for, in this process.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::RecoveryError;

/// How many counters a process keeps. When they are full, the ones whose hour is over go; when none is, whoever is new is refused.
const CAPACITY: usize = 100_000;

const PERIOD: Duration = Duration::from_hours(1);

/// So many in an hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    pub(super) name: &'static str,
    pub(super) most: u32,
}

/// Counters by name and subject, which they hold as a hash alone.
#[derive(Debug, Default)]
pub(in crate::auth) struct Quotas {
    hasher: RandomState,
    counters: Mutex<HashMap<(&'static str, u64), Counter>>,
}

#[derive(Debug)]
struct Counter {
    since: Duration,
    taken: u32,
}

impl Quotas {
    /// Takes one, if there is one left.
    pub(super) fn take(&self, quota: &Quota, subject: &[u8], now: Duration) -> Result<(), RecoveryError> {
        let key = (quota.name, self.hasher.hash_one(subject));
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= CAPACITY && !counters.contains_key(&key) {
            counters.retain(|_, counter| now < counter.since + PERIOD);
            if counters.len() >= CAPACITY {
                return Err(too_often(quota, PERIOD));
            }
        }
        let counter = counters.entry(key).or_insert(Counter { since: now, taken: 0 });
        if now >= counter.since + PERIOD {
            *counter = Counter { since: now, taken: 0 };
        }
        if counter.taken >= quota.most {
            return Err(too_often(quota, (counter.since + PERIOD).saturating_sub(now)));
        }
        counter.taken += 1;
        Ok(())
    }

    /// Gives one back.
    pub(super) fn give_back(&self, quota: &Quota, subject: &[u8]) {
        let key = (quota.name, self.hasher.hash_one(subject));
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get_mut(&key) {
            counter.taken = counter.taken.saturating_sub(1);
        }
    }
}

fn too_often(quota: &Quota, retry_after: Duration) -> RecoveryError {
    metrics::counter!("saas_recovery_refused_total", "quota" => quota.name).increment(1);
    RecoveryError::TooOften { retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { name: "test", most: 2 };

    #[test]
    fn so_many_an_hour_are_given_to_each_and_no_more() {
        let quotas = Quotas::default();
        let take = |subject: &[u8], seconds| quotas.take(&QUOTA, subject, Duration::from_secs(seconds));
        assert!(take(b"ada", 0).is_ok() && take(b"ada", 10).is_ok() && take(b"bob", 10).is_ok());
        let Err(RecoveryError::TooOften { retry_after }) = take(b"ada", 100) else { panic!("a third") };
        assert_eq!(retry_after, Duration::from_secs(3_500));
        assert!(take(b"ada", 3_599).is_err() && take(b"ada", 3_600).is_ok());
    }

    #[test]
    fn one_that_was_given_back_is_there_again() {
        let quotas = Quotas::default();
        let take = || quotas.take(&QUOTA, b"ada", Duration::ZERO);
        assert!(take().is_ok() && take().is_ok() && take().is_err());
        quotas.give_back(&QUOTA, b"ada");
        assert!(take().is_ok() && take().is_err());
    }

    #[test]
    fn counters_are_bounded_and_make_room_when_their_hour_is_over() {
        let quotas = Quotas::default();
        for number in 0..CAPACITY as u64 {
            assert!(quotas.take(&QUOTA, &number.to_be_bytes(), Duration::ZERO).is_ok());
        }
        assert!(quotas.take(&QUOTA, b"one more", Duration::from_secs(1)).is_err());
        assert!(quotas.take(&QUOTA, b"one more", PERIOD).is_ok());
    }
}
