//! The contract of [`SessionStore`].

use std::{any::Any, sync::Arc};

use chrono::{DateTime, Utc};
use saas_core::{Envelope, SessionId, Storage, conformance::at_once};

use super::{REACH, at, family, hash, session_id, tenant_id, user, user_id};
use crate::{
    AuthMethod, Family, PageStart, Reauthentication, Revocation, Rotated, Rotation, SessionFilter,
    SessionStore, Touch, User, UserStatus, UserStore,
};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`SessionStore`](crate::SessionStore): takes the path of an `async fn() -> SessionStoreSubject`, makes a test of each line
    /// of its contract.
    session_store_conformance, saas_auth, session_store, SessionStoreSubject,
    [
        what_was_inserted_is_read_back,
        of_several_rotations_of_a_generation_one_moves_the_family_on,
        a_session_that_was_revoked_or_is_over_does_not_rotate,
        only_the_family_that_all_of_the_rotation_names_rotates,
        a_switch_takes_the_family_to_another_tenant_and_raises_its_version,
        a_touch_moves_the_idle_end_of_a_live_session_that_was_not_seen_just_now,
        a_place_is_noted_in_its_session_alone,
        a_revoked_session_keeps_its_first_end,
        ending_the_others_keeps_the_one_that_is_named,
        a_session_of_another_user_is_not_listed_and_not_revoked,
        a_snapshot_shows_what_is_true_now,
        snapshots_show_each_session_that_is_there_once_as_it_is_now,
        who_authenticates_again_has_it_noted_in_that_live_session_alone,
        no_more_guesses_are_let_through_than_may_be_until_somebody_authenticates_again,
        the_list_gives_each_session_once_last_seen_first_and_the_count_agrees,
    ]
}

/// A store without sessions, the store of the users that they are of, and the storage that both are in.
#[derive(Debug)]
pub struct SessionStoreSubject {
    storage: Arc<dyn Storage>,
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    _kept: Box<dyn Any + Send>,
}

impl SessionStoreSubject {
    /// New, empty stores; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        users: Arc<dyn UserStore>,
        sessions: Arc<dyn SessionStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, users, sessions, _kept: Box::new(kept) }
    }

    /// Users 1 and 2, and these sessions.
    async fn seed(&self, families: &[Family]) {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        for number in [1, 2] {
            self.users.insert(&mut tx, &user(number), &hash(number)).await.unwrap();
        }
        for family in families {
            self.sessions.insert(&mut tx, family).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn family(&self, number: u128) -> Option<Family> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let known = self.sessions.family(&mut conn, session_id(number)).await.unwrap();
        known.map(|(family, user)| {
            assert_eq!(family.session.user, user.id, "the user is the session's own");
            family
        })
    }

    /// Session `number` of user 1 in tenant 1.
    async fn rotate(&self, number: u128, generation: i64, now: DateTime<Utc>) -> Option<Rotated> {
        let known = family(number, 1, 1);
        self.rotate_as(&rotation(&known, generation, now)).await
    }

    async fn rotate_as(&self, rotation: &Rotation<'_>) -> Option<Rotated> {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let rotated = self.sessions.rotate(&mut tx, rotation).await.unwrap();
        tx.commit().await.unwrap();
        rotated
    }

    async fn switch(&self, rotation: &Rotation<'_>, to: u128) -> Option<Rotated> {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let switched = self.sessions.switch(&mut tx, rotation, tenant_id(to)).await.unwrap();
        tx.commit().await.unwrap();
        switched
    }

    /// Touches session 1, unless it was seen in the minute before `now`.
    async fn touch(&self, version: i64, now: DateTime<Utc>) -> bool {
        let touch = Touch {
            session: session_id(1),
            version,
            now,
            idle_expires_at: now + chrono::TimeDelta::hours(1),
            last_seen_before: now - chrono::TimeDelta::minutes(1),
        };
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let touched = self.sessions.touch(&mut tx, &touch).await.unwrap();
        tx.commit().await.unwrap();
        touched
    }

    async fn set_place(&self, number: u128, place: &Envelope) -> bool {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let set = self.sessions.set_place(&mut tx, session_id(number), place).await.unwrap();
        tx.commit().await.unwrap();
        set
    }

    async fn revoke_others(&self, user: u128, kept: u128, now: DateTime<Utc>) -> u64 {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let (user, kept, why) = (user_id(user), session_id(kept), Revocation::LogoutOthers);
        let ended = self.sessions.revoke_others(&mut tx, user, kept, why, now).await.unwrap();
        tx.commit().await.unwrap();
        ended
    }

    async fn revoke(&self, user: u128, number: u128, why: Revocation, now: DateTime<Utc>) -> bool {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let (user, id) = (user_id(user), session_id(number));
        let revoked = self.sessions.revoke(&mut tx, user, id, why, now).await.unwrap();
        tx.commit().await.unwrap();
        revoked
    }

    async fn authenticate_again(&self, again: &Reauthentication) -> bool {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let noted = self.sessions.authenticate_again(&mut tx, again).await.unwrap();
        tx.commit().await.unwrap();
        noted
    }

    /// Three are let through.
    async fn guess(&self, number: u128, user: u128, now: DateTime<Utc>) -> bool {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let through = self.sessions.guess(&mut tx, user_id(user), session_id(number), 3, now).await.unwrap();
        tx.commit().await.unwrap();
        through
    }

    async fn revoke_all(&self, user: u128, now: DateTime<Utc>) -> u64 {
        let mut tx = self.storage.begin(REACH).await.unwrap();
        let ended =
            self.sessions.revoke_all(&mut tx, user_id(user), Revocation::LogoutAll, now).await.unwrap();
        tx.commit().await.unwrap();
        ended
    }

    /// The ids of one page, and the count over all.
    async fn page(
        &self,
        user: u128,
        filter: &SessionFilter,
        start: &PageStart,
        limit: u32,
    ) -> (Vec<SessionId>, i64) {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let page = self.sessions.list(&mut conn, user_id(user), filter, start, limit, at(10)).await.unwrap();
        let count = self.sessions.count(&mut conn, user_id(user), filter, at(10)).await.unwrap();
        (page.into_iter().map(|session| session.id).collect(), count)
    }
}

/// What moves a family from `generation` on, at `now`.
fn rotation(family: &Family, generation: i64, now: DateTime<Utc>) -> Rotation<'_> {
    Rotation {
        session: family.session.id,
        user: family.session.user,
        tenant: family.session.tenant,
        client_id: &family.client_id,
        salt: &family.salt,
        generation,
        now,
        idle_expires_at: now + chrono::TimeDelta::hours(1),
    }
}

async fn what_was_inserted_is_read_back(subject: SessionStoreSubject) {
    let inserted = family(1, 1, 1);
    subject.seed(&[inserted.clone(), family(2, 2, 2)]).await;
    let found = subject.family(1).await.expect("the session is there");
    assert_eq!(format!("{found:?}"), format!("{inserted:?}"));
    assert!(subject.family(3).await.is_none(), "no session has that id");
}

async fn of_several_rotations_of_a_generation_one_moves_the_family_on(subject: SessionStoreSubject) {
    subject.seed(&[family(1, 1, 1), family(2, 1, 1)]).await;
    let rotated = at_once(8, |_| subject.rotate(1, 1, at(60))).await;
    let won: Vec<&Rotated> = rotated.iter().flatten().collect();
    assert_eq!(won.len(), 1, "one of eight moves the family on");
    let new = subject.family(1).await.expect("it is there");
    let Rotated { version, key_id, authenticated_at, methods, absolute_expires_at, .. } = won[0].clone();
    assert_eq!((version, key_id), (new.session.version, new.key_id.clone()));
    assert_eq!((authenticated_at, absolute_expires_at), (at(0), new.session.absolute_expires_at));
    assert_eq!(methods, new.session.methods);
    assert_eq!((new.generation, new.rotated_at, new.session.last_seen_at), (2, at(60), at(60)));
    assert_eq!(new.session.idle_expires_at, at(60) + chrono::TimeDelta::hours(1));
    assert_eq!(new.session.absolute_expires_at, family(1, 1, 1).session.absolute_expires_at);
    assert!(subject.rotate(1, 1, at(61)).await.is_none(), "an older generation does not rotate");
    assert!(subject.rotate(1, 3, at(61)).await.is_none(), "neither does one that was never given");
    assert!(subject.rotate(1, 2, at(61)).await.is_some());
    assert_eq!(subject.family(1).await.unwrap().generation, 3);
    assert_eq!(subject.family(2).await.unwrap().generation, 1, "another session is not moved");
}

async fn a_session_that_was_revoked_or_is_over_does_not_rotate(subject: SessionStoreSubject) {
    let mut ends_soon = family(3, 1, 1);
    ends_soon.session.absolute_expires_at = at(30);
    subject.seed(&[family(1, 1, 1), family(2, 1, 1), ends_soon]).await;
    assert!(subject.revoke(1, 1, Revocation::Logout, at(10)).await);
    assert!(subject.rotate(1, 1, at(20)).await.is_none(), "it was revoked");
    assert!(subject.rotate(2, 1, at(3_600)).await.is_none(), "it was idle for too long");
    assert!(subject.rotate(3, 1, at(30)).await.is_none(), "it has lasted as long as it may");
    assert!(subject.rotate(3, 1, at(29)).await.is_some(), "a second earlier it rotates");
}

async fn only_the_family_that_all_of_the_rotation_names_rotates(subject: SessionStoreSubject) {
    let known = family(1, 1, 1);
    subject.seed(&[known.clone(), family(2, 2, 1)]).await;
    let right = rotation(&known, 1, at(60));
    for (wrong, what) in [
        (Rotation { session: session_id(2), ..right }, "another session"),
        (Rotation { session: session_id(3), ..right }, "no session"),
        (Rotation { user: user_id(2), ..right }, "another user"),
        (Rotation { tenant: tenant_id(2), ..right }, "another tenant"),
        (Rotation { client_id: "another", ..right }, "another client"),
        (Rotation { salt: &[8; 16], ..right }, "another salt"),
        (Rotation { salt: &[7; 15], ..right }, "the beginning of its salt"),
    ] {
        assert!(subject.rotate_as(&wrong).await.is_none(), "{what}");
    }
    assert_eq!(subject.family(1).await.unwrap().generation, 1, "nothing has moved");
    let rotated = subject.rotate_as(&right).await.expect("everything is as named");
    assert!(!rotated.email_verified);
    let set_status = async |status| {
        let mut tx = subject.storage.begin(REACH).await.unwrap();
        subject.users.set_status(&mut tx, user_id(1), status, at(61)).await.unwrap();
        tx.commit().await.unwrap();
    };
    set_status(UserStatus::Disabled).await;
    assert!(subject.rotate(1, 2, at(62)).await.is_none(), "its user is disabled");
    set_status(UserStatus::Active).await;
    assert!(subject.rotate(1, 2, at(62)).await.is_some(), "its user is active again");
    let verified = family(4, 3, 1);
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    let user = User { email_verified_at: Some(at(1)), ..user(3) };
    subject.users.insert(&mut tx, &user, &hash(3)).await.unwrap();
    subject.sessions.insert(&mut tx, &verified).await.unwrap();
    tx.commit().await.unwrap();
    let rotated = subject.rotate_as(&rotation(&verified, 1, at(60))).await.expect("it is live");
    assert!(rotated.email_verified && !rotated.password_compromised);
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    assert!(subject.users.flag_compromised(&mut tx, user_id(3), &hash(3), at(61)).await.unwrap());
    tx.commit().await.unwrap();
    let rotated = subject.rotate_as(&rotation(&verified, 2, at(62))).await.expect("it is live");
    assert!(rotated.password_compromised);
}

async fn a_switch_takes_the_family_to_another_tenant_and_raises_its_version(subject: SessionStoreSubject) {
    let known = family(1, 1, 1);
    subject.seed(&[known.clone(), family(2, 1, 1)]).await;
    let right = rotation(&known, 1, at(60));
    for (wrong, what) in [
        (Rotation { tenant: tenant_id(2), ..right }, "another tenant"),
        (Rotation { user: user_id(2), ..right }, "another user"),
        (Rotation { salt: &[8; 16], ..right }, "another salt"),
        (Rotation { generation: 2, ..right }, "another generation"),
        (Rotation { now: at(3_600), ..right }, "a session that is over"),
    ] {
        assert!(subject.switch(&wrong, 2).await.is_none(), "{what}");
    }
    let switched = at_once(8, |_| subject.switch(&right, 2)).await;
    let won: Vec<&Rotated> = switched.iter().flatten().collect();
    assert_eq!(won.len(), 1, "one of eight moves the family on");
    assert_eq!(won[0].version, 2);
    let new = subject.family(1).await.expect("it is there");
    assert_eq!((new.session.tenant, new.session.version, new.generation), (tenant_id(2), 2, 2));
    assert_eq!((new.rotated_at, new.session.last_seen_at), (at(60), at(60)));
    assert_eq!(new.session.absolute_expires_at, known.session.absolute_expires_at);
    assert_eq!(subject.family(2).await.unwrap().session.tenant, tenant_id(1), "another session stays");
    assert!(subject.rotate(1, 2, at(61)).await.is_none(), "it is in that tenant no more");
    assert!(subject.revoke(1, 1, Revocation::Logout, at(62)).await);
    assert!(subject.switch(&rotation(&new, 2, at(63)), 1).await.is_none(), "it was revoked");
}

async fn a_touch_moves_the_idle_end_of_a_live_session_that_was_not_seen_just_now(
    subject: SessionStoreSubject,
) {
    let known = family(1, 1, 1);
    subject.seed(&[known.clone(), family(2, 1, 1)]).await;
    assert!(!subject.touch(1, at(59)).await, "it was seen 59 seconds ago");
    assert!(!subject.touch(2, at(60)).await, "it has another version");
    assert!(subject.touch(1, at(60)).await);
    assert!(!subject.touch(1, at(119)).await, "it was seen 59 seconds ago");
    let mut expected = known;
    expected.session.last_seen_at = at(60);
    expected.session.idle_expires_at = at(60) + chrono::TimeDelta::hours(1);
    let found = subject.family(1).await.unwrap();
    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "nothing else has changed");
    assert_eq!(subject.family(2).await.unwrap().session.last_seen_at, at(0), "another session is not moved");
    assert!(!subject.touch(1, at(3_660)).await, "it was idle for too long");
    assert!(subject.revoke(1, 1, Revocation::Logout, at(130)).await);
    assert!(!subject.touch(1, at(200)).await, "it was revoked");
}

async fn ending_the_others_keeps_the_one_that_is_named(subject: SessionStoreSubject) {
    subject.seed(&[family(1, 1, 1), family(2, 1, 2), family(3, 1, 1), family(4, 2, 1)]).await;
    assert!(subject.revoke(1, 3, Revocation::Logout, at(5)).await);
    assert_eq!(subject.revoke_others(1, 1, at(10)).await, 1, "one other was left");
    let ends =
        [subject.family(1).await, subject.family(2).await, subject.family(3).await, subject.family(4).await];
    let ends = ends.map(|family| family.unwrap().session.revoked_at);
    assert_eq!(ends, [None, Some(at(10)), Some(at(5)), None]);
    assert_eq!(subject.revoke_others(1, 1, at(11)).await, 0, "no other is left");
}

async fn a_place_is_noted_in_its_session_alone(subject: SessionStoreSubject) {
    subject.seed(&[family(1, 1, 1), family(2, 1, 1)]).await;
    assert!(subject.revoke(1, 1, Revocation::Logout, at(10)).await);
    let (before, other) = (subject.family(1).await.unwrap(), subject.family(2).await.unwrap());
    let place = Envelope::from_stored(vec![9, 8, 7]);
    assert!(subject.set_place(1, &place).await, "though it has ended");
    assert!(!subject.set_place(3, &place).await, "no session has that id");
    let mut expected = before;
    expected.session.place = Some(place);
    assert_eq!(format!("{:?}", subject.family(1).await.unwrap()), format!("{expected:?}"));
    assert_eq!(format!("{:?}", subject.family(2).await.unwrap()), format!("{other:?}"));
}

async fn a_revoked_session_keeps_its_first_end(subject: SessionStoreSubject) {
    subject.seed(&[family(1, 1, 1), family(2, 1, 1), family(3, 2, 1)]).await;
    assert!(subject.revoke(1, 1, Revocation::Logout, at(10)).await);
    assert!(!subject.revoke(1, 1, Revocation::RefreshReuse, at(20)).await, "it had ended already");
    assert_eq!(subject.revoke_all(1, at(30)).await, 1, "one session of the user was left");
    let ends = [subject.family(1).await, subject.family(2).await, subject.family(3).await];
    let ends = ends.map(|family| family.unwrap().session.revoked_at);
    assert_eq!(ends, [Some(at(10)), Some(at(30)), None]);
    assert_eq!(subject.revoke_all(1, at(40)).await, 0, "none is left");
}

async fn a_session_of_another_user_is_not_listed_and_not_revoked(subject: SessionStoreSubject) {
    subject.seed(&[family(1, 1, 1), family(2, 2, 1)]).await;
    assert!(!subject.revoke(1, 2, Revocation::Listed, at(5)).await, "it is another user's");
    assert_eq!(subject.revoke_all(1, at(5)).await, 1);
    assert_eq!(subject.family(2).await.unwrap().session.revoked_at, None);
    let all = SessionFilter::live().with_ended(true);
    assert_eq!(subject.page(1, &all, &PageStart::Offset(0), 10).await, (vec![session_id(1)], 1));
}

async fn a_snapshot_shows_what_is_true_now(subject: SessionStoreSubject) {
    let mut old = family(1, 1, 7);
    old.session.version = 3;
    subject.seed(&[old]).await;
    let snapshot = async || {
        let mut conn = subject.storage.read(REACH).await.unwrap();
        subject.sessions.snapshot(&mut conn, session_id(1)).await.unwrap().expect("the session is there")
    };
    let now = snapshot().await;
    assert_eq!((now.user.id, now.tenant, now.version), (user_id(1), tenant_id(7), 3));
    assert_eq!((now.revoked, now.user.status), (false, UserStatus::Active));
    assert_eq!(now.expires_at, at(0) + chrono::TimeDelta::hours(1), "the earlier of its two ends");
    let mut tx = subject.storage.begin(REACH).await.unwrap();
    subject.users.set_status(&mut tx, user_id(1), UserStatus::Disabled, at(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(snapshot().await.user.status, UserStatus::Disabled);
    assert!(subject.revoke(1, 1, Revocation::UserDisabled, at(2)).await);
    assert!(snapshot().await.revoked);
    let mut conn = subject.storage.read(REACH).await.unwrap();
    assert!(
        subject.sessions.snapshot(&mut conn, session_id(2)).await.unwrap().is_none(),
        "no session has that id"
    );
}

async fn snapshots_show_each_session_that_is_there_once_as_it_is_now(subject: SessionStoreSubject) {
    let mut families = [family(1, 1, 7), family(2, 2, 8), family(3, 1, 8), family(4, 2, 7)];
    families[1].session.version = 3;
    subject.seed(&families).await;
    assert!(subject.revoke(1, 3, Revocation::Logout, at(2)).await);
    let mut conn = subject.storage.read(REACH).await.unwrap();
    // Session 4 is there and not asked for, 9 is asked for and not there.
    let asked = [3, 9, 1, 2].map(session_id);
    let mut shown = subject.sessions.snapshots(&mut conn, &asked).await.unwrap();
    shown.sort_by_key(|(id, _)| *id);
    let shown: Vec<_> = shown
        .iter()
        .map(|(id, it)| (*id, it.user.id, it.tenant, it.version, it.revoked, it.expires_at))
        .collect();
    let ends = at(0) + chrono::TimeDelta::hours(1);
    let expected = [
        (session_id(1), user_id(1), tenant_id(7), families[0].session.version, false, ends),
        (session_id(2), user_id(2), tenant_id(8), 3, false, ends),
        (session_id(3), user_id(1), tenant_id(8), families[2].session.version, true, ends),
    ];
    assert_eq!(shown, expected);
    assert!(subject.sessions.snapshots(&mut conn, &[]).await.unwrap().is_empty(), "none was asked for");
}

async fn who_authenticates_again_has_it_noted_in_that_live_session_alone(subject: SessionStoreSubject) {
    subject.seed(&[family(1, 1, 1), family(2, 1, 1), family(3, 1, 1)]).await;
    assert!(subject.revoke(1, 3, Revocation::Logout, at(10)).await);
    let methods = family(1, 1, 1).session.methods.and(AuthMethod::Otp);
    let again = Reauthentication { session: session_id(1), user: user_id(1), methods, now: at(60) };
    for (wrong, what) in [
        (Reauthentication { user: user_id(2), ..again }, "another user's"),
        (Reauthentication { session: session_id(3), ..again }, "one that was revoked"),
        (Reauthentication { session: session_id(4), ..again }, "one that is not there"),
        (Reauthentication { now: at(3_600), ..again }, "one that is over"),
    ] {
        assert!(!subject.authenticate_again(&wrong).await, "{what}");
    }
    assert!(subject.authenticate_again(&again).await);
    let sessions = [subject.family(1).await, subject.family(2).await].map(|family| family.unwrap().session);
    let noted = sessions.map(|session| (session.authenticated_at, session.methods, session.version));
    assert_eq!(noted, [(at(60), methods, 2), (at(0), family(1, 1, 1).session.methods, 1)]);
    let mut conn = subject.storage.read(REACH).await.unwrap();
    let snapshot = subject.sessions.snapshot(&mut conn, session_id(1)).await.unwrap().unwrap();
    assert_eq!((snapshot.authenticated_at, snapshot.methods, snapshot.version), (at(60), methods, 2));
    let rotated = subject.rotate(1, 1, at(61)).await.expect("it is live");
    assert_eq!((rotated.authenticated_at, rotated.methods, rotated.version), (at(60), methods, 2));
}

async fn no_more_guesses_are_let_through_than_may_be_until_somebody_authenticates_again(
    subject: SessionStoreSubject,
) {
    subject.seed(&[family(1, 1, 1), family(2, 1, 1)]).await;
    let through = at_once(8, |_| subject.guess(1, 1, at(1))).await;
    assert_eq!(through.into_iter().filter(|through| *through).count(), 3, "three of eight at once");
    assert!(!subject.guess(1, 1, at(2)).await, "and none after them");
    assert!(!subject.guess(2, 2, at(2)).await, "it is another user's");
    assert!(subject.guess(2, 1, at(2)).await, "another session has its own");
    let methods = family(1, 1, 1).session.methods;
    let again = Reauthentication { session: session_id(1), user: user_id(1), methods, now: at(3) };
    assert!(subject.authenticate_again(&again).await);
    assert!(subject.guess(1, 1, at(4)).await);
    assert!(subject.revoke(1, 1, Revocation::Logout, at(5)).await);
    assert!(!subject.guess(1, 1, at(6)).await, "it was revoked");
}

async fn the_list_gives_each_session_once_last_seen_first_and_the_count_agrees(subject: SessionStoreSubject) {
    // Two were seen at the same moment: their ids tell them apart.
    let mut families = [1, 2, 3, 4, 5, 6].map(|number| family(number, 1, if number == 6 { 2 } else { 1 }));
    for (family, seen) in families.iter_mut().zip([5, 9, 7, 7, 1, 3]) {
        family.session.last_seen_at = at(seen);
    }
    families[4].session.idle_expires_at = at(10);
    subject.seed(&families).await;
    assert!(subject.revoke(1, 1, Revocation::Logout, at(8)).await);

    let (live, all) = (SessionFilter::live(), SessionFilter::live().with_ended(true));
    let ids = |numbers: &[u128]| numbers.iter().copied().map(session_id).collect::<Vec<_>>();
    for (filter, expected) in [
        (&live, ids(&[2, 4, 3, 6])),
        (&all, ids(&[2, 4, 3, 1, 6, 5])),
        (&live.clone().in_tenant(Some(tenant_id(2))), ids(&[6])),
        (&live.clone().in_tenant(Some(tenant_id(3))), Vec::new()),
    ] {
        let (mut found, mut start) = (Vec::new(), PageStart::Offset(0));
        loop {
            let (page, count) = subject.page(1, filter, &start, 2).await;
            assert_eq!(count, i64::try_from(expected.len()).unwrap(), "the count is that of the whole list");
            assert!(page.len() <= 2 && found.len() <= expected.len(), "{found:?}");
            let Some(last) = page.last() else { break };
            let seen =
                families.iter().find(|family| family.session.id == *last).unwrap().session.last_seen_at;
            start = PageStart::After(seen, *last);
            found.extend(page);
        }
        assert_eq!(found, expected, "{filter:?}");
        let skipped = subject.page(1, filter, &PageStart::Offset(1), 10).await.0;
        assert_eq!(skipped, expected.iter().skip(1).copied().collect::<Vec<_>>());
    }
}
