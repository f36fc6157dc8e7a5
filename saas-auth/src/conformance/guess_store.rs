//! The contract of [`GuessStore`].

use std::{any::Any, sync::Arc, time::Duration};

use saas_core::{Storage, conformance::at_once};

use super::{REACH, at, hash, user, user_id};
use crate::{Forgiven, GuessId, GuessKind, GuessRules, GuessStore, Guesses, NewGuess, Reserved, UserStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`GuessStore`](crate::GuessStore): takes the path of an `async fn() -> GuessStoreSubject`, makes a test of each line of its
    /// contract.
    guess_store_conformance, saas_auth, guess_store, GuessStoreSubject,
    [
        of_guesses_beside_each_other_the_threshold_is_granted_and_a_locked_one_changes_nothing,
        when_a_lock_is_over_one_guess_is_granted_which_locks_for_longer,
        after_a_quiet_window_the_waits_begin_anew_and_the_ceiling_does_not,
        at_the_ceiling_nothing_is_granted_whatever_time_passes,
        a_guess_that_was_not_compared_is_taken_back,
        a_right_guess_clears_what_was_counted_under_its_id_and_nothing_else,
        the_guess_that_begins_a_lock_is_news_and_the_others_are_none,
        what_is_forgiven_is_of_that_user_alone_and_of_every_kind_or_of_passwords,
        devices_are_forgotten_from_the_latest_moment_on,
    ]
}

/// An empty store, the storage that it is in, and the users there.
#[derive(Debug)]
pub struct GuessStoreSubject {
    storage: Arc<dyn Storage>,
    guesses: Arc<dyn GuessStore>,
    users: Arc<dyn UserStore>,
    _kept: Box<dyn Any + Send>,
}

impl GuessStoreSubject {
    /// A new, empty store; guesses are of users of `users`. `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        guesses: Arc<dyn GuessStore>,
        users: Arc<dyn UserStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, guesses, users, _kept: Box::new(kept) }
    }

    async fn with_users(self) -> Self {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        for number in [1, 2] {
            self.users.insert(&mut tx, &user(number), &hash(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
        self
    }

    async fn reserve(&self, guess: &NewGuess<'_>) -> Option<Reserved> {
        let mut tx = self.storage.begin_single(REACH).await.unwrap();
        let reserved = self.guesses.reserve(&mut tx, guess).await.unwrap();
        tx.commit().await.unwrap();
        reserved
    }

    async fn of_user(&self, number: u128) -> Vec<Guesses> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.guesses.of_user(&mut conn, user_id(number), 10).await.unwrap()
    }
}

/// Locks at the third wrong guess for 10 s, then 20 s, 40 s, and 60 s for ever; begins anew after five minutes; the ninth is the last.
const RULES: GuessRules = GuessRules {
    threshold: 3,
    first_wait: Duration::from_secs(10),
    longest_wait: Duration::from_mins(1),
    window: Duration::from_mins(5),
    ceiling: 9,
    kept: Duration::from_hours(24),
    unlock_lifetime: Duration::from_hours(1),
};

fn id(number: u8) -> GuessId {
    GuessId::from_bytes([number; 32])
}

/// A guess of the account of that number, whose user has that number, so many seconds after the beginning.
fn guess(number: u8, seconds: i64) -> NewGuess<'static> {
    NewGuess {
        id: id(number),
        kind: GuessKind::Account,
        user: Some(user_id(number.into())),
        now: at(seconds),
        rules: &RULES,
    }
}

async fn of_guesses_beside_each_other_the_threshold_is_granted_and_a_locked_one_changes_nothing(
    subject: GuessStoreSubject,
) {
    let subject = subject.with_users().await;
    for number in [1, 3] {
        // The third account is nobody's, and counts alike.
        let new = NewGuess { user: (number < 3).then(|| user_id(1)), ..guess(number, 0) };
        let granted = at_once(32, |_| subject.reserve(&new)).await;
        let mut counts: Vec<_> =
            granted.into_iter().flatten().map(|one| (one.failures, one.consecutive, one.open_from)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [(1, 1, at(0)), (2, 2, at(0)), (3, 3, at(10))]);
    }
    let before = subject.of_user(1).await;
    for second in 1..10 {
        assert_eq!(subject.reserve(&guess(1, second)).await, None, "{second}");
    }
    assert_eq!(subject.of_user(1).await, before);
}

/// Has guesses made as soon as they may be, and gives the seconds in which they were.
async fn guess_on(subject: &GuessStoreSubject, number: u8, from: i64, count: usize) -> Vec<i64> {
    let (mut second, mut made) = (from, Vec::new());
    while made.len() < count {
        match subject.reserve(&guess(number, second)).await {
            Some(reserved) => {
                made.push(second);
                second = (reserved.open_from - at(0)).num_seconds().max(second);
            }
            None => panic!("the guess at {second} s is refused: {made:?}"),
        }
        if made.len() < count && (second > *made.last().unwrap()) {
            assert_eq!(subject.reserve(&guess(number, second - 1)).await, None, "a second before {second}");
        }
    }
    made
}

async fn when_a_lock_is_over_one_guess_is_granted_which_locks_for_longer(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    let made = guess_on(&subject, 1, 0, 8).await;
    assert_eq!(made, [0, 0, 0, 10, 30, 70, 130, 190]);
}

async fn after_a_quiet_window_the_waits_begin_anew_and_the_ceiling_does_not(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    assert_eq!(guess_on(&subject, 1, 0, 4).await, [0, 0, 0, 10]);
    // The lock is over at 30 s. Five minutes of quiet from then on are not over yet at 330 s.
    let again = subject.reserve(&guess(1, 330)).await.unwrap();
    assert_eq!((again.failures, again.consecutive, again.open_from), (5, 5, at(370)));
    let anew = subject.reserve(&guess(1, 671)).await.unwrap();
    assert_eq!((anew.failures, anew.consecutive, anew.open_from), (1, 6, at(671)));
    assert_eq!(guess_on(&subject, 1, 671, 2).await, [671, 671]);
    assert_eq!(subject.reserve(&guess(1, 680)).await, None, "the third of them locked");
}

async fn at_the_ceiling_nothing_is_granted_whatever_time_passes(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    assert_eq!(guess_on(&subject, 1, 0, 9).await.len(), 9);
    for second in [251, 1_000, 100_000, 10_000_000] {
        assert_eq!(subject.reserve(&guess(1, second)).await, None, "{second}");
    }
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(subject.guesses.forgive(&mut tx, user_id(1), Forgiven::Passwords).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(subject.reserve(&guess(1, 10_000_000)).await.unwrap().consecutive, 1);
}

async fn a_guess_that_was_not_compared_is_taken_back(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    let take_back = async |reserved: &Reserved, now| {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        subject.guesses.take_back(&mut tx, &id(1), reserved, now).await.unwrap();
        tx.commit().await.unwrap();
    };
    let first = subject.reserve(&guess(1, 0)).await.unwrap();
    let second = subject.reserve(&guess(1, 0)).await.unwrap();
    let third = subject.reserve(&guess(1, 0)).await.unwrap();
    assert!(third.is_news);
    take_back(&third, at(1)).await;
    let again = subject.reserve(&guess(1, 1)).await.unwrap();
    assert_eq!((again.failures, again.consecutive, again.open_from), (3, 3, at(11)));
    assert!(again.is_news, "this one locks");
    // One before it is taken back: the lock stays, it is another's.
    take_back(&first, at(2)).await;
    take_back(&second, at(2)).await;
    assert_eq!(subject.reserve(&guess(1, 2)).await, None);
    assert_eq!(subject.reserve(&guess(1, 11)).await.unwrap().failures, 2);
}

async fn a_right_guess_clears_what_was_counted_under_its_id_and_nothing_else(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    let mine = NewGuess { id: id(9), kind: GuessKind::Device, ..guess(1, 0) };
    for guess in [&guess(1, 0), &guess(1, 0), &mine, &guess(2, 0)] {
        assert!(subject.reserve(guess).await.is_some());
    }
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    subject.guesses.clear(&mut tx, &id(1)).await.unwrap();
    subject.guesses.clear(&mut tx, &id(77)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(subject.reserve(&guess(1, 0)).await.unwrap().consecutive, 1);
    assert_eq!(subject.reserve(&mine).await.unwrap().consecutive, 2);
    assert_eq!(subject.reserve(&guess(2, 0)).await.unwrap().consecutive, 2);
}

async fn the_guess_that_begins_a_lock_is_news_and_the_others_are_none(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    let mut news = Vec::new();
    let mut second = 0;
    for _ in 0..9 {
        let reserved = subject.reserve(&guess(1, second)).await.unwrap();
        news.push(reserved.is_news);
        second = (reserved.open_from - at(0)).num_seconds().max(second + 1);
    }
    assert_eq!(news, [false, false, true, false, false, false, false, false, true]);

    // A lock that nobody can unlock any more is not the last that somebody hears of.
    for second in [0, 0, 0] {
        subject.reserve(&guess(2, second)).await.unwrap();
    }
    let quiet = 4_000;
    for nth in 1..=3 {
        let reserved = subject.reserve(&guess(2, quiet)).await.unwrap();
        assert_eq!(reserved.is_news, nth == 3, "{nth}");
    }
}

async fn what_is_forgiven_is_of_that_user_alone_and_of_every_kind_or_of_passwords(
    subject: GuessStoreSubject,
) {
    let subject = subject.with_users().await;
    let device = NewGuess { id: id(9), kind: GuessKind::Device, ..guess(1, 0) };
    let own = NewGuess { id: id(7), kind: GuessKind::OwnPassword, ..guess(1, 0) };
    let factor = NewGuess { id: id(8), kind: GuessKind::SecondFactor, ..guess(1, 0) };
    let guesses =
        [&guess(1, 0), &device, &own, &factor, &guess(2, 0), &NewGuess { user: None, ..guess(3, 0) }];
    for guess in guesses {
        assert!(subject.reserve(guess).await.is_some());
    }
    let kinds = async || {
        let counted = subject.of_user(1).await;
        let mut kinds: Vec<_> = counted.iter().map(|of| (of.kind.as_str(), of.consecutive)).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds().await, [("account", 1), ("device", 1), ("own_password", 1), ("second_factor", 1)]);
    let forgive = async |number, what| {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        let forgiven = subject.guesses.forgive(&mut tx, user_id(number), what).await.unwrap();
        tx.commit().await.unwrap();
        forgiven
    };
    assert!(forgive(1, Forgiven::Passwords).await);
    assert!(!forgive(1, Forgiven::Passwords).await, "there is nothing left");
    assert_eq!(kinds().await, [("second_factor", 1)]);
    assert!(forgive(1, Forgiven::Everything).await);
    assert!(!forgive(1, Forgiven::Everything).await);
    assert_eq!((subject.of_user(1).await.len(), subject.of_user(2).await.len()), (0, 1));
    for guess in [&guess(1, 0), &device, &own, &factor] {
        assert_eq!(subject.reserve(guess).await.unwrap().consecutive, 1);
    }
    assert_eq!(subject.reserve(&guess(2, 0)).await.unwrap().consecutive, 2);
    // Who is found to be somebody's later on is forgiven as well.
    assert_eq!(
        subject.reserve(&NewGuess { user: Some(user_id(2)), ..guess(3, 0) }).await.unwrap().consecutive,
        2
    );
    assert_eq!(subject.of_user(2).await.len(), 2);
}

async fn devices_are_forgotten_from_the_latest_moment_on(subject: GuessStoreSubject) {
    let subject = subject.with_users().await;
    let forgotten = async |number| {
        let mut conn = subject.storage.read(REACH).await.unwrap();
        subject.guesses.devices_forgotten_at(&mut conn, user_id(number)).await.unwrap()
    };
    assert_eq!(forgotten(1).await, None);
    for seconds in [5, 9, 7] {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        subject.guesses.forget_devices(&mut tx, user_id(1), at(seconds)).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(forgotten(1).await, Some(at(9)));
    assert_eq!(forgotten(2).await, None);
}
