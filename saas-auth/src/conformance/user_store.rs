//! The contract of [`UserStore`].

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use saas_core::{DisplayName, Storage, StoreError, conformance::at_once};

use super::{REACH, at, hash, user, user_id};
use crate::{InsertUserError, PasswordHash, User, UserStatus, UserStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`UserStore`](crate::UserStore): takes the path of an `async fn() -> UserStoreSubject`, makes a test of each line of its
    /// contract.
    user_store_conformance, saas_auth, user_store, UserStoreSubject,
    [
        what_was_inserted_is_read_back_by_id_and_by_address,
        one_of_several_inserts_of_an_address_succeeds_and_the_others_leave_their_transaction_usable,
        the_list_is_in_the_order_of_the_ids_and_gives_each_user_once,
        a_status_is_set_for_a_user_that_is_there,
        a_hash_is_replaced_only_while_it_is_the_stored_one,
        a_password_is_flagged_once_and_only_while_its_hash_is_stored,
        a_password_is_set_or_taken_away_and_replaced_only_while_it_is_what_was_read,
        an_address_is_given_only_while_it_is_free_and_the_old_one_is_what_was_read,
        an_address_is_proved_once_and_while_it_is_theirs,
        a_user_is_deleted_and_nobody_else,
        a_shared_user_is_not_changed_until_the_transaction_ends,
    ]
}

/// A store without users, and the storage that it is in.
#[derive(Debug)]
pub struct UserStoreSubject {
    storage: Arc<dyn Storage>,
    users: Arc<dyn UserStore>,
    _kept: Box<dyn Any + Send>,
}

impl UserStoreSubject {
    /// A new, empty store; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(storage: Arc<dyn Storage>, users: Arc<dyn UserStore>, kept: impl Any + Send) -> Self {
        Self { storage, users, _kept: Box::new(kept) }
    }

    async fn insert(&self, user: &User, number: u128) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        self.users.insert(&mut tx, user, &hash(number)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn by_number(&self, number: u128) -> Option<User> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.users.by_id(&mut conn, user_id(number)).await.unwrap()
    }
}

fn same(left: &User, right: &User) -> bool {
    left.id == right.id
        && left.email.as_str() == right.email.as_str()
        && left.email.shown() == right.email.shown()
        && left.display_name.as_ref().map(DisplayName::as_str)
            == right.display_name.as_ref().map(DisplayName::as_str)
        && left.status == right.status
        && left.email_verified_at == right.email_verified_at
        && left.password_compromised_at == right.password_compromised_at
        && left.created_at == right.created_at
}

async fn what_was_inserted_is_read_back_by_id_and_by_address(subject: UserStoreSubject) {
    let mut ada = user(1);
    ada.display_name = Some(DisplayName::parse("Ada ✈").unwrap());
    ada.email_verified_at = Some(at(5));
    subject.insert(&ada, 1).await;
    subject.insert(&user(2), 2).await;

    let mut conn = subject.storage.read(REACH).await.unwrap();
    let found = subject.users.by_id(&mut conn, ada.id).await.unwrap().expect("the user is there");
    assert!(same(&found, &ada), "{found:?} is not {ada:?}");
    let found =
        subject.users.credentials(&mut conn, &ada.email).await.unwrap().expect("the address is there");
    assert!(same(&found.user, &ada), "{:?} is not {ada:?}", found.user);
    assert!(found.password == Some(hash(1)), "the hash is another one");
    assert!(subject.users.by_id(&mut conn, user_id(3)).await.unwrap().is_none(), "nobody has that id");
    assert!(
        subject.users.credentials(&mut conn, &user(3).email).await.unwrap().is_none(),
        "nobody has that address"
    );
}

async fn one_of_several_inserts_of_an_address_succeeds_and_the_others_leave_their_transaction_usable(
    subject: UserStoreSubject,
) {
    let subject = &subject;
    let inserted = at_once(8, |number| async move {
        let number = number as u128;
        let mut tx = subject.storage.begin(REACH).await?;
        // Another spelling of the same address, another id.
        let mut contender = user(100 + number);
        contender.email =
            saas_core::Email::parse(&format!("{}@example.com", ["Ada", "ada"][number as usize % 2])).unwrap();
        let done = subject.users.insert(&mut tx, &contender, &hash(number)).await;
        subject.users.insert(&mut tx, &user(200 + number), &hash(number)).await?;
        tx.commit().await?;
        done
    })
    .await;
    let won = inserted.iter().filter(|done| done.is_ok()).count();
    let taken = inserted.iter().filter(|done| matches!(done, Err(InsertUserError::EmailTaken))).count();
    assert_eq!(
        (won, taken),
        (1, 7),
        "one gets the address and the others hear that it is taken: {inserted:?}"
    );
    for number in 200..208 {
        assert!(subject.by_number(number).await.is_some(), "what else the transaction wrote is there");
    }
}

async fn the_list_is_in_the_order_of_the_ids_and_gives_each_user_once(subject: UserStoreSubject) {
    for number in [3, 1, 5, 4, 2] {
        subject.insert(&user(number), number).await;
    }
    let mut conn = subject.storage.read(REACH).await.unwrap();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = subject.users.list(&mut conn, after, 2).await.unwrap();
        assert!(page.len() <= 2, "a page is no longer than asked for");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page.into_iter().map(|user| user.id));
        assert!(found.len() <= 5, "nobody is given twice: {found:?}");
    }
    assert_eq!(found, [1, 2, 3, 4, 5].map(user_id));
}

async fn a_status_is_set_for_a_user_that_is_there(subject: UserStoreSubject) {
    subject.insert(&user(1), 1).await;
    subject.insert(&user(2), 2).await;
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    let set = subject.users.set_status(&mut tx, user_id(1), UserStatus::Disabled, at(1)).await.unwrap();
    let unset = subject.users.set_status(&mut tx, user_id(3), UserStatus::Disabled, at(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(set && !unset, "it tells whether there is such a user");
    assert_eq!(subject.by_number(1).await.unwrap().status, UserStatus::Disabled);
    assert_eq!(subject.by_number(2).await.unwrap().status, UserStatus::Active, "nobody else is changed");
}

async fn a_hash_is_replaced_only_while_it_is_the_stored_one(subject: UserStoreSubject) {
    subject.insert(&user(1), 1).await;
    subject.insert(&user(2), 1).await;
    let subject = &subject;
    let replace = |from, to| async move {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        let done =
            subject.users.replace_hash(&mut tx, user_id(1), &hash(from), &hash(to), at(1)).await.unwrap();
        tx.commit().await.unwrap();
        done
    };
    let stored = |number| async move {
        let mut conn = subject.storage.read(REACH).await.unwrap();
        subject.users.credentials(&mut conn, &user(number).email).await.unwrap().unwrap().password
    };
    assert!(replace(1, 5).await);
    assert!(stored(1).await == Some(hash(5)));
    assert!(!replace(1, 6).await, "the stored one is another one");
    assert!(stored(1).await == Some(hash(5)), "what was set meanwhile stays");
    assert!(stored(2).await == Some(hash(1)), "nobody else's is changed");
}

async fn a_password_is_flagged_once_and_only_while_its_hash_is_stored(subject: UserStoreSubject) {
    subject.insert(&user(1), 1).await;
    subject.insert(&user(2), 1).await;
    let subject = &subject;
    let flag = |number, when| async move {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        let done =
            subject.users.flag_compromised(&mut tx, user_id(1), &hash(number), at(when)).await.unwrap();
        tx.commit().await.unwrap();
        done
    };
    assert!(!flag(9, 1).await, "the stored hash is another one");
    assert_eq!(subject.by_number(1).await.unwrap().password_compromised_at, None);
    assert!(flag(1, 2).await);
    assert!(!flag(1, 3).await, "it was flagged already");
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(subject.users.replace_hash(&mut tx, user_id(1), &hash(1), &hash(5), at(4)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(
        subject.by_number(1).await.unwrap().password_compromised_at,
        Some(at(2)),
        "it is the same password"
    );
    assert_eq!(subject.by_number(2).await.unwrap().password_compromised_at, None, "nobody else is flagged");
}

impl UserStoreSubject {
    /// The hash of the user with that number.
    async fn hash_of(&self, number: u128) -> Option<PasswordHash> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let found = self.users.credentials(&mut conn, &user(number).email).await.unwrap();
        found.and_then(|found| found.password)
    }
}

async fn a_password_is_set_or_taken_away_and_replaced_only_while_it_is_what_was_read(
    subject: UserStoreSubject,
) {
    subject.insert(&user(1), 1).await;
    subject.insert(&user(2), 2).await;
    let (users, set) = (&subject.users, Some(hash(3)));
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(users.set_password(&mut tx, user_id(1), set.as_ref(), at(1)).await.unwrap());
    assert!(
        !users.set_password(&mut tx, user_id(3), set.as_ref(), at(1)).await.unwrap(),
        "nobody has that id"
    );
    assert!(!users.replace_password(&mut tx, user_id(1), &hash(1), &hash(4), at(1)).await.unwrap());
    tx.commit().await.unwrap();
    assert!(subject.hash_of(1).await == set, "one that was not read any more is not replaced");
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(users.replace_password(&mut tx, user_id(1), &hash(3), &hash(4), at(1)).await.unwrap());
    tx.commit().await.unwrap();
    assert!(subject.hash_of(1).await == Some(hash(4)));
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(users.set_password(&mut tx, user_id(1), None, at(1)).await.unwrap());
    assert!(!users.replace_password(&mut tx, user_id(1), &hash(4), &hash(5), at(1)).await.unwrap());
    tx.commit().await.unwrap();
    assert!(subject.hash_of(1).await.is_none() && subject.hash_of(2).await == Some(hash(2)));
}

async fn an_address_is_given_only_while_it_is_free_and_the_old_one_is_what_was_read(
    subject: UserStoreSubject,
) {
    for number in [1, 2] {
        subject.insert(&user(number), number).await;
    }
    let set = async |id: u128, read: u128, new: u128| {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        let set =
            subject.users.set_email(&mut tx, user_id(id), &user(read).email, &user(new).email, at(7)).await;
        let set = set.unwrap();
        if set {
            tx.commit().await.unwrap();
        }
        set
    };
    assert!(!set(1, 1, 2).await, "it is somebody else's");
    assert!(!set(1, 3, 4).await, "they have not what was read");
    assert!(!set(3, 3, 4).await, "nobody has that id");
    assert_eq!(subject.by_number(1).await.unwrap().email.as_str(), user(1).email.as_str());
    assert!(set(1, 1, 3).await);
    let changed = subject.by_number(1).await.unwrap();
    assert_eq!((changed.email.shown(), changed.email_verified_at), (user(3).email.shown(), Some(at(7))));
    assert_eq!(subject.by_number(2).await.unwrap().email_verified_at, None, "nobody else is changed");
    assert!(set(1, 3, 3).await, "one's own address is free");
    // Of several who want one address, one gets it.
    for number in 10..18 {
        subject.insert(&user(number), number).await;
    }
    let subject = &subject;
    let got = at_once(8, |number| async move {
        let (number, mut tx) = (10 + number as u128, subject.storage.begin(REACH).await?);
        let new = user(99).email;
        let set = subject.users.set_email(&mut tx, user_id(number), &user(number).email, &new, at(8)).await?;
        if set {
            tx.commit().await?;
        }
        Ok::<_, StoreError>(set)
    })
    .await;
    let got: Vec<bool> = got.into_iter().map(|set| set.expect("each is answered")).collect();
    assert_eq!(got.iter().filter(|set| **set).count(), 1, "one of eight gets the address: {got:?}");
}

async fn an_address_is_proved_once_and_while_it_is_theirs(subject: UserStoreSubject) {
    for number in [1, 2] {
        subject.insert(&user(number), number).await;
    }
    let prove = async |id: u128, email: u128, seconds| {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        let email = user(email).email;
        let proved = subject.users.verify_email(&mut tx, user_id(id), &email, at(seconds)).await.unwrap();
        tx.commit().await.unwrap();
        proved
    };
    assert!(!prove(1, 2, 1).await && !prove(3, 3, 1).await, "the address is not theirs");
    assert!(prove(1, 1, 2).await && prove(1, 1, 3).await);
    assert_eq!(subject.by_number(1).await.unwrap().email_verified_at, Some(at(2)), "the first time stays");
    assert_eq!(subject.by_number(2).await.unwrap().email_verified_at, None, "nobody else is changed");
}

async fn a_user_is_deleted_and_nobody_else(subject: UserStoreSubject) {
    for number in [1, 2] {
        subject.insert(&user(number), number).await;
    }
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(subject.users.delete(&mut tx, user_id(1)).await.unwrap());
    assert!(!subject.users.delete(&mut tx, user_id(1)).await.unwrap(), "they are gone");
    tx.commit().await.unwrap();
    assert!(subject.by_number(1).await.is_none() && subject.by_number(2).await.is_some());
}

async fn a_shared_user_is_not_changed_until_the_transaction_ends(subject: UserStoreSubject) {
    subject.insert(&user(1), 1).await;
    let mut holder = subject.storage.begin(REACH).await.unwrap();
    let held = subject.users.shared(&mut holder, user_id(1)).await.unwrap();
    assert!(held.is_some_and(|held| held.user.status == UserStatus::Active && held.password.is_some()));
    assert!(subject.users.shared(&mut holder, user_id(2)).await.unwrap().is_none(), "nobody has that id");
    let released = AtomicBool::new(false);
    let change = async {
        let mut tx = subject.storage.begin(REACH).await?;
        subject.users.set_status(&mut tx, user_id(1), UserStatus::Disabled, at(1)).await?;
        let waited = released.load(Ordering::SeqCst);
        tx.commit().await?;
        Ok::<_, StoreError>(waited)
    };
    let keep = async {
        // As long as it takes: a change that does not wait is done before.
        for _ in 0..50 {
            assert_eq!(subject.by_number(1).await.unwrap().status, UserStatus::Active);
        }
        released.store(true, Ordering::SeqCst);
        holder.commit().await.unwrap();
    };
    let (waited, ()) = futures_util::future::join(change, keep).await;
    assert!(waited.unwrap(), "the change did not wait for the transaction that shares the user");
    assert_eq!(subject.by_number(1).await.unwrap().status, UserStatus::Disabled);
}
