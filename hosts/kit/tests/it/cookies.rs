//! Session cookies: as good as a session is, and good for nothing else.

use std::time::Duration;

use saas_auth::{
    AuthenticateError, Authenticated, Freshness, SessionCookie, SessionCredential, SwitchError, Tokens,
};
use saas_core::{Actor, Client, Secret};
use saas_kit::testing::TestSaas;
use saas_sql::execute;

use crate::switch::two_tenants;

const DAY: Duration = Duration::from_hours(24);

on_both_engines! {
    async fn a_cookie_is_decided_by_as_a_token_is(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let cookie = cookie(&test, &ada);
        for minutes in [0, 0, 10, 20] {
            // An access token would be over after a quarter of an hour.
            test.clock.advance(Duration::from_mins(minutes));
            let by_cookie = by_cookie(&test, &cookie).await.expect("the session is live");
            assert!(by_cookie.is_by_cookie());
            let user = by_cookie.actor.user().expect("a user");
            assert_eq!((user.user, user.tenant, user.session), (ada.user, ada.tenant, ada.session));
            assert_eq!(user.permissions, ada.scopes);
            assert_eq!((by_cookie.claims().sid, by_cookie.claims().ver), (ada.session, 1));
        }
        let mut tx = test.begin().await;
        let suspend = "UPDATE saas_tenants SET state = 'suspended' WHERE id = $1";
        execute!(tx.conn(), suspend, ada.tenant.as_uuid()).expect("the statement is valid");
        tx.commit().await.expect("the database answers");
        let strict = test.saas.auth().authenticate_cookie(Freshness::Strict, cookie.expose(), None, Client::default());
        assert!(matches!(strict.await, Err(AuthenticateError::SessionEnded)));
    }

    async fn a_cookie_ends_with_its_session_at_once_w6(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        for end in ["here", "everywhere", "disabled"] {
            let ada = test.register(&format!("{end}@example.com")).await.tokens;
            let cookie = cookie(&test, &ada);
            let actor = by_cookie(&test, &cookie).await.expect("the session is live").actor;
            match end {
                "here" => assert!(test.saas.auth().logout_here(&actor).await.expect("she is signed in")),
                "everywhere" => assert_eq!(test.saas.auth().logout_all(&actor).await.expect("she is signed in"), 1),
                _ => test.saas.auth().disable_user(&Actor::system("test"), ada.user).await.expect("she is there"),
            }
            assert!(is_refused(&test, &cookie).await, "{end}");
        }
    }

    async fn a_switch_gives_a_new_cookie_and_ends_the_old_one(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (ada, second) = two_tenants(&test).await;
        let old = cookie(&test, &ada);
        assert!(by_cookie(&test, &old).await.is_ok());
        let anonymous = Actor::anonymous(None, Client::default());
        let switched = test.saas.auth().switch(&anonymous, SessionCredential::Cookie(&old), second).await;
        let new = cookie(&test, &switched.expect("she is a member of it"));
        assert_ne!(new.expose(), old.expose());
        assert_eq!(by_cookie(&test, &new).await.expect("it goes on").actor.user().expect("a user").tenant, second);
        assert!(is_refused(&test, &old).await);
        let again = test.saas.auth().switch(&anonymous, SessionCredential::Cookie(&old), ada.tenant).await;
        assert!(matches!(again, Err(SwitchError::SessionEnded)), "{again:?}");
        let foreign = test.register("eve@example.com").await.tenant.id;
        let foreign = test.saas.auth().switch(&anonymous, SessionCredential::Cookie(&new), foreign).await;
        assert!(matches!(foreign, Err(SwitchError::TenantNotFound)), "{foreign:?}");
        assert!(by_cookie(&test, &new).await.is_ok(), "it changed nothing");
    }

    async fn nothing_else_is_a_cookie_and_a_cookie_is_nothing_else(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let eve = cookie(&test, &test.register("eve@example.com").await.tokens);
        let cookie = cookie(&test, &ada);
        let genuine = cookie.expose();
        let (prefix, body) = genuine.split_at("saas_sc_".len());
        let refresh = ada.refresh_token.expose();
        let spliced = format!("{}{}", &genuine[..genuine.len() / 2], &eve.expose()[genuine.len() / 2..]);
        for forged in [
            String::new(),
            prefix.to_owned(),
            genuine[..genuine.len() - 1].to_owned(),
            format!("{genuine}A"),
            genuine.to_uppercase(),
            spliced,
            ada.session.to_string(),
            ada.access_token.expose().clone(),
            refresh.clone(),
            refresh.replacen("saas_rt_", prefix, 1),
            "A".repeat(1 << 16),
        ] {
            assert!(is_refused(&test, &Secret::new(forged.clone())).await, "{forged:.60}");
        }
        for token in [genuine.clone(), format!("saas_rt_{body}")] {
            assert!(test.refresh(&Secret::new(token.clone())).await.is_err());
            let bearer = test.saas.auth().authenticate(&token, None, Client::default()).await;
            assert!(matches!(bearer, Err(AuthenticateError::Token(_))), "{bearer:?}");
        }
        assert!(by_cookie(&test, &cookie).await.is_ok(), "it harmed nobody");
        let bearer = test.saas.auth().authenticate(genuine, None, Client::default()).await;
        assert!(bearer.is_err(), "nor is it one when it is remembered");
        assert!(!format!("{:?}", SessionCookie::parse(genuine)).contains(&body[body.len() - 40..]));
    }

    async fn whoever_has_the_masters_but_not_the_salt_makes_no_cookie_w2(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let cookie = cookie(&test, &ada);
        let mut tx = test.begin().await;
        let (id, salt) = (ada.session.as_uuid(), [1_u8; 32]);
        execute!(tx.conn(), "UPDATE saas_sessions SET salt = $1 WHERE id = $2", &salt[..], id).expect("it is there");
        tx.commit().await.expect("the database answers");
        assert!(is_refused(&test, &cookie).await);
    }

    async fn use_by_a_cookie_slides_the_idle_end_once_a_minute_and_the_absolute_one_never(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let cookie = cookie(&test, &ada);
        let began = test.family(ada.session).await.session;
        let seen = async |seconds| {
            test.clock.advance(Duration::from_secs(seconds));
            by_cookie(&test, &cookie).await.expect("the session is live");
            let session = test.family(ada.session).await.session;
            assert_eq!(session.absolute_expires_at, began.absolute_expires_at);
            assert_eq!(session.idle_expires_at - session.last_seen_at, began.idle_expires_at - began.created_at);
            (session.last_seen_at - began.created_at).num_seconds()
        };
        assert_eq!(seen(1).await, 0, "it was opened a second ago");
        assert_eq!(seen(30).await, 0);
        assert_eq!(seen(31).await, 62);
        assert_eq!(seen(59).await, 62);
        assert_eq!(seen(1).await, 122);
        for days in [29, 58, 87] {
            let day = seen(29 * DAY.as_secs()).await / 86_400;
            assert_eq!(day, days, "each use keeps it for another 30 days");
        }
        test.clock.advance(3 * DAY);
        assert!(is_refused(&test, &cookie).await, "but for no more than 90");
    }

    async fn a_cookie_that_was_not_used_in_time_is_refused(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let cookie = cookie(&test, &test.register("ada@example.com").await.tokens);
        test.clock.advance(30 * DAY);
        assert!(is_refused(&test, &cookie).await);
    }
}

fn cookie(test: &TestSaas, tokens: &Tokens) -> Secret<String> {
    test.saas.auth().session_cookie(tokens).expect("the keys are there")
}

async fn by_cookie(test: &TestSaas, cookie: &Secret<String>) -> Result<Authenticated, AuthenticateError> {
    let (recent, client) = (Freshness::Recent, Client::default());
    test.saas.auth().authenticate_cookie(recent, cookie.expose(), None, client).await
}

async fn is_refused(test: &TestSaas, cookie: &Secret<String>) -> bool {
    matches!(by_cookie(test, cookie).await, Err(AuthenticateError::SessionEnded))
}
