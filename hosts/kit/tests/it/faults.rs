//! Faults that the earlier system had and that no other page of these tests is about.

use saas_auth::SignIn;
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
