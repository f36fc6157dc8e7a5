//! The contract of [`PasswordHasher`].

use std::{any::Any, sync::Arc};

use saas_core::{Secret, conformance::at_once};

use crate::{HashError, Password, PasswordAdvice, PasswordHash, PasswordHasher};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`PasswordHasher`](crate::PasswordHasher): takes the path of an `async fn() -> PasswordHasherSubject`, makes a test of
    /// each line of its contract.
    password_hasher_conformance, saas_auth, password_hasher, PasswordHasherSubject,
    [
        a_hash_verifies_its_password_and_no_other,
        two_hashes_of_one_password_differ,
        what_was_just_made_is_current_and_what_is_foreign_is_not,
        advice_is_of_the_password_and_of_the_words_around_it,
        a_damaged_hash_verifies_nothing,
        beyond_a_bounded_queue_requests_are_turned_away_and_room_comes_back,
    ]
}

/// A hasher, and how many requests at once are more than it admits.
#[derive(Debug)]
pub struct PasswordHasherSubject {
    hasher: Arc<dyn PasswordHasher>,
    flood: usize,
    _kept: Box<dyn Any + Send>,
}

impl PasswordHasherSubject {
    /// A hasher that must turn some of `flood` requests at once away; `kept` is dropped after the test.
    pub fn new(hasher: Arc<dyn PasswordHasher>, flood: usize, kept: impl Any + Send) -> Self {
        Self { hasher, flood, _kept: Box::new(kept) }
    }
}

fn password(text: &str) -> Password {
    Password::new(&Secret::new(text.to_owned())).unwrap()
}

async fn a_hash_verifies_its_password_and_no_other(subject: PasswordHasherSubject) {
    let typed = "correct horse battery staple";
    let hash = subject.hasher.hash(password(typed)).await.unwrap();
    assert!(!hash.as_phc().contains(typed), "the hash does not hold the password");
    assert!(subject.hasher.verify(password(typed), hash.clone()).await.unwrap());
    let longer = "x".repeat(Password::MAX_BYTES);
    for wrong in [
        "",
        "correct horse battery stapl",
        "correct horse battery staplf",
        "correct horse battery staple ",
        "Correct horse battery staple",
        " correct horse battery staple",
        longer.as_str(),
    ] {
        assert!(
            !subject.hasher.verify(password(wrong), hash.clone()).await.unwrap(),
            "another password: {wrong:?}"
        );
    }
    // Nothing is cut off: the last byte of the longest password counts.
    let hash = subject.hasher.hash(password(&longer)).await.unwrap();
    let other = format!("{}y", &longer[1..]);
    assert!(subject.hasher.verify(password(&longer), hash.clone()).await.unwrap());
    assert!(!subject.hasher.verify(password(&other), hash).await.unwrap(), "the last byte counts");
}

async fn two_hashes_of_one_password_differ(subject: PasswordHasherSubject) {
    let first = subject.hasher.hash(password("correct horse battery")).await.unwrap();
    let second = subject.hasher.hash(password("correct horse battery")).await.unwrap();
    assert!(first != second, "equal passwords show in their hashes");
}

async fn what_was_just_made_is_current_and_what_is_foreign_is_not(subject: PasswordHasherSubject) {
    let hash = subject.hasher.hash(password("correct horse battery")).await.unwrap();
    assert!(subject.hasher.is_current(&hash), "it would be made anew at every sign-in");
    let foreign = "$2b$12$KIXQ4S8m1Zb1Zb1Zb1Zb1eJ1Zb1Zb1Zb1Zb1Zb1Zb1Zb1Zb1Zb1Zb";
    for foreign in ["", "x", foreign] {
        let foreign = PasswordHash::from_stored(foreign.to_owned());
        assert!(!subject.hasher.is_current(&foreign), "a hash that it cannot have made");
    }
}

async fn advice_is_of_the_password_and_of_the_words_around_it(subject: PasswordHasherSubject) {
    for (typed, word) in [
        ("aaaaaaaaaaaaaaab", "ada"),
        ("analyticalengines", "analyticalengines"),
        ("kiwi otter lantern moss", "ada"),
    ] {
        let words = vec![word.to_owned()];
        let advice = subject.hasher.advise(password(typed), words.clone()).await.unwrap();
        assert_eq!(advice, PasswordAdvice::of(&password(typed), &words), "{typed}");
    }
}

async fn a_damaged_hash_verifies_nothing(subject: PasswordHasherSubject) {
    let hash = subject.hasher.hash(password("correct horse battery")).await.unwrap();
    let cut = hash.as_phc().get(..hash.as_phc().len() - 4).unwrap_or_default().to_owned();
    for damaged in [String::new(), "x".to_owned(), cut] {
        let damaged = PasswordHash::from_stored(damaged);
        let verified = subject.hasher.verify(password("correct horse battery"), damaged).await;
        assert!(!matches!(verified, Ok(true)), "a damaged hash opens to nobody");
    }
}

async fn beyond_a_bounded_queue_requests_are_turned_away_and_room_comes_back(subject: PasswordHasherSubject) {
    let hashed = at_once(subject.flood, |_| subject.hasher.hash(password("correct horse battery"))).await;
    let done = hashed.iter().filter(|hash| hash.is_ok()).count();
    let shed = hashed.iter().filter(|hash| matches!(hash, Err(HashError::Overloaded { .. }))).count();
    assert_eq!(done + shed, subject.flood, "each is done or turned away: {hashed:?}");
    assert!(shed > 0, "nothing bounds the work: {done} requests at once were all admitted");
    assert!(done > 0, "nothing was done");
    subject.hasher.hash(password("correct horse battery")).await.expect("there is room again");
}
