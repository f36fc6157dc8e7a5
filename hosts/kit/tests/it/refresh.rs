//! Refresh tokens: one live token per family, whoever uses which of them when.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use saas_auth::{
    Auth, AuthenticateError, Changed, LogoutError, RefreshError, SignIn, Tokens,
    audited::REFRESH_TOKEN_REUSED,
};
use saas_core::{
    Actor, Client, Email, PageSize, Permission, Role, Secret, SessionId, TenantId, TenantState, UserId,
    audit::AuditFilter,
};
use saas_kit::testing::{PASSWORD, TestSaas, at_once};
use saas_sql::{execute, fetch_one};
use saas_tenancy::TenantStore;
use saas_tenancy_sql::SqlTenants;

/// What `AUTH_REFRESH_GRACE_SECONDS` is when nobody sets it.
const GRACE: Duration = Duration::from_secs(10);
const INSTANT: Duration = Duration::from_micros(1);
const DAY: Duration = Duration::from_hours(24);

on_both_engines! {
    async fn sixty_four_parallel_uses_of_one_token_get_the_same_live_successor_w3(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;

        let answers = refresh_at_once(64, test.saas.auth(), &first.refresh_token).await;
        let mut answers: Vec<Tokens> =
            answers.into_iter().collect::<Result<_, _>>().expect("every use is in the grace");
        let successor = answers.pop().expect("there are 64");
        assert!(answers.iter().all(|answer| same(&answer.refresh_token, &successor.refresh_token)));
        assert!(!same(&successor.refresh_token, &first.refresh_token));
        assert_eq!(test.family(first.session).await.generation, 2);
        for answer in answers.iter().chain([&successor]) {
            assert!(test.authenticate(answer).await.is_ok());
        }
        let next = test.refresh(&successor.refresh_token).await.expect("the successor is live");
        assert_eq!((next.session, test.family(first.session).await.generation), (first.session, 3));
    }

    async fn sixty_four_parallel_uses_of_an_old_token_all_fail_and_end_the_family(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        test.clock.advance(GRACE + INSTANT);

        let answers = refresh_at_once(64, test.saas.auth(), &first.refresh_token).await;
        assert!(answers.iter().all(refused));
        assert_dead(&test, &[&first, &second]).await;
        assert_eq!(revoked_reason(&test, first.session).await.as_deref(), Some("refresh_reuse"));
        assert_eq!(test.family(first.session).await.generation, 2);
        assert!(reuses(&test, first.session).await >= 1, "it is written down");
        test.drain_jobs().await;
    }

    async fn a_token_two_generations_back_revokes_the_family_and_its_access_tokens_w4(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let other_device = test.sign_in("ada@example.com").await.expect("the password is right");
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        test.clock.advance(Duration::from_mins(1));
        let third = test.refresh(&second.refresh_token).await.expect("the token is live");
        for tokens in [&first, &second, &third] {
            assert!(test.authenticate(tokens).await.is_ok());
        }

        assert!(refused(&test.refresh(&first.refresh_token).await));
        assert_dead(&test, &[&first, &second, &third]).await;
        assert_eq!(revoked_reason(&test, first.session).await.as_deref(), Some("refresh_reuse"));
        assert!(test.authenticate(&other_device).await.is_ok(), "another session is another family");
        assert!(test.refresh(&other_device.refresh_token).await.is_ok());
    }

    async fn the_previous_token_after_its_successor_was_used_revokes_even_within_the_grace(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        let third = test.refresh(&second.refresh_token).await.expect("the token is live");

        assert!(refused(&test.refresh(&first.refresh_token).await));
        assert_dead(&test, &[&first, &second, &third]).await;
    }

    async fn the_previous_token_gets_its_successor_to_the_very_end_of_the_grace_and_no_longer(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        for wait in [GRACE / 2, GRACE / 2] {
            test.clock.advance(wait);
            let again = test.refresh(&first.refresh_token).await.expect("the grace is not over");
            assert!(same(&again.refresh_token, &second.refresh_token));
        }

        test.clock.advance(INSTANT);
        assert!(refused(&test.refresh(&first.refresh_token).await), "using a token does not prolong its grace");
        assert_dead(&test, &[&first, &second]).await;
    }

    async fn a_forged_token_is_refused_and_changes_nothing(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let bob = test.register("bob@example.com").await.tokens;
        let sibling = test.sign_in("ada@example.com").await.expect("the password is right");
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        test.clock.advance(GRACE * 2);
        let before = format!("{:?}", test.family(first.session).await);
        let actor = test.actor(&first).await;

        for (what, forged) in forgeries(&first, &second, &[&bob, &sibling]) {
            assert!(refused(&test.refresh(&forged).await), "{what}");
            let logout = test.saas.auth().logout(&actor, &forged).await;
            assert!(matches!(logout, Err(LogoutError::NotYours) | Ok(false)), "{what}: {logout:?}");
            assert_eq!(format!("{:?}", test.family(first.session).await), before, "{what}");
        }
        for live in [&second, &bob, &sibling] {
            assert!(test.authenticate(live).await.is_ok());
            assert!(test.refresh(&live.refresh_token).await.is_ok());
        }
    }

    async fn a_token_of_another_client_is_refused_and_changes_nothing(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let be = async |client: &str| {
            let mut tx = test.begin().await;
            let set = "UPDATE saas_sessions SET client_id = $1 WHERE id = $2";
            execute!(tx.conn(), set, client, tokens.session.as_uuid()).expect("the session is there");
            tx.commit().await.expect("the database answers");
        };
        be("another-client").await;
        assert!(refused(&test.refresh(&tokens.refresh_token).await));
        be("first-party").await;
        assert!(test.refresh(&tokens.refresh_token).await.is_ok(), "it was not spent, and no session ended");
    }

    async fn whoever_has_the_masters_but_not_the_salt_makes_no_token_w2(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let salt = test.family(tokens.session).await.salt;
        let set_salt = async |salt: &[u8]| {
            let mut tx = test.begin().await;
            let id = tokens.session.as_uuid();
            execute!(tx.conn(), "UPDATE saas_sessions SET salt = $1 WHERE id = $2", salt, id)
                .expect("the database answers");
            tx.commit().await.expect("the database answers");
        };
        // What we made is as a forgery would be, once the family has another salt.
        set_salt(&[1; 32]).await;
        assert!(refused(&test.refresh(&tokens.refresh_token).await));
        let actor = test.actor(&tokens).await;
        assert!(test.saas.auth().logout(&actor, &tokens.refresh_token).await.is_err());
        set_salt(&salt).await;
        assert!(test.refresh(&tokens.refresh_token).await.is_ok(), "it changed nothing");
    }

    async fn signing_out_with_an_old_token_ends_the_session(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        test.clock.advance(GRACE * 2);
        let third = test.refresh(&second.refresh_token).await.expect("the token is live");
        let actor = test.actor(&third).await;

        assert!(matches!(test.saas.auth().logout(&actor, &first.refresh_token).await, Ok(true)));
        assert_dead(&test, &[&first, &second, &third]).await;
        assert_eq!(revoked_reason(&test, first.session).await.as_deref(), Some("logout"));
        assert!(matches!(test.saas.auth().logout(&actor, &third.refresh_token).await, Ok(false)));
    }

    async fn signing_somebody_else_out_is_refused_and_changes_nothing(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let eve = test.register("eve@example.com").await.tokens;
        let actor = test.actor(&eve).await;

        let logout = test.saas.auth().logout(&actor, &ada.refresh_token).await;
        assert!(matches!(logout, Err(LogoutError::NotYours)), "{logout:?}");
        assert!(test.saas.auth().revoke_session(&actor, ada.session).await.is_err());
        assert_eq!(test.saas.auth().logout_all(&actor).await.expect("she is signed in"), 1);
        assert!(test.authenticate(&ada).await.is_ok());
        assert!(test.refresh(&ada.refresh_token).await.is_ok());
        assert_dead(&test, &[&eve]).await;
    }

    async fn signing_out_needs_somebody_who_is_signed_in(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        for actor in [anonymous(), Actor::system("test")] {
            let logout = test.saas.auth().logout(&actor, &ada.refresh_token).await;
            assert!(matches!(logout, Err(LogoutError::Unauthenticated)), "{logout:?}");
            assert!(test.saas.auth().logout_all(&actor).await.is_err());
        }
        assert!(test.refresh(&ada.refresh_token).await.is_ok());
    }

    async fn a_refresh_that_races_the_end_of_its_session_leaves_nothing_alive_w5(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("SQLITE_SYNCHRONOUS", "normal")]).await;
        let user = test.register("ada@example.com").await.user.id;
        let mut password = Secret::new(PASSWORD.to_owned());
        for round in 0..70 {
            let end = End::ALL[round % End::ALL.len()];
            let command = SignIn::new(Email::parse("ada@example.com").expect("an address"), password.clone());
            let tokens = test.saas.auth().sign_in(&anonymous(), command).await.expect("the password is right");
            let next = Secret::new(format!("the password of round {round}"));
            let (actor, auth) = (test.actor(&tokens).await, test.saas.auth().clone());

            let answers = at_once(2, |task| {
                let (auth, actor, token) = (auth.clone(), actor.clone(), tokens.refresh_token.clone());
                let passwords = [password.clone(), next.clone()];
                async move {
                    if task == 0 {
                        return Some(auth.refresh(&anonymous(), &token).await);
                    }
                    end.make(&auth, &actor, user, &token, &passwords).await;
                    None
                }
            })
            .await;
            for answer in answers.into_iter().flatten() {
                match answer {
                    Ok(successor) => assert_dead(&test, &[&successor]).await,
                    Err(RefreshError::Invalid) => {}
                    Err(error) => panic!("round {round}, {end:?}: {error:?}"),
                }
            }
            assert_dead(&test, &[&tokens]).await;
            if matches!(end, End::ChangePassword) {
                password = next;
            }
            test.saas.auth().enable_user(&Actor::system("test"), user).await.expect("the user is there");
        }
        test.drain_jobs().await;
    }

    async fn the_idle_lifetime_slides_and_rotation_never_extends_the_absolute_one(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let began = test.family(first.session).await.session.created_at;
        assert_eq!(first.refresh_expires_at, began + 30 * DAY);

        let mut tokens = first;
        for (day, expires) in [(29, 59), (58, 88), (87, 90)] {
            test.clock.advance(29 * DAY);
            tokens = test.refresh(&tokens.refresh_token).await.expect("the session was used in time");
            let session = test.family(tokens.session).await.session;
            assert_eq!(tokens.refresh_expires_at, began + expires * DAY, "on day {day}");
            assert_eq!(session.absolute_expires_at, began + 90 * DAY);
            assert_eq!(session.last_seen_at, began + day * DAY);
        }
        test.clock.advance((3 * DAY).saturating_sub(INSTANT));
        tokens = test.refresh(&tokens.refresh_token).await.expect("a microsecond is left");
        assert_eq!(tokens.refresh_expires_at, began + 90 * DAY);
        assert!(test.authenticate(&tokens).await.is_ok());

        test.clock.advance(INSTANT);
        assert_dead(&test, &[&tokens]).await;
        assert_eq!(revoked_reason(&test, tokens.session).await, None, "it ended by itself");
    }

    async fn a_session_that_was_not_used_in_time_is_over(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_REFRESH_TOKEN_TTL_MINUTES", "2")]).await;
        let ttl = Duration::from_mins(2);
        let mut tokens = test.register("ada@example.com").await.tokens;
        test.clock.advance(ttl.saturating_sub(INSTANT));
        tokens = test.refresh(&tokens.refresh_token).await.expect("a microsecond is left");
        test.clock.advance(ttl.saturating_sub(INSTANT));
        assert!(test.authenticate(&tokens).await.is_ok());

        let generation = test.family(tokens.session).await.generation;
        test.clock.advance(INSTANT);
        assert_dead(&test, &[&tokens]).await;
        assert_eq!(test.family(tokens.session).await.generation, generation);
    }

    async fn a_refresh_that_fails_leaves_its_token_good(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let (user, tenant) = (ada.user.id, ada.tenant.id);
        let mut tokens = ada.tokens;
        for obstacle in [Obstacle::Disabled, Obstacle::Suspended, Obstacle::NoMember] {
            let previous = tokens;
            tokens = test.refresh(&previous.refresh_token).await.expect("the token is live");
            let before = format!("{:?}", test.family(tokens.session).await);

            obstacle.put(&test, user, tenant).await;
            assert!(refused(&test.refresh(&tokens.refresh_token).await), "{obstacle:?}");
            assert!(refused(&test.refresh(&previous.refresh_token).await), "{obstacle:?}");
            assert!(ended(&test, &tokens).await, "{obstacle:?}");
            assert_eq!(format!("{:?}", test.family(tokens.session).await), before, "{obstacle:?}");

            obstacle.take_away(&test, user, tenant).await;
            assert!(test.authenticate(&tokens).await.is_ok(), "{obstacle:?}");
            let again = test.refresh(&previous.refresh_token).await.expect("the grace is not over");
            assert!(same(&again.refresh_token, &tokens.refresh_token), "{obstacle:?}");
            tokens = test.refresh(&tokens.refresh_token).await.expect("the token is still live");
            test.clock.advance(GRACE * 2);
        }
    }

    async fn a_changed_role_counts_at_once_and_shows_in_the_next_scopes(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let owned = ada.tokens;
        assert_eq!(owned.scopes, Role::Owner.permissions());

        set_role(&test, ada.user.id, Role::Viewer).await;
        let actor = test.actor(&owned).await;
        let principal = actor.user().expect("it is a user");
        assert_eq!((principal.role, &principal.permissions), (Role::Viewer, &Role::Viewer.permissions()));
        assert!(!actor.may(&Permission::BILLING_MANAGE) && actor.may(&Permission::CONVERSATIONS_READ));
        let viewing = test.refresh(&owned.refresh_token).await.expect("the token is live");
        assert_eq!(viewing.scopes, Role::Viewer.permissions());

        set_role(&test, ada.user.id, Role::Admin).await;
        let actor = test.actor(&viewing).await;
        assert!(!actor.may(&Permission::BILLING_MANAGE), "a token's scopes narrow what the role allows");
        let administrating = test.refresh(&viewing.refresh_token).await.expect("the token is live");
        assert_eq!(administrating.scopes, Role::Admin.permissions());
        assert!(test.actor(&administrating).await.may(&Permission::BILLING_MANAGE));
    }

    async fn every_replica_derives_the_same_successor(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let replica = test.replica(2).await;
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        let again = replica.auth().refresh(&anonymous(), &first.refresh_token).await.expect("the grace is not over");
        assert!(same(&again.refresh_token, &second.refresh_token));

        let replicas = [test.saas.auth().clone(), replica.auth().clone()];
        let answers = at_once(16, |task| {
            let (auth, token) = (replicas[task % 2].clone(), second.refresh_token.clone());
            async move { auth.refresh(&anonymous(), &token).await }
        })
        .await;
        let answers: Vec<Tokens> =
            answers.into_iter().collect::<Result<_, _>>().expect("every use is in the grace");
        assert!(answers.iter().all(|answer| same(&answer.refresh_token, &answers[0].refresh_token)));
        assert_eq!(test.family(first.session).await.generation, 3);
        for tokens in [&second, &again, &answers[0], &answers[1]] {
            let token = tokens.access_token.expose();
            assert!(replica.auth().authenticate(token, None, Client::default()).await.is_ok());
            assert!(test.authenticate(tokens).await.is_ok());
        }
        replica.close().await;
    }

    async fn a_lost_answer_is_given_again_within_the_grace(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        let lost = test.refresh(&first.refresh_token).await.expect("the token is live");
        test.clock.advance(GRACE.saturating_sub(INSTANT));
        let retried = test.refresh(&first.refresh_token).await.expect("the grace is not over");
        assert!(same(&retried.refresh_token, &lost.refresh_token));
        assert_eq!(test.family(first.session).await.generation, 2);
        assert!(test.refresh(&retried.refresh_token).await.is_ok());
    }

    async fn a_refresh_that_is_abandoned_at_any_point_costs_at_most_the_answer(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let mut tokens = test.register("ada@example.com").await.tokens;
        let mut abandoned = 0;
        // A database that answers before it is asked again is not waited for: how many looks a refresh takes differs.
        for polls in 1..=30 {
            let before = test.family(tokens.session).await.generation;
            let finished = polled(test.refresh(&tokens.refresh_token), polls).await.is_some();
            tokens = test.refresh(&tokens.refresh_token).await.expect("the token is live, or in its grace");
            assert_eq!(test.family(tokens.session).await.generation, before + 1, "abandoned at poll {polls}");
            abandoned += usize::from(!finished);
        }
        assert!(abandoned > 0, "nothing was ever abandoned");
    }

    async fn a_raised_session_version_voids_older_access_tokens(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        assert!(test.authenticate(&first).await.is_ok());
        let mut tx = test.begin().await;
        let raise = "UPDATE saas_sessions SET version = version + 1 WHERE id = $1";
        execute!(tx.conn(), raise, first.session.as_uuid()).expect("the session is there");
        let changed = Changed::User(first.user);
        test.saas.auth().note_change(&mut tx, changed).await.expect("the database answers");
        tx.commit().await.expect("the database answers");

        assert!(ended(&test, &first).await);
        let second = test.refresh(&first.refresh_token).await.expect("the token is live");
        assert_eq!(test.authenticate(&second).await.expect("it is of the new version").claims().ver, 2);
        assert!(ended(&test, &first).await);
    }
}

/// How a session may end.
#[derive(Debug, Clone, Copy)]
enum End {
    Logout,
    LogoutAll,
    Revoke,
    ChangePassword,
    Disable,
}

impl End {
    const ALL: [Self; 5] = [Self::Logout, Self::LogoutAll, Self::Revoke, Self::ChangePassword, Self::Disable];

    async fn make(
        self,
        auth: &Auth,
        actor: &Actor,
        user: UserId,
        token: &Secret<String>,
        [current, next]: &[Secret<String>; 2],
    ) {
        match self {
            Self::Logout => assert!(auth.logout(actor, token).await.expect("the token is theirs")),
            Self::LogoutAll => {
                assert!(auth.logout_all(actor).await.expect("they were signed in") >= 1);
            }
            Self::Revoke => {
                let session = actor.user().expect("a user").session;
                auth.revoke_session(actor, session).await.expect("the session is live");
            }
            Self::ChangePassword => {
                auth.change_password(actor, current, next, false).await.expect("the password is right");
            }
            Self::Disable => {
                auth.disable_user(&Actor::system("test"), user).await.expect("the user is there");
            }
        }
    }
}

/// What may keep a session from being refreshed without ending it.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    Disabled,
    Suspended,
    NoMember,
}

impl Obstacle {
    async fn put(self, test: &TestSaas, user: UserId, tenant: TenantId) {
        let mut tx = test.begin().await;
        let done = match self {
            Self::Disabled => {
                let disable = "UPDATE saas_users SET status = 'disabled' WHERE id = $1";
                execute!(tx.conn(), disable, user.as_uuid()).expect("the user is there") == 1
            }
            Self::Suspended => SqlTenants
                .set_state(&mut tx, tenant, TenantState::Suspended, test.saas.clock().now())
                .await
                .expect("the database answers"),
            Self::NoMember => {
                let leave = "DELETE FROM saas_memberships WHERE user_id = $1";
                execute!(tx.conn(), leave, user.as_uuid()).expect("the member is there") == 1
            }
        };
        assert!(done, "{self:?}");
        tx.commit().await.expect("the database answers");
    }

    async fn take_away(self, test: &TestSaas, user: UserId, tenant: TenantId) {
        let now = test.saas.clock().now();
        let mut tx = test.begin().await;
        let done = match self {
            Self::Disabled => {
                let enable = "UPDATE saas_users SET status = 'active' WHERE id = $1";
                execute!(tx.conn(), enable, user.as_uuid()).expect("the user is there") == 1
            }
            Self::Suspended => SqlTenants
                .set_state(&mut tx, tenant, TenantState::Active, now)
                .await
                .expect("the database answers"),
            Self::NoMember => {
                let join = "INSERT INTO saas_memberships (tenant_id, user_id, role, created_at, updated_at) \
                     VALUES ($1, $2, 'owner', $3, $3)";
                execute!(tx.conn(), join, tenant.as_uuid(), user.as_uuid(), now).expect("they are no member")
                    == 1
            }
        };
        assert!(done, "{self:?}");
        tx.commit().await.expect("the database answers");
    }
}

/// A refresh token, taken apart.
#[derive(Clone)]
pub(crate) struct Parts {
    session: [u8; 16],
    user: [u8; 16],
    tenant: [u8; 16],
    pub(crate) generation: i64,
    salt: [u8; 32],
    secret: [u8; 32],
}

impl Parts {
    const PREFIX: &str = "saas_rt_";

    pub(crate) fn of(token: &Secret<String>) -> Self {
        fn next<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
            let (first, after) = rest.split_first_chunk().expect("it is long enough");
            *rest = after;
            *first
        }
        let bytes = token.expose().strip_prefix(Self::PREFIX).map(|text| URL_SAFE_NO_PAD.decode(text));
        let bytes = bytes.and_then(Result::ok).expect("it is one of ours");
        assert_eq!(bytes.len(), 120);
        let rest = &mut bytes.as_slice();
        Self {
            session: next(rest),
            user: next(rest),
            tenant: next(rest),
            generation: i64::from_be_bytes(next(rest)),
            salt: next(rest),
            secret: next(rest),
        }
    }

    fn token(&self) -> Secret<String> {
        let bytes = [
            &self.session[..],
            &self.user,
            &self.tenant,
            &self.generation.to_be_bytes(),
            &self.salt,
            &self.secret,
        ]
        .concat();
        Secret::new(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes)))
    }
}

/// Tokens that nobody was given: `previous` and `current` are of the family that they pretend to be of.
fn forgeries(previous: &Tokens, current: &Tokens, others: &[&Tokens]) -> Vec<(String, Secret<String>)> {
    let [previous, current] = [previous, current].map(|tokens| Parts::of(&tokens.refresh_token));
    let mut forged = Vec::new();
    for real in [&previous, &current] {
        for bit in [0, 100, 255] {
            let mut parts = real.clone();
            parts.secret[bit / 8] ^= 1 << (bit % 8);
            forged.push((format!("generation {} with bit {bit} flipped", real.generation), parts.token()));
        }
        for generation in [i64::MIN, -1, 0, 1, 2, 3, 4, i64::MAX - 1, i64::MAX] {
            if generation != real.generation {
                let what = format!("generation {generation} with the secret of {}", real.generation);
                forged.push((what, Parts { generation, ..real.clone() }.token()));
            }
        }
        for secret in [[0; 32], [0xff; 32]] {
            forged.push((format!("the secret {secret:?}"), Parts { secret, ..real.clone() }.token()));
        }
    }
    for other in others {
        let other = Parts::of(&other.refresh_token);
        let stolen = Parts { session: current.session, ..other.clone() };
        forged.push(("another family's token under this session's id".to_owned(), stolen.token()));
        let stolen = Parts { secret: other.secret, ..current.clone() };
        forged.push(("another family's secret".to_owned(), stolen.token()));
        let stolen = Parts { session: other.session, ..current.clone() };
        forged.push(("this family's token under another session's id".to_owned(), stolen.token()));
        if other.user != current.user {
            let stolen = Parts { user: other.user, tenant: other.tenant, ..current.clone() };
            forged.push(("this family's token for another user".to_owned(), stolen.token()));
        }
        let stolen = Parts { salt: other.salt, ..current.clone() };
        forged.push(("this family's token under another family's salt".to_owned(), stolen.token()));
        let stolen = Parts { salt: other.salt, secret: other.secret, ..current.clone() };
        forged.push(("another family's salt and secret".to_owned(), stolen.token()));
    }
    for bytes in [[0; 16], [9; 16]] {
        let nobodys = Parts { user: bytes, ..current.clone() };
        forged.push(("a user who is not there".to_owned(), nobodys.token()));
        let elsewhere = Parts { tenant: bytes, ..current.clone() };
        forged.push(("a tenant that is not there".to_owned(), elsewhere.token()));
    }
    let nowhere = Parts { session: [9; 16], ..current.clone() };
    forged.push(("a session that is not there".to_owned(), nowhere.token()));
    let text = current.token().expose().clone();
    let texts = [
        String::new(),
        Parts::PREFIX.to_owned(),
        text[..text.len() - 1].to_owned(),
        format!("{text}A"),
        format!("{text}="),
        format!(" {text}"),
        format!("{text}\n"),
        text.to_uppercase(),
        text.replacen(Parts::PREFIX, "saas_at_", 1),
        text.replacen(Parts::PREFIX, "", 1),
        format!("{}{text}", Parts::PREFIX),
        "A".repeat(1 << 20),
    ];
    forged.extend(texts.into_iter().map(|text| {
        let what: String = text.chars().take(100).collect();
        (format!("the text {what:?}"), Secret::new(text))
    }));
    forged
}

async fn refresh_at_once(
    count: usize,
    auth: &Auth,
    token: &Secret<String>,
) -> Vec<Result<Tokens, RefreshError>> {
    let auth = Arc::new(auth.clone());
    at_once(count, |_| {
        let (auth, token) = (Arc::clone(&auth), token.clone());
        async move { auth.refresh(&anonymous(), &token).await }
    })
    .await
}

/// How often the audit log says that a token of a session was used again.
async fn reuses(test: &TestSaas, session: SessionId) -> usize {
    let filter = AuditFilter {
        action: Some(REFRESH_TOKEN_REUSED),
        subject: Some(session.into()),
        ..AuditFilter::default()
    };
    let page = test.saas.audit().list(&Actor::system("test"), &filter, None, PageSize::default()).await;
    page.expect("the database answers").items.len()
}

/// Neither the refresh tokens nor the access tokens of `dead` are worth anything.
async fn assert_dead(test: &TestSaas, dead: &[&Tokens]) {
    for tokens in dead {
        let refresh = test.refresh(&tokens.refresh_token).await;
        assert!(refused(&refresh), "{refresh:?}");
        let authenticated = test.authenticate(tokens).await;
        assert!(matches!(authenticated, Err(AuthenticateError::SessionEnded)), "{authenticated:?}");
    }
}

async fn ended(test: &TestSaas, tokens: &Tokens) -> bool {
    matches!(test.authenticate(tokens).await, Err(AuthenticateError::SessionEnded))
}

fn refused(answer: &Result<Tokens, RefreshError>) -> bool {
    matches!(answer, Err(RefreshError::Invalid))
}

fn same(one: &Secret<String>, other: &Secret<String>) -> bool {
    one.expose() == other.expose()
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}

async fn revoked_reason(test: &TestSaas, session: SessionId) -> Option<String> {
    let mut tx = test.begin().await;
    let query = "SELECT revoked_reason FROM saas_sessions WHERE id = $1";
    let row = fetch_one!(tx.conn(), (Option<String>,), query, session.as_uuid());
    row.expect("the session is there").0
}

async fn set_role(test: &TestSaas, user: UserId, role: Role) {
    let mut tx = test.begin().await;
    let change = "UPDATE saas_memberships SET role = $1 WHERE user_id = $2";
    execute!(tx.conn(), change, role.as_str(), user.as_uuid()).expect("the member is there");
    tx.commit().await.expect("the database answers");
}

/// Drives a future for so many polls, then drops it.
pub(crate) async fn polled<F: Future>(future: F, mut polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        polls -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
