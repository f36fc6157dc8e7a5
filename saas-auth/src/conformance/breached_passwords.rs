//! The contract of [`BreachedPasswords`].

use std::{any::Any, sync::Arc};

use saas_core::{Secret, conformance::at_once};

use crate::{Password, password::BreachedPasswords};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`BreachedPasswords`](crate::password::BreachedPasswords): takes the path of an `async fn() -> BreachedPasswordsSubject`,
    /// makes a test of each line of its contract.
    breached_passwords_conformance, saas_auth, breached_passwords, BreachedPasswordsSubject,
    [
        what_is_on_the_list_is_found_and_nothing_else,
        each_of_many_at_once_gets_its_own_answer,
        a_list_that_cannot_be_asked_is_an_error,
        nothing_of_a_password_is_shown,
    ]
}

/// A list that has [`BreachedPasswordsSubject::LISTED`] on it and none of [`BreachedPasswordsSubject::OTHERS`].
#[derive(Debug)]
pub struct BreachedPasswordsSubject {
    list: Arc<dyn BreachedPasswords>,
    away: Option<Arc<dyn BreachedPasswords>>,
    _kept: Box<dyn Any + Send>,
}

impl BreachedPasswordsSubject {
    /// What has to be on the list: common enough for every one.
    pub const LISTED: [&'static str; 4] = ["password", "123456789", "qwertyuiopasdfg", "passwordpassword"];
    /// What must not be on it.
    pub const OTHERS: [&'static str; 4] = [
        "zebra gulps blue ink at dawn",
        "\u{1f98a} quick wolves, vexed jams",
        "correct horse battery staple of mine",
        "Kiwi-Otter-Lantern-93-Moss",
    ];

    /// A list; `away` is one of the same kind that cannot be asked now, none where that cannot be. `kept` is dropped after the test.
    pub fn new(
        list: Arc<dyn BreachedPasswords>,
        away: Option<Arc<dyn BreachedPasswords>>,
        kept: impl Any + Send,
    ) -> Self {
        Self { list, away, _kept: Box::new(kept) }
    }
}

fn password(text: &str) -> Password {
    Password::new(&Secret::new(text.to_owned())).unwrap()
}

async fn what_is_on_the_list_is_found_and_nothing_else(subject: BreachedPasswordsSubject) {
    // Twice: what is remembered of the first time is as true.
    for _ in 0..2 {
        for listed in BreachedPasswordsSubject::LISTED {
            assert!(subject.list.is_breached(&password(listed)).await.unwrap(), "{listed} is on the list");
        }
        for other in BreachedPasswordsSubject::OTHERS {
            assert!(!subject.list.is_breached(&password(other)).await.unwrap(), "{other} is not");
        }
    }
}

async fn each_of_many_at_once_gets_its_own_answer(subject: BreachedPasswordsSubject) {
    let subject = &subject;
    let found = at_once(32, |number| async move {
        let of =
            if number % 2 == 0 { BreachedPasswordsSubject::LISTED } else { BreachedPasswordsSubject::OTHERS };
        subject.list.is_breached(&password(of[number / 2 % of.len()])).await.unwrap()
    })
    .await;
    for (number, found) in found.into_iter().enumerate() {
        assert_eq!(found, number % 2 == 0, "the answer to number {number}");
    }
}

async fn a_list_that_cannot_be_asked_is_an_error(subject: BreachedPasswordsSubject) {
    let Some(away) = subject.away else { return };
    for text in BreachedPasswordsSubject::LISTED.into_iter().chain(BreachedPasswordsSubject::OTHERS) {
        assert!(away.is_breached(&password(text)).await.is_err(), "an answer out of nothing");
    }
}

async fn nothing_of_a_password_is_shown(subject: BreachedPasswordsSubject) {
    let secret = "Kiwi-Otter-Lantern-93-Moss";
    let mut shown = Vec::new();
    for list in std::iter::once(subject.list).chain(subject.away) {
        if let Err(error) = list.is_breached(&password(secret)).await {
            shown.push(saas_core::fault::chain(&error));
            shown.push(format!("{error:?}"));
        }
        shown.push(format!("{list:?}"));
    }
    // SHA-1, as lists of stolen passwords have it.
    for told in [secret, "FB28D43663DD27BE76AC920620F72779C802632B"] {
        let told = told.to_lowercase();
        assert!(shown.iter().all(|text| !text.to_lowercase().contains(&told)), "{shown:?}");
    }
}
