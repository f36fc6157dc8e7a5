//! What a request is decided by: how old it may be, and what ends it sooner.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Auth, AuthenticateError, Changed, Family, Freshness, PageStart, Reauthentication, Revocation, Rotated,
    Rotation, Session, SessionFilter, SessionStore, Snapshot, Tokens, Touch, User, token::TokenError,
};
use saas_auth_sql::SqlSessions;
use saas_core::{Actor, Client, Conn, Envelope, SessionId, StoreError, TenantId, Tx, UserId};
use saas_kit::{
    Saas,
    testing::{TestEngine, TestSaas, TestWorkers, at_once},
};
use saas_sql::execute;
use tokio::sync::oneshot;

const MAX_AGE: Duration = Duration::from_secs(5);

/// The SQL store, how often it was asked for snapshots, and where a read of many stops once, between the database and who asked.
#[derive(Debug, Default)]
struct Counted(AtomicUsize, Mutex<Option<Stop>>);

/// Tells that it is reached, and lasts until it is let go.
#[derive(Debug)]
struct Stop {
    reached: oneshot::Sender<()>,
    let_go: oneshot::Receiver<()>,
}

#[async_trait]
impl SessionStore for Counted {
    async fn insert(&self, tx: &mut Tx, family: &Family) -> Result<(), StoreError> {
        SqlSessions.insert(tx, family).await
    }

    async fn family(&self, conn: &mut Conn, id: SessionId) -> Result<Option<(Family, User)>, StoreError> {
        SqlSessions.family(conn, id).await
    }

    async fn rotate(&self, tx: &mut Tx, rotation: &Rotation<'_>) -> Result<Option<Rotated>, StoreError> {
        SqlSessions.rotate(tx, rotation).await
    }

    async fn switch(
        &self,
        tx: &mut Tx,
        rotation: &Rotation<'_>,
        to: TenantId,
    ) -> Result<Option<Rotated>, StoreError> {
        SqlSessions.switch(tx, rotation, to).await
    }

    async fn touch(&self, tx: &mut Tx, touch: &Touch) -> Result<bool, StoreError> {
        SqlSessions.touch(tx, touch).await
    }

    async fn set_place(&self, tx: &mut Tx, id: SessionId, place: &Envelope) -> Result<bool, StoreError> {
        SqlSessions.set_place(tx, id, place).await
    }

    async fn revoke_others(
        &self,
        tx: &mut Tx,
        user: UserId,
        kept: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        SqlSessions.revoke_others(tx, user, kept, why, now).await
    }

    async fn revoke(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        SqlSessions.revoke(tx, user, id, why, now).await
    }

    async fn revoke_all(
        &self,
        tx: &mut Tx,
        user: UserId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        SqlSessions.revoke_all(tx, user, why, now).await
    }

    async fn authenticate_again(&self, tx: &mut Tx, again: &Reauthentication) -> Result<bool, StoreError> {
        SqlSessions.authenticate_again(tx, again).await
    }

    async fn guess(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        SqlSessions.guess(tx, user, id, most, now).await
    }

    async fn snapshot(&self, conn: &mut Conn, id: SessionId) -> Result<Option<Snapshot>, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        SqlSessions.snapshot(conn, id).await
    }

    async fn snapshots(
        &self,
        conn: &mut Conn,
        ids: &[SessionId],
    ) -> Result<Vec<(SessionId, Snapshot)>, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let snapshots = SqlSessions.snapshots(conn, ids).await;
        let stop = self.1.lock().unwrap().take();
        if let Some(Stop { reached, let_go }) = stop {
            reached.send(()).unwrap();
            let_go.await.unwrap();
        }
        snapshots
    }

    async fn list(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        start: &PageStart,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Session>, StoreError> {
        SqlSessions.list(conn, user, filter, start, limit, now).await
    }

    async fn count(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        SqlSessions.count(conn, user, filter, now).await
    }
}

/// A server whose decisions the test alone renews.
async fn alone(engine: TestEngine, sessions: Arc<dyn SessionStore>) -> TestSaas {
    let mut test = TestSaas::with_ports(engine, [], |builder| builder.session_store(sessions)).await;
    test.take_workers().stop().await;
    test
}

async fn is_let_in(saas: &Saas, tokens: &Tokens) -> bool {
    let asked = saas.auth().authenticate(tokens.access_token.expose(), None, Client::default()).await;
    match asked {
        Ok(_) => true,
        Err(AuthenticateError::SessionEnded) => false,
        Err(error) => panic!("neither in nor out: {error}"),
    }
}

/// Ends a session behind the back of every process.
async fn end_unheard(test: &TestSaas, session: SessionId) {
    let mut tx = test.begin().await;
    let end = "UPDATE saas_sessions SET revoked_at = created_at WHERE id = $1";
    execute!(tx.conn(), end, session.as_uuid()).unwrap();
    tx.commit().await.unwrap();
}

on_both_engines! {
    async fn the_storage_is_asked_once_for_requests_of_five_seconds(engine: TestEngine) {
        let sessions = Arc::new(Counted::default());
        let store: Arc<dyn SessionStore> = sessions.clone();
        let test = TestSaas::with_ports(engine, [], |builder| builder.session_store(store)).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let asked = || sessions.0.swap(0, Ordering::SeqCst);
        for _ in 0..10 {
            assert!(is_let_in(&test.saas, &tokens).await);
        }
        assert_eq!(asked(), 1);
        test.clock.advance(MAX_AGE.saturating_sub(Duration::from_millis(1)));
        assert!(is_let_in(&test.saas, &tokens).await);
        assert_eq!(asked(), 0, "it is not five seconds old");
        test.clock.advance(Duration::from_millis(1));
        assert!(is_let_in(&test.saas, &tokens).await);
        assert_eq!(asked(), 1, "now it is");
        let strict = Freshness::Strict;
        let token = tokens.access_token.expose();
        test.saas.auth().authenticate_as_of(strict, token, None, Client::default()).await.unwrap();
        assert_eq!(asked(), 1, "a strict route asks each time");
    }

    async fn a_session_that_ends_in_a_process_is_refused_by_it_at_once_w6(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        let actor = test.actor(&tokens).await;
        test.saas.auth().logout_all(&actor).await.unwrap();
        assert!(!is_let_in(&test.saas, &tokens).await);
    }

    async fn no_request_that_begins_after_an_end_is_let_in(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        for round in 0..20 {
            let tokens = Arc::new(test.register(&format!("user{round}@example.com")).await.tokens);
            let actor = test.actor(&tokens).await;
            // Others ask all the time, and may be reading the old state while the session ends.
            let saas = test.saas.clone();
            let asked = at_once(8, |number| {
                let (saas, tokens, actor) = (saas.clone(), Arc::clone(&tokens), actor.clone());
                async move {
                    if number == 0 {
                        saas.auth().logout_all(&actor).await.unwrap();
                        return is_let_in(&saas, &tokens).await;
                    }
                    for _ in 0..20 {
                        is_let_in(&saas, &tokens).await;
                    }
                    false
                }
            })
            .await;
            assert!(!asked[0], "let in after its end, in round {round}");
            assert!(!is_let_in(&test.saas, &tokens).await);
        }
    }

    async fn another_process_refuses_an_ended_session_once_it_hears_of_it(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let other = test.replica(2).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let bystander = test.register("bob@example.com").await.tokens;
        assert!(is_let_in(&other, &tokens).await && is_let_in(&other, &bystander).await);
        let actor = test.actor(&tokens).await;
        test.saas.auth().revoke_session(&actor, tokens.session).await.unwrap();
        assert!(is_let_in(&other, &tokens).await, "it has not heard yet");
        let token = tokens.access_token.expose();
        let strict = other.auth().authenticate_as_of(Freshness::Strict, token, None, Client::default()).await;
        assert!(matches!(strict, Err(AuthenticateError::SessionEnded)), "a strict route needs not hear");
        other.auth().hear_changes().await.unwrap();
        assert!(!is_let_in(&other, &tokens).await);
        assert!(is_let_in(&other, &bystander).await);
    }

    async fn a_change_that_nobody_hears_of_counts_after_five_seconds(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        end_unheard(&test, tokens.session).await;
        test.clock.advance(MAX_AGE);
        assert!(!is_let_in(&test.saas, &tokens).await);
    }

    async fn a_machine_that_slept_asks_and_hears_anew(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        end_unheard(&test, tokens.session).await;
        // The monotonic clock stands still meanwhile, the wall clock does not.
        let now = saas_core::Clock::now(&*test.clock);
        test.clock.set_wall(now + MAX_AGE);
        assert!(!is_let_in(&test.saas, &tokens).await);

        let tokens = test.sign_in("ada@example.com").await.unwrap();
        test.saas.auth().hear_changes().await.unwrap();
        let asleep = saas_core::Clock::now(&*test.clock) + Duration::from_secs(31);
        test.clock.set_wall(asleep);
        assert!(is_let_in(&test.saas, &tokens).await);
        end_unheard(&test, tokens.session).await;
        test.saas.auth().hear_changes().await.unwrap();
        assert!(!is_let_in(&test.saas, &tokens).await, "what was missed may have been anything");
    }

    async fn a_change_of_a_newer_release_voids_everything(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        end_unheard(&test, tokens.session).await;
        let mut tx = test.begin().await;
        let note = "INSERT INTO saas_changes (id, kind, subject_id, noted_at) VALUES ($1, 'plan', $1, $2)";
        let now = saas_core::Clock::now(&*test.clock);
        execute!(tx.conn(), note, tokens.session.as_uuid(), now).unwrap();
        tx.commit().await.unwrap();
        test.saas.auth().hear_changes().await.unwrap();
        assert!(!is_let_in(&test.saas, &tokens).await);
    }

    async fn decisions_in_use_are_renewed_together_before_their_time_is_over(engine: TestEngine) {
        let sessions = Arc::new(Counted::default());
        let store: Arc<dyn SessionStore> = sessions.clone();
        let test = alone(engine, store).await;
        let (auth, asked) = (test.saas.auth(), || sessions.0.swap(0, Ordering::SeqCst));
        let mut all = Vec::new();
        for name in ["ada", "bob", "eve"] {
            all.push(test.register(&format!("{name}@example.com")).await.tokens);
            assert!(is_let_in(&test.saas, &all[all.len() - 1]).await);
        }
        assert_eq!(asked(), 3);
        test.clock.advance((MAX_AGE / 2).saturating_sub(Duration::from_millis(1)));
        assert!(is_let_in(&test.saas, &all[0]).await);
        auth.renew_decisions().await.unwrap();
        assert_eq!(asked(), 0, "half of its time is not over");
        test.clock.advance(Duration::from_millis(1));
        for tokens in [&all[0], &all[1], &all[0]] {
            assert!(is_let_in(&test.saas, tokens).await);
        }
        auth.decisions_grow_old().await;
        auth.renew_decisions().await.unwrap();
        assert_eq!(asked(), 1, "one read is for both");
        auth.renew_decisions().await.unwrap();
        assert_eq!(asked(), 0, "they are renewed");
        test.clock.advance(MAX_AGE / 2);
        assert!(is_let_in(&test.saas, &all[0]).await && is_let_in(&test.saas, &all[1]).await);
        assert_eq!(asked(), 0, "what was renewed is half as old");
        assert!(is_let_in(&test.saas, &all[2]).await);
        assert_eq!(asked(), 1, "nobody used the third");
    }

    async fn a_renewal_hears_of_what_ended_and_changed(engine: TestEngine) {
        let test = alone(engine, Arc::new(SqlSessions)).await;
        let ended = test.register("ada@example.com").await.tokens;
        let suspended = test.register("bob@example.com").await;
        let live = test.register("eve@example.com").await.tokens;
        for round in 0..2 {
            for tokens in [&ended, &suspended.tokens, &live] {
                assert!(is_let_in(&test.saas, tokens).await, "in round {round}");
            }
            test.clock.advance(MAX_AGE / 2 * (1 - round));
        }
        end_unheard(&test, ended.session).await;
        let mut tx = test.begin().await;
        let suspend = "UPDATE saas_tenants SET state = 'suspended' WHERE id = $1";
        execute!(tx.conn(), suspend, suspended.tenant.id.as_uuid()).unwrap();
        tx.commit().await.unwrap();
        assert!(is_let_in(&test.saas, &ended).await && is_let_in(&test.saas, &suspended.tokens).await);
        test.saas.auth().renew_decisions().await.unwrap();
        assert!(!is_let_in(&test.saas, &ended).await && !is_let_in(&test.saas, &suspended.tokens).await);
        assert!(is_let_in(&test.saas, &live).await);
    }

    async fn a_session_that_ends_while_it_is_renewed_is_refused_at_once(engine: TestEngine) {
        let sessions = Arc::new(Counted::default());
        let store: Arc<dyn SessionStore> = sessions.clone();
        let test = alone(engine, store).await;
        test.register("ada@example.com").await;
        for asked_meanwhile in [false, true] {
            let tokens = test.sign_in("ada@example.com").await.unwrap();
            let actor = test.actor(&tokens).await;
            test.clock.advance(MAX_AGE / 2);
            assert!(is_let_in(&test.saas, &tokens).await);
            let ((reached, is_reached), (go_on, let_go)) = (oneshot::channel(), oneshot::channel());
            *sessions.1.lock().unwrap() = Some(Stop { reached, let_go });
            let saas = test.saas.clone();
            let renewal = tokio::spawn(async move { saas.auth().renew_decisions().await });
            is_reached.await.unwrap();
            // The renewal has read that it is live.
            test.saas.auth().logout_all(&actor).await.unwrap();
            assert!(!asked_meanwhile || !is_let_in(&test.saas, &tokens).await);
            go_on.send(()).unwrap();
            renewal.await.unwrap().unwrap();
            assert!(!is_let_in(&test.saas, &tokens).await, "what the renewal read is void");
        }
    }

    async fn the_workers_renew_what_is_in_use(engine: TestEngine) {
        let sessions = Arc::new(Counted::default());
        let store: Arc<dyn SessionStore> = sessions.clone();
        let test = TestSaas::with_ports(engine, [], |builder| builder.session_store(store)).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        test.clock.advance(MAX_AGE / 2);
        let (reached, mut is_reached) = oneshot::channel();
        let (go_on, let_go) = oneshot::channel();
        go_on.send(()).unwrap();
        *sessions.1.lock().unwrap() = Some(Stop { reached, let_go });
        assert!(is_let_in(&test.saas, &tokens).await);
        // They let some gather first. Within this many steps the decision's time is not over.
        for _ in 0..100 {
            if is_reached.try_recv().is_ok() {
                return;
            }
            test.clock.advance(Auth::RENEWAL_PAUSE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody renewed it");
    }

    async fn with_an_age_of_zero_every_request_asks(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_DECISION_MAX_AGE_SECONDS", "0")]).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        end_unheard(&test, tokens.session).await;
        assert!(!is_let_in(&test.saas, &tokens).await);
    }

    async fn a_remembered_token_ends_at_its_second_and_with_its_key(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await);
        test.saas.auth().revoke_signing_keys(&Actor::system("test")).await.unwrap();
        let token = tokens.access_token.expose();
        let asked = test.saas.auth().authenticate(token, None, Client::default()).await;
        assert!(matches!(asked, Err(AuthenticateError::Token(TokenError::UnknownKey))), "{asked:?}");

        let tokens = test.sign_in("ada@example.com").await.unwrap();
        assert!(is_let_in(&test.saas, &tokens).await);
        test.clock.advance(Duration::from_mins(15));
        let token = tokens.access_token.expose();
        let asked = test.saas.auth().authenticate(token, None, Client::default()).await;
        assert!(matches!(asked, Err(AuthenticateError::Token(TokenError::Expired))), "{asked:?}");
    }

    async fn the_signature_of_a_remembered_token_is_good_for_no_other_text(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let other = test.register("bob@example.com").await.tokens;
        assert!(is_let_in(&test.saas, &tokens).await && is_let_in(&test.saas, &other).await);
        let (signed, signature) = tokens.access_token.expose().rsplit_once('.').unwrap();
        let (others, _) = other.access_token.expose().rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        for forged in [others, header, claims, "", &format!("{signed}.")] {
            let forged = format!("{forged}.{signature}");
            let asked = test.saas.auth().authenticate(&forged, None, Client::default()).await;
            assert!(matches!(asked, Err(AuthenticateError::Token(_))), "{forged}: {asked:?}");
        }
        let alone = test.saas.auth().authenticate(signature, None, Client::default()).await;
        assert!(matches!(alone, Err(AuthenticateError::Token(_))), "{alone:?}");
        assert!(is_let_in(&test.saas, &tokens).await);
    }

    async fn a_tenant_that_changes_is_asked_for_again(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let registered = test.register("ada@example.com").await;
        assert!(is_let_in(&test.saas, &registered.tokens).await);
        let mut tx = test.begin().await;
        let suspend = "UPDATE saas_tenants SET state = 'suspended' WHERE id = $1";
        execute!(tx.conn(), suspend, registered.tenant.id.as_uuid()).unwrap();
        test.saas.auth().note_change(&mut tx, Changed::Tenant(registered.tenant.id)).await.unwrap();
        assert!(is_let_in(&test.saas, &registered.tokens).await, "nothing is committed yet");
        tx.commit().await.unwrap();
        assert!(!is_let_in(&test.saas, &registered.tokens).await);
    }

    async fn changes_are_forgotten_when_nobody_needs_them(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        test.saas.auth().logout_all(&test.actor(&tokens).await).await.unwrap();
        test.clock.advance(Duration::from_mins(6));
        for _ in 0..60 {
            test.saas.auth().hear_changes().await.unwrap();
        }
        let mut conn = saas_core::Storage::read(test.saas.storage(), saas_core::Reach::Platform("test")).await.unwrap();
        let left = saas_sql::fetch_one!(&mut conn, (i64,), "SELECT COUNT(*) FROM saas_changes").unwrap();
        assert_eq!(left, (0,));
    }
}

/// The clocks move less than a second: nobody polls.
#[tokio::test]
async fn on_postgres_another_process_hears_of_an_end_at_once() {
    let test = TestSaas::start(TestEngine::Postgres).await;
    let other = test.replica(2).await;
    let _workers = TestWorkers::start(&other);
    let tokens = test.register("ada@example.com").await.tokens;
    assert!(is_let_in(&other, &tokens).await);
    let actor = test.actor(&tokens).await;
    test.saas.auth().revoke_session(&actor, tokens.session).await.unwrap();
    for _ in 0..80 {
        if !is_let_in(&other, &tokens).await {
            return;
        }
        // What is raised gathers for ten milliseconds after the last signal.
        test.clock.advance(Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it has not heard");
}
