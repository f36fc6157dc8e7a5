//! The contract of [`OneTimeTokenStore`].

use std::{any::Any, sync::Arc};

use chrono::{DateTime, Utc};
use saas_core::{Envelope, Storage, conformance::at_once};

use super::{REACH, at, hash, user, user_id, uuid};
use crate::{MailPurpose, OneTimeToken, OneTimeTokenId, OneTimeTokenStore, Undos, UserStore};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`OneTimeTokenStore`](crate::OneTimeTokenStore): takes the path of an `async fn() -> OneTimeTokenStoreSubject`, makes a test
    /// of each line of its contract.
    one_time_token_store_conformance, saas_auth, one_time_token_store, OneTimeTokenStoreSubject,
    [
        what_was_inserted_is_read_back,
        a_newer_token_of_a_purpose_takes_the_place_of_the_older_one,
        of_several_uses_of_a_token_one_gets_it,
        a_token_of_another_purpose_with_another_hash_or_over_is_not_got,
        the_end_of_a_users_tokens_is_nobody_elses_and_spares_the_undos_that_it_should,
        a_users_tokens_are_listed_newest_first,
    ]
}

/// A store without tokens, the store of the users that they are of, and the storage that both are in.
#[derive(Debug)]
pub struct OneTimeTokenStoreSubject {
    storage: Arc<dyn Storage>,
    users: Arc<dyn UserStore>,
    tokens: Arc<dyn OneTimeTokenStore>,
    _kept: Box<dyn Any + Send>,
}

impl OneTimeTokenStoreSubject {
    /// New, empty stores; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        users: Arc<dyn UserStore>,
        tokens: Arc<dyn OneTimeTokenStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, users, tokens, _kept: Box::new(kept) }
    }

    /// Users 1 and 2, and these tokens; whether each was taken.
    async fn seed(&self, tokens: &[OneTimeToken]) -> Vec<bool> {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        for number in [1, 2] {
            self.users.insert(&mut tx, &user(number), &hash(number)).await.unwrap();
        }
        let mut taken = Vec::new();
        for token in tokens {
            taken.push(self.tokens.insert(&mut tx, token).await.unwrap());
        }
        tx.commit().await.unwrap();
        taken
    }

    async fn by_number(&self, number: u128) -> Option<OneTimeToken> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.tokens.by_id(&mut conn, id(number)).await.unwrap()
    }

    async fn consume(
        &self,
        number: u128,
        purpose: MailPurpose,
        hash: [u8; 32],
        now: DateTime<Utc>,
    ) -> Option<OneTimeToken> {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let token = self.tokens.consume(&mut tx, id(number), purpose, &hash, now).await.unwrap();
        tx.commit().await.unwrap();
        token
    }

    async fn end(&self, user: u128, undos: Undos) -> u64 {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let ended = self.tokens.end(&mut tx, user_id(user), undos).await.unwrap();
        tx.commit().await.unwrap();
        ended
    }

    /// Which of these rows are there.
    async fn there<const N: usize>(&self, numbers: [u128; N]) -> [bool; N] {
        let mut there = [false; N];
        for (there, number) in there.iter_mut().zip(numbers) {
            *there = self.by_number(number).await.is_some();
        }
        there
    }
}

fn id(number: u128) -> OneTimeTokenId {
    OneTimeTokenId::from_uuid(uuid(number))
}

fn hash_of(number: u128) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..16].copy_from_slice(&number.to_be_bytes());
    hash
}

/// A token that was made at the second of its number, and ends in the first minute.
fn token(number: u128, user: Option<u128>, purpose: MailPurpose) -> OneTimeToken {
    OneTimeToken {
        id: id(number),
        user: user.map(user_id),
        purpose,
        address: [9; 32],
        other_address: None,
        key: "k1".into(),
        hash: hash_of(number),
        created_at: at(i64::try_from(number).unwrap()),
        expires_at: at(60),
        used_at: None,
    }
}

const RESET: MailPurpose = MailPurpose::PasswordReset;
const UNDO: MailPurpose = MailPurpose::EmailChangeUndo;

async fn what_was_inserted_is_read_back(subject: OneTimeTokenStoreSubject) {
    let mut change = token(2, Some(1), MailPurpose::EmailChange);
    change.other_address = Some(Envelope::from_stored(vec![1, 2, 3]));
    let all = [token(1, Some(1), RESET), change, token(3, None, MailPurpose::VerifyEmail)];
    assert_eq!(subject.seed(&all).await, [true; 3]);
    for token in all {
        let number = token.id.as_uuid().as_u128() & 0xff;
        assert_eq!(subject.by_number(number).await, Some(token));
    }
    assert_eq!(subject.by_number(4).await, None, "no row has that id");
}

async fn a_newer_token_of_a_purpose_takes_the_place_of_the_older_one(subject: OneTimeTokenStoreSubject) {
    let taken = subject
        .seed(&[
            token(2, Some(1), RESET),
            token(1, Some(1), RESET),
            token(3, Some(1), RESET),
            token(4, Some(2), RESET),
            token(5, Some(1), MailPurpose::VerifyEmail),
            token(6, Some(1), UNDO),
            token(7, Some(1), UNDO),
            token(8, None, RESET),
            token(9, None, RESET),
        ])
        .await;
    assert_eq!(taken, [true, false, true, true, true, true, true, true, true], "an older one comes too late");
    let there = subject.there([1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
    assert_eq!(there, [false, false, true, true, true, true, true, true, true]);
    // One that was used makes room as well, and the new one is not used.
    assert!(subject.consume(3, RESET, hash_of(3), at(1)).await.is_some());
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(subject.tokens.insert(&mut tx, &token(10, Some(1), RESET)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(subject.by_number(10).await, Some(token(10, Some(1), RESET)));
}

async fn of_several_uses_of_a_token_one_gets_it(subject: OneTimeTokenStoreSubject) {
    subject.seed(&[token(1, Some(1), RESET)]).await;
    let subject = &subject;
    let got = at_once(8, |_| async move { subject.consume(1, RESET, hash_of(1), at(1)).await }).await;
    let got: Vec<OneTimeToken> = got.into_iter().flatten().collect();
    let mut used = token(1, Some(1), RESET);
    used.used_at = Some(at(1));
    assert_eq!(got, [used.clone()], "exactly one gets it");
    assert_eq!(subject.by_number(1).await, Some(used), "and it is marked as used");
}

async fn a_token_of_another_purpose_with_another_hash_or_over_is_not_got(subject: OneTimeTokenStoreSubject) {
    subject.seed(&[token(1, Some(1), RESET)]).await;
    assert!(subject.consume(1, UNDO, hash_of(1), at(1)).await.is_none(), "it is of another purpose");
    assert!(subject.consume(1, RESET, hash_of(2), at(1)).await.is_none(), "it has another hash");
    assert!(subject.consume(2, RESET, hash_of(1), at(1)).await.is_none(), "it is another row's");
    assert!(subject.consume(1, RESET, hash_of(1), at(60)).await.is_none(), "it is over");
    assert_eq!(subject.by_number(1).await, Some(token(1, Some(1), RESET)), "and none of that used it");
    assert!(subject.consume(1, RESET, hash_of(1), at(59)).await.is_some());
}

async fn the_end_of_a_users_tokens_is_nobody_elses_and_spares_the_undos_that_it_should(
    subject: OneTimeTokenStoreSubject,
) {
    subject
        .seed(&[
            token(1, Some(1), RESET),
            token(2, Some(1), MailPurpose::VerifyEmail),
            token(3, Some(1), UNDO),
            token(4, Some(1), UNDO),
            token(5, Some(1), UNDO),
            token(6, Some(2), RESET),
            token(7, None, RESET),
        ])
        .await;
    assert!(subject.consume(2, MailPurpose::VerifyEmail, hash_of(2), at(1)).await.is_some());
    let all = [1, 2, 3, 4, 5, 6, 7];
    assert_eq!(subject.end(1, Undos::Stay).await, 1);
    assert_eq!(subject.there(all).await, [false, true, true, true, true, true, true]);
    assert_eq!(subject.end(1, Undos::StayBefore(id(4))).await, 2);
    assert_eq!(subject.there(all).await, [false, true, true, false, false, true, true]);
    assert_eq!(subject.end(1, Undos::End).await, 1);
    assert_eq!(subject.there(all).await, [false, true, false, false, false, true, true]);
    assert_eq!(subject.end(1, Undos::End).await, 0);
}

async fn a_users_tokens_are_listed_newest_first(subject: OneTimeTokenStoreSubject) {
    let purposes = [RESET, MailPurpose::VerifyEmail, MailPurpose::Unlock];
    let mut seeded: Vec<OneTimeToken> =
        (1..).zip(purposes).map(|(number, purpose)| token(number, Some(1), purpose)).collect();
    seeded.push(token(4, Some(2), RESET));
    seeded.push(token(5, None, RESET));
    subject.seed(&seeded).await;
    let mut conn = subject.storage.read(REACH).await.unwrap();
    for (limit, expected) in [(10, vec![3, 2, 1]), (2, vec![3, 2])] {
        let listed = subject.tokens.of_user(&mut conn, user_id(1), limit).await.unwrap();
        let listed: Vec<OneTimeTokenId> = listed.into_iter().map(|token| token.id).collect();
        assert_eq!(listed, expected.into_iter().map(id).collect::<Vec<_>>());
    }
}
