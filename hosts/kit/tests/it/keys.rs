//! Signing keys: rotated by several replicas, and no token that is good is ever refused.

mod load;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use saas_auth::{
    AuthenticateError, RotateKeysError, RotationReport, SigningKeysError,
    keys::{KeySet, KeyStatus, RotationStep},
    token::{AccessGrant, AccessTokens, IssuedToken, TokenError},
};
use saas_core::{Actor, Client, Role, Secret, SecretStore, StoredSecret, entropy::SystemEntropy};
use saas_kit::{
    Saas,
    testing::{TestSaas, TestWorkers, at_once},
};
use saas_sql::{RootKey, SealedSecrets};
use saas_tenancy::Registered;
use serde_json::{Value, json};

use self::load::Load;

/// What `AUTH_JWKS_MAX_AGE_SECONDS` is when nobody sets it, and what replicas get to reload.
const PUBLISH_DELAY: Duration = Duration::from_secs(310);
const INSTANT: Duration = Duration::from_micros(1);
const SECOND: Duration = Duration::from_secs(1);

on_both_engines! {
    async fn no_token_is_refused_while_two_replicas_rotate_under_load_w8(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("SQLITE_SYNCHRONOUS", "normal")]).await;
        let replicas = [test.saas.clone(), test.replica(2).await];
        let _workers = TestWorkers::start(&replicas[1]);
        let load = Load::start(&replicas, test.register("ada@example.com").await);

        let mut active = BTreeSet::from([signs(&test.saas)]);
        for round in 0..3 {
            for (step, replica) in [(RotationStep::Publish, round % 2), (RotationStep::Promote, (round + 1) % 2)] {
                let report = rotate(&replicas[replica]).await;
                assert_eq!(report.done, step);
                load.goes_on().await;
                everybody_hears_of(&report, &replicas, &test).await;
                load.goes_on_until(report.next_due_at, &test).await;
            }
            active.insert(signs(&test.saas));
        }
        assert_eq!(active.len(), 4, "each rotation brought another key");
        load.stop().await;
    }

    async fn the_published_keys_follow_each_step(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let replicas = [test.saas.clone(), test.replica(2).await];
        let _workers = TestWorkers::start(&replicas[1]);
        let began = test.saas.clock().now();
        let first = signs(&test.saas);
        assert_eq!(published(&test.saas), BTreeSet::from([first.clone()]));

        let report = rotate(&test.saas).await;
        assert_eq!((report.next, report.next_due_at), (RotationStep::Promote, began + PUBLISH_DELAY));
        assert_eq!(statuses(&report), [KeyStatus::Next, KeyStatus::Active]);
        let second = report.keys[0].kid.clone();
        everybody_hears_of(&report, &replicas, &test).await;
        for saas in &replicas {
            assert_eq!(published(saas), BTreeSet::from([first.clone(), second.clone()]));
            assert_eq!(signs(saas), first, "the next key does not sign yet");
        }

        advance_to(report.next_due_at, &test);
        let report = rotate(&replicas[1]).await;
        let over = test.saas.clock().now() + KeySet::RETIREMENT;
        assert_eq!((report.next, report.next_due_at), (RotationStep::Publish, over));
        assert_eq!(statuses(&report), [KeyStatus::Active, KeyStatus::Retired]);
        let [active, retired] = &report.keys[..] else { panic!("{report:?}") };
        assert_eq!((active.kid.as_str(), active.created_at), (second.as_str(), began));
        assert_eq!(active.activated_at, retired.retired_at);
        assert_eq!((retired.kid.as_str(), retired.activated_at), (first.as_str(), Some(began)));
        everybody_hears_of(&report, &replicas, &test).await;
        for saas in &replicas {
            assert_eq!(published(saas), BTreeSet::from([first.clone(), second.clone()]));
            assert_eq!(signs(saas), second);
        }

        advance_to(over, &test);
        for saas in &replicas {
            saas.auth().reload_signing_keys().await.expect("the keys are there");
            assert_eq!(published(saas), BTreeSet::from([second.clone()]), "without anybody's step");
        }
        let [one, other] = replicas.each_ref().map(|saas| {
            let keys = saas.auth().access_tokens().keys();
            (keys.jwks().etag().to_owned(), keys.jwks().last_modified().to_owned())
        });
        assert_eq!(one, other, "both replicas answer with the same validators");
        let listed = test.saas.auth().signing_keys(&operator()).await.expect("the keys are there");
        assert_eq!(listed.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), [second]);
    }

    async fn a_step_before_its_time_is_refused_and_says_when_it_is_due(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_JWKS_MAX_AGE_SECONDS", "600")]).await;
        for step in [RotationStep::Promote, RotationStep::Publish] {
            let report = rotate(&test.saas).await;
            let wait = if step == RotationStep::Promote { 610 * SECOND } else { KeySet::RETIREMENT };
            assert_eq!((report.next, report.next_due_at), (step, test.saas.clock().now() + wait));
            for early in [Duration::ZERO, wait.saturating_sub(INSTANT)] {
                test.clock.advance(early);
                let stored = stored(&test).await.version;
                let refused = test.saas.auth().rotate_signing_keys(&operator()).await;
                assert!(not_due(&refused, &report), "{refused:?}");
                assert_eq!(self::stored(&test).await.version, stored);
            }
            test.clock.advance(INSTANT);
        }
        assert_eq!(rotate(&test.saas).await.done, RotationStep::Publish);
    }

    async fn of_sixteen_rotations_at_once_on_two_replicas_exactly_one_makes_a_step(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let replicas = [test.saas.clone(), test.replica(2).await];
        for step in [RotationStep::Publish, RotationStep::Promote, RotationStep::Publish, RotationStep::Promote] {
            let before = stored(&test).await.version;
            let answers = at_once(16, |task| {
                let auth = replicas[task % 2].auth().clone();
                async move { auth.rotate_signing_keys(&operator()).await }
            })
            .await;
            let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            let [Ok(report)] = &made[..] else { panic!("{made:?}") };
            assert_eq!(report.done, step);
            assert!(refused.iter().all(|refused| not_due(refused, report)), "{refused:?}");
            assert_eq!(stored(&test).await.version, before + 1);
            for saas in &replicas {
                saas.auth().reload_signing_keys().await.expect("the keys are there");
                assert!(agrees(saas, report));
            }
            advance_to(report.next_due_at, &test);
        }
    }

    async fn a_retired_key_verifies_until_its_time_and_not_after(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        // Without workers it does not hear that its key was retired, and signs on.
        let deaf = test.replica(2).await;
        rotate(&test.saas).await;
        test.clock.advance(PUBLISH_DELAY);
        let in_time = issue(&deaf, &ada);
        let over = rotate(&test.saas).await.next_due_at;
        test.clock.advance(AccessTokens::LEEWAY + SECOND);
        let late = issue(&deaf, &ada);
        assert!(in_time.kid == late.kid && late.kid != signs(&test.saas));

        advance_to(over - (AccessTokens::LEEWAY + INSTANT), &test);
        assert_eq!(verify(&test.saas, &in_time), Ok(()), "to the last moment of its life");
        advance_to(over - INSTANT, &test);
        assert_eq!(verify(&test.saas, &late), Ok(()));
        test.clock.advance(INSTANT);
        assert_eq!(verify(&test.saas, &late), Err(TokenError::UnknownKey));
        assert!(test.saas.clock().now().timestamp() < late.claims.exp, "it has not expired");
    }

    async fn revoked_keys_verify_nothing_here_at_once_and_elsewhere_after_the_reload(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let other = test.replica(2).await;
        rotate(&test.saas).await;
        test.clock.advance(PUBLISH_DELAY);
        let mut old = vec![issue(&other, &ada)];
        let next_due_at = rotate(&test.saas).await.next_due_at;
        other.auth().reload_signing_keys().await.expect("the keys are there");
        advance_to(next_due_at - 60 * SECOND, &test);
        old.push(issue(&test.saas, &ada));
        let before = published(&test.saas);

        let report = test.saas.auth().revoke_signing_keys(&operator()).await.expect("an operator may");
        assert_eq!((report.done, report.next), (RotationStep::Revoke, RotationStep::Publish));
        assert_eq!(statuses(&report), [KeyStatus::Active]);
        assert!(published(&test.saas).is_disjoint(&before));
        let new = issue(&test.saas, &ada);
        assert_eq!(verify(&test.saas, &new), Ok(()));
        assert_eq!(verify(&test.saas, &old[1]), Err(TokenError::UnknownKey));
        assert_eq!(verify(&other, &old[1]), Ok(()), "it has not heard");
        assert!(!other.auth().signing_key_is_kept().await, "it says that it is not ready");

        assert!(other.auth().reload_signing_keys().await.expect("the keys are there"));
        assert!(!other.auth().reload_signing_keys().await.expect("the keys are there"), "nothing changed");
        for saas in [&test.saas, &other] {
            assert!(old.iter().all(|old| verify(saas, old) == Err(TokenError::UnknownKey)));
            assert_eq!(verify(saas, &new), Ok(()));
            assert!(saas.auth().signing_key_is_kept().await);
        }
        assert_eq!(document(&test).await["keys"].as_array().map(Vec::len), Some(1));
        assert!(authenticate(&other, &ada.tokens.access_token).await.is_err());
        let refreshed = test.refresh(&ada.tokens.refresh_token).await.expect("sessions go on");
        assert!(authenticate(&other, &refreshed.access_token).await.is_ok());
        assert_eq!(rotate(&other).await.done, RotationStep::Publish);
    }

    async fn an_unknown_key_is_looked_for_once_a_second(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let (deaf, old) = (test.replica(2).await, issue(&test.saas, &ada));
        for round in 0..3 {
            test.saas.auth().revoke_signing_keys(&operator()).await.expect("an operator may");
            let new = issue(&test.saas, &ada);
            if round > 0 {
                for token in [&old, &new].repeat(20) {
                    let refused = authenticate(&deaf, &token.token).await;
                    assert!(
                        matches!(refused, Err(AuthenticateError::Token(TokenError::UnknownKey))),
                        "{refused:?}"
                    );
                }
                test.clock.advance(SECOND);
            }
            assert!(authenticate(&deaf, &new.token).await.is_ok(), "round {round}");
            assert_eq!(signs(&deaf), new.kid);
        }
    }

    async fn only_the_product_itself_shows_and_rotates_keys(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let before = stored(&test).await.version;
        for actor in [anonymous(), test.actor(&ada).await] {
            let auth = test.saas.auth();
            assert!(matches!(auth.signing_keys(&actor).await, Err(SigningKeysError::Forbidden)));
            assert!(matches!(auth.rotate_signing_keys(&actor).await, Err(RotateKeysError::Forbidden)));
            assert!(matches!(auth.revoke_signing_keys(&actor).await, Err(RotateKeysError::Forbidden)));
        }
        assert_eq!(stored(&test).await.version, before);
        assert!(test.authenticate(&ada).await.is_ok());
    }

    async fn a_retired_keys_private_part_is_gone_from_the_stored_document(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let seed = document(&test).await["keys"][0]["seed"].as_str().expect("it signs").to_owned();
        let kid = signs(&test.saas);
        advance_to(rotate(&test.saas).await.next_due_at, &test);
        assert!(document(&test).await.to_string().contains(&seed));

        let over = rotate(&test.saas).await.next_due_at;
        let after = document(&test).await;
        assert!(!after.to_string().contains(&seed));
        let retired = after["keys"].as_array().and_then(|keys| keys.iter().find(|key| key["kid"] == kid.as_str()));
        let retired = retired.and_then(Value::as_object).expect("it still verifies");
        let members: Vec<&str> = retired.keys().map(String::as_str).collect();
        assert_eq!(members, ["activated_at", "created_at", "kid", "since", "status", "x"]);

        advance_to(over, &test);
        rotate(&test.saas).await;
        assert!(!document(&test).await.to_string().contains(&kid), "its time is over");
    }

    async fn a_process_that_was_restarted_goes_on_with_the_rotation(engine: TestEngine) {
        let mut test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let published = rotate(&test.saas).await;
        restart(&mut test, 2).await;
        let refused = test.saas.auth().rotate_signing_keys(&operator()).await;
        assert!(not_due(&refused, &published), "{refused:?}");

        advance_to(published.next_due_at, &test);
        let old = issue(&test.saas, &ada);
        let promoted = rotate(&test.saas).await;
        assert_eq!((promoted.done, &promoted.keys[0].kid), (RotationStep::Promote, &published.keys[0].kid));
        restart(&mut test, 3).await;
        assert_eq!(signs(&test.saas), published.keys[0].kid);
        assert_eq!(verify(&test.saas, &old), Ok(()));
        advance_to(promoted.next_due_at, &test);
        restart(&mut test, 4).await;
        assert_eq!(self::published(&test.saas), BTreeSet::from([published.keys[0].kid.clone()]));
    }

    async fn keys_that_an_earlier_version_stored_are_rotated(engine: TestEngine) {
        let mut test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let mut earlier = document(&test).await;
        earlier["schema"] = json!(1);
        let earlier = Secret::new(earlier.to_string().into_bytes());
        assert!(secrets(&test).replace(KeySet::SECRET_NAME, 1, &earlier).await.expect("the database answers"));
        restart(&mut test, 2).await;
        advance_to(rotate(&test.saas).await.next_due_at, &test);
        assert_eq!(rotate(&test.saas).await.done, RotationStep::Promote);
        assert_eq!(document(&test).await["schema"], 2);
        assert!(test.authenticate(&ada).await.is_ok());
    }
}

fn operator() -> Actor {
    Actor::system("test")
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}

async fn rotate(saas: &Saas) -> RotationReport {
    saas.auth().rotate_signing_keys(&operator()).await.expect("the step is due")
}

fn not_due(answer: &Result<RotationReport, RotateKeysError>, last: &RotationReport) -> bool {
    matches!(answer, Err(RotateKeysError::NotDue { step, due_at }) if (*step, *due_at) == (last.next, last.next_due_at))
}

fn statuses(report: &RotationReport) -> Vec<KeyStatus> {
    report.keys.iter().map(|key| key.status).collect()
}

/// The name of the key that `saas` signs with.
fn signs(saas: &Saas) -> String {
    saas.auth().access_tokens().keys().active().kid().to_owned()
}

/// The names of the keys that `saas` publishes.
fn published(saas: &Saas) -> BTreeSet<String> {
    let keys = saas.auth().access_tokens().keys();
    let jwks: Value = serde_json::from_slice(keys.jwks().body()).expect("it is JSON");
    let keys = jwks["keys"].as_array().expect("it is a list").iter();
    keys.map(|key| key["kid"].as_str().expect("it has a name").to_owned()).collect()
}

/// Whether `saas` has the keys that a report tells of.
fn agrees(saas: &Saas, report: &RotationReport) -> bool {
    let active = report.keys.iter().find(|key| key.status == KeyStatus::Active);
    active.is_some_and(|active| active.kid == signs(saas))
        && published(saas) == report.keys.iter().map(|key| key.kid.clone()).collect()
}

fn issue(saas: &Saas, who: &Registered) -> IssuedToken {
    let now = saas.clock().now();
    let grant = AccessGrant::new(who.user.id, who.tenant.id, who.tokens.session, 1, Role::Owner, now);
    saas.auth().access_tokens().issue(grant).expect("a token is made")
}

/// Whether `saas` takes the token with the keys that it has, without looking for others.
fn verify(saas: &Saas, issued: &IssuedToken) -> Result<(), TokenError> {
    saas.auth().access_tokens().verify(issued.token.expose()).map(drop)
}

async fn authenticate(saas: &Saas, token: &Secret<String>) -> Result<(), AuthenticateError> {
    saas.auth().authenticate(token.expose(), None, Client::default()).await.map(drop)
}

fn secrets(test: &TestSaas) -> SealedSecrets {
    let root = RootKey::new(&[7; 32]).expect("it is the harness's");
    let clock = Arc::clone(test.saas.clock());
    SealedSecrets::new(test.saas.storage().clone(), root, clock, Arc::new(SystemEntropy))
}

async fn stored(test: &TestSaas) -> StoredSecret {
    let stored = secrets(test).get(KeySet::SECRET_NAME).await.expect("the database answers");
    stored.expect("the keys are there")
}

async fn document(test: &TestSaas) -> Value {
    serde_json::from_slice(stored(test).await.value.expose()).expect("it is JSON")
}

fn advance_to(moment: DateTime<Utc>, test: &TestSaas) {
    test.clock.advance((moment - test.saas.clock().now()).to_std().unwrap_or_default());
}

/// Ends the process without a word and starts another one.
async fn restart(test: &mut TestSaas, seed: u64) {
    let saas = test.replica(seed).await;
    test.workers = TestWorkers::start(&saas);
    std::mem::replace(&mut test.saas, saas).close().await;
}

/// Waits until the replicas' workers have reloaded, within the time that [`KeySet::MIN_PUBLISH_DELAY`] gives them.
async fn everybody_hears_of(report: &RotationReport, replicas: &[Saas], test: &TestSaas) {
    for _ in 0..5 {
        test.clock.advance(KeySet::RELOAD_INTERVAL);
        for _ in 0..400 {
            if replicas.iter().all(|saas| agrees(saas, report)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    panic!("a replica did not hear of {report:?}");
}
