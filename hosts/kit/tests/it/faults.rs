//! Faults that the earlier system had and that no other page of these tests is about.

use std::time::Duration;

use saas_auth::{AuthenticateError, Freshness, SignIn};
use saas_core::{Actor, Client, Email, Reach, Secret, Storage};
use saas_kit::{
    Saas,
    testing::{PASSWORD, TestSaas},
};
use saas_sql::{execute, fetch_one};

on_both_engines! {
    async fn signing_and_verifying_ask_the_secret_store_nothing_w9(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let mut tokens = test.register("ada@example.com").await.tokens;
        let mut tx = test.begin().await;
        assert!(execute!(tx.conn(), "DELETE FROM saas_secrets").expect("the statement is valid") > 0);
        tx.commit().await.expect("the database answers");
        for _ in 0..8 {
            tokens = test.refresh(&tokens.refresh_token).await.expect("the keys are at hand");
            assert!(test.authenticate(&tokens).await.is_ok());
        }
        let mut conn = test.saas.storage().read(Reach::Platform("test")).await.expect("the database answers");
        let left = fetch_one!(&mut conn, (i64,), "SELECT COUNT(*) FROM saas_secrets");
        assert_eq!(left.expect("the query is valid").0, 0, "nobody needed them");
    }

    async fn an_access_token_ends_at_once_however_its_session_ends_w6(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (auth, system) = (test.saas.auth().clone(), Actor::system("test"));
        let (password, new) = (Secret::new(PASSWORD.to_owned()), Secret::new("another horse battery".to_owned()));
        for way in [
            "logout", "logout_here", "logout_all", "logout_others", "revoked_from_list", "used_again", "password_changed",
            "password_reset", "disabled", "deleted",
        ] {
            let address = format!("{}@example.com", way.replace('_', "-"));
            let victim = test.register(&address).await.tokens;
            let other = test.sign_in(&address).await.expect("the password is right");
            let (own, others) = (test.actor(&victim).await, test.actor(&other).await);
            match way {
                "logout" => assert!(auth.logout(&own, &victim.refresh_token).await.expect("it is hers")),
                "logout_here" => assert!(auth.logout_here(&own).await.expect("she is signed in")),
                "logout_all" => assert_eq!(auth.logout_all(&others).await.expect("she is signed in"), 2),
                "logout_others" => assert_eq!(auth.logout_others(&others).await.expect("she is signed in"), 1),
                "revoked_from_list" => auth.revoke_session(&others, victim.session).await.expect("it is hers"),
                "used_again" => {
                    test.refresh(&victim.refresh_token).await.expect("the token is live");
                    test.clock.advance(Duration::from_secs(11));
                    assert!(test.authenticate(&victim).await.is_ok());
                    assert!(test.refresh(&victim.refresh_token).await.is_err());
                }
                "password_changed" => {
                    auth.change_password(&others, &password, &new, false).await.expect("the password is right");
                }
                "password_reset" => {
                    let email = Email::parse(&address).expect("an address");
                    let anybody = Actor::anonymous(None, Client::default());
                    auth.forgot_password(&anybody, &email).await.expect("it may be asked for");
                    let mail = test.mail.wait_for(|mail| mail.template == "password_reset").await;
                    let token = mail.variables.into_iter().find(|(name, _)| *name == "token").expect("it has one").1;
                    auth.reset_password(&anybody, &Secret::new(token), &new).await.expect("the token is good");
                }
                "disabled" => auth.disable_user(&system, victim.user).await.expect("she is there"),
                _ => test.saas.tenancy().delete_account(&others, &password).await.expect("she is there"),
            }
            let ended = test.authenticate(&victim).await;
            assert!(matches!(ended, Err(AuthenticateError::SessionEnded)), "{way}: {ended:?}");
            test.drain_jobs().await;
        }
    }

    async fn a_member_who_is_removed_is_refused_at_once_or_after_five_seconds_where_that_will_do_w6(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        assert!(test.authenticate(&tokens).await.is_ok());
        let mut tx = test.begin().await;
        execute!(tx.conn(), "DELETE FROM saas_memberships").expect("the statement is valid");
        tx.commit().await.expect("the database answers");
        let (strict, token) = (Freshness::Strict, tokens.access_token.expose());
        let strict = test.saas.auth().authenticate_as_of(strict, token, None, Client::default()).await;
        assert!(matches!(strict, Err(AuthenticateError::SessionEnded)), "{strict:?}");
        test.clock.advance(Duration::from_secs(5));
        let looking = test.authenticate(&tokens).await;
        assert!(matches!(looking, Err(AuthenticateError::SessionEnded)), "{looking:?}");
    }

    async fn a_fingerprint_is_keyed_and_gives_neither_address_nor_program_away_w17(engine: TestEngine) {
        let one = TestSaas::start(engine).await;
        one.register("ada@example.com").await;
        let first = fingerprint(&one.saas, "203.0.113.7", "a browser").await;
        assert_eq!(first.len(), 32);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}: nothing that decodes to a text");
        assert_eq!(first, fingerprint(&one.saas, "203.0.113.7", "a browser").await);
        assert_ne!(first, fingerprint(&one.saas, "203.0.113.8", "a browser").await);
        assert_ne!(first, fingerprint(&one.saas, "203.0.113.7", "another browser").await);
        // Whoever knows the address and the program, and not the key, cannot tell that they are these.
        let other = TestSaas::start(engine).await;
        let blueprint = TestSaas::blueprint(&other.database, other.clock.clone(), 2, []);
        let mut tx = other.begin().await;
        execute!(tx.conn(), "DELETE FROM saas_secrets").expect("the statement is valid");
        tx.commit().await.expect("the database answers");
        let elsewhere = blueprint.open().await.expect("it makes keys of its own");
        let register = saas_tenancy::Register::new(
            Email::parse("ada@example.com").expect("an address"),
            Secret::new(PASSWORD.to_owned()),
            saas_core::TenantName::parse("Engines").expect("a name"),
        );
        elsewhere.tenancy().register(&Actor::system("test"), register).await.expect("it is open");
        assert_ne!(first, fingerprint(&elsewhere, "203.0.113.7", "a browser").await);
        // It has no workers.
        other.leave_jobs();
    }
}

/// That of a sign-in from there.
async fn fingerprint(saas: &Saas, address: &str, program: &str) -> String {
    let client = Client::new(address.parse().ok(), Some(program));
    let email = Email::parse("ada@example.com").expect("an address");
    let command = SignIn::new(email, Secret::new(PASSWORD.to_owned()));
    let tokens = saas.auth().sign_in(&Actor::anonymous(None, client), command).await;
    let session = tokens.expect("the password is right").session;
    let session = saas.auth().session(&Actor::system("test"), session).await.expect("the database answers");
    session.and_then(|session| session.fingerprint).expect("it has one")
}
