//! Second factors on the wire: adding one, signing in with it, proving again who one is.

use std::time::Duration;

use saas_kit::testing::{Authenticator, PASSWORD, TestEngine};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Session, credentials, delete, get, on_both_engines, post};

on_both_engines! {
    a_second_factor_is_added_shown_and_removed,
    what_is_sensitive_asks_for_a_proof_as_rfc_9470_says,
    a_forged_challenge_is_answered_alike_whatever_comes_with_it,
    codes_are_held_back_with_the_time_to_wait,
    fields_that_are_missing_or_both_there_are_named,
}

const TOTP: &str = "/api/v1/auth/second-factor/totp";
const SIGN_IN: &str = "/api/v1/auth/token/second-factor";
const STEP_UP: &str = "/api/v1/auth/step-up";
const ADA: &str = "ada@example.com";

/// Adds an app, and goes on to its next code.
pub(crate) async fn add(api: &Api, session: &Session) -> (Authenticator, Session) {
    let begun = api.send(post(TOTP).bearer(session.access())).await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let begun = begun.json();
    let app = Authenticator::new(begun["data"]["secret"].as_str().expect("a secret"), api.test.clock.clone());
    let body = json!({ "code": app.shown() });
    let added = api.send(post(&format!("{TOTP}/confirm")).bearer(session.access()).json(&body)).await;
    assert_eq!(added.status, 200, "{}", added.text());
    api.test.next_code();
    (app, Session(added.json()))
}

async fn challenge(api: &Api) -> Value {
    let asked = api.send(post("/api/v1/auth/token").json(&credentials(ADA))).await;
    assert_eq!(asked.problem(), (401, "second_factor_required".to_owned()));
    asked.json()["challenge"].clone()
}

async fn meet(api: &Api, body: &Value) -> Answer {
    api.send(post(SIGN_IN).json(body)).await
}

async fn a_second_factor_is_added_shown_and_removed(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register(ADA).await;
    let (app, added) = add(&api, &session).await;
    let codes = added.0["recovery_codes"].as_array().expect("there are codes").clone();
    assert_eq!(codes.len(), 10);
    let old = api.send(get("/api/v1/auth/me").bearer(session.access())).await;
    assert_eq!(old.problem(), (401, "session_ended".to_owned()));
    let state = api.send(get("/api/v1/auth/second-factor").bearer(added.access())).await.json();
    let state = &state["data"];
    assert_eq!(
        (&state["enrolled"], &state["recovery_codes_left"], &state["required"]),
        (&json!(true), &json!(10), &json!(false))
    );

    let tokens = meet(&api, &json!({ "challenge": challenge(&api).await, "code": app.shown() })).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let me = api.send(get("/api/v1/auth/me").bearer(Session(tokens.json()).access())).await.json();
    assert_eq!(me["data"]["token_payload"]["amr"], json!(["pwd", "otp", "mfa"]));
    assert_eq!(me["data"]["token_payload"]["acr"], "aal2");
    let again = meet(&api, &json!({ "challenge": challenge(&api).await, "code": app.shown() })).await;
    assert_eq!(again.problem(), (401, "invalid_second_factor".to_owned()));
    let recovered =
        meet(&api, &json!({ "challenge": challenge(&api).await, "recovery_code": codes[0] })).await;
    assert_eq!(recovered.status, 200, "{}", recovered.text());

    let fresh = api.send(post("/api/v1/auth/second-factor/recovery-codes").bearer(added.access())).await;
    assert_eq!(fresh.json()["data"]["recovery_codes"].as_array().map(Vec::len), Some(10));
    let twice = api.send(post(TOTP).bearer(added.access())).await;
    assert_eq!(twice.problem(), (409, "second_factor_enrolled".to_owned()));
    let removed = api.send(delete(TOTP).bearer(added.access())).await;
    assert_eq!(removed.json()["data"], json!({ "removed": true }));
    let gone = api.send(delete(TOTP).bearer(added.access())).await;
    assert_eq!(gone.problem(), (404, "second_factor_not_found".to_owned()));
    api.sign_in(ADA).await;
    api.test.drain_jobs().await;
}

async fn what_is_sensitive_asks_for_a_proof_as_rfc_9470_says(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register(ADA).await;
    api.test.clock.advance(Duration::from_secs(601));
    let stale = api.send(post(TOTP).bearer(session.access())).await;
    assert_eq!(stale.problem(), (401, "step_up_required".to_owned()));
    assert_eq!(stale.json()["max_age"], 600);
    assert_eq!(
        stale.header("www-authenticate"),
        r#"Bearer error="insufficient_user_authentication", max_age="600""#
    );
    let wrong = api.send(post(STEP_UP).bearer(session.access()).json(&json!({ "password": "not it" }))).await;
    assert_eq!(wrong.problem(), (403, "step_up_refused".to_owned()));
    let proved =
        api.send(post(STEP_UP).bearer(session.access()).json(&json!({ "password": PASSWORD }))).await;
    assert_eq!(proved.status, 200, "{}", proved.text());
    let renewed = Session(proved.json());
    assert_eq!(renewed.id(), session.id());
    let (_, added) = add(&api, &renewed).await;
    let password =
        api.send(post(STEP_UP).bearer(added.access()).json(&json!({ "password": PASSWORD }))).await;
    assert_eq!(password.problem(), (422, "invalid_request".to_owned()));
    assert_eq!(password.wrong_fields(), [("password".to_owned(), "second_factor_needed".to_owned())]);
    for _ in 0..5 {
        let body = json!({ "recovery_code": "0000-0000-0000-0000" });
        let wrong = api.send(post(STEP_UP).bearer(added.access()).json(&body)).await;
        assert_eq!(wrong.problem(), (403, "step_up_refused".to_owned()));
    }
    let body = json!({ "recovery_code": added.0["recovery_codes"][0] });
    let exhausted = api.send(post(STEP_UP).bearer(added.access()).json(&body)).await;
    assert_eq!(exhausted.problem(), (403, "step_up_exhausted".to_owned()));
    api.test.drain_jobs().await;
}

async fn a_forged_challenge_is_answered_alike_whatever_comes_with_it(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (app, added) = add(&api, &api.register(ADA).await).await;
    let recovery = added.0["recovery_codes"][0].clone();
    let genuine = challenge(&api).await;
    let mut forged = genuine.as_str().expect("a challenge").to_owned();
    let other = if forged.ends_with('A') { "Q" } else { "A" };
    forged.replace_range(forged.len() - 1.., other);
    let mut answers = std::collections::BTreeSet::new();
    for challenge in [forged.as_str(), "saas_sf_", "nothing", added.refresh()] {
        for proof in [
            json!({ "code": app.shown() }),
            json!({ "code": "000000" }),
            json!({ "recovery_code": recovery }),
        ] {
            let mut body = proof;
            body["challenge"] = challenge.into();
            let mut answer = meet(&api, &body).await.json();
            answer["request_id"] = Value::Null;
            answers.insert(answer.to_string());
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.contains("invalid_challenge")));
    api.test.drain_jobs().await;
}

async fn codes_are_held_back_with_the_time_to_wait(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (app, added) = add(&api, &api.register(ADA).await).await;
    let wrong = if app.shown() == "000000" { "999999" } else { "000000" };
    for _ in 0..5 {
        let answer = meet(&api, &json!({ "challenge": challenge(&api).await, "code": wrong })).await;
        assert_eq!(answer.problem(), (401, "invalid_second_factor".to_owned()));
    }
    let body = json!({ "challenge": challenge(&api).await, "code": app.shown() });
    let held = meet(&api, &body).await;
    assert_eq!(
        (held.problem(), held.header("retry-after")),
        ((429, "second_factor_locked".to_owned()), "30")
    );
    let body = json!({ "code": app.shown() });
    let held = api.send(post(STEP_UP).bearer(added.access()).json(&body)).await;
    assert_eq!(held.problem(), (429, "second_factor_locked".to_owned()));
    api.test.clock.advance(Duration::from_secs(30));
    let body = json!({ "challenge": challenge(&api).await, "code": app.shown() });
    assert_eq!(meet(&api, &body).await.status, 200);
    api.test.drain_jobs().await;
}

async fn fields_that_are_missing_or_both_there_are_named(engine: TestEngine) {
    let api = Api::start(engine).await;
    let named =
        |answer: Answer| answer.wrong_fields().into_iter().map(|(field, _)| field).collect::<Vec<_>>();
    assert_eq!(named(meet(&api, &json!({})).await), ["challenge", "code"]);
    assert_eq!(named(meet(&api, &json!({ "challenge": "", "code": "12345" })).await), ["challenge", "code"]);
    let both = json!({ "challenge": "saas_sf_", "code": "123456", "recovery_code": "0000-0000-0000-0000" });
    assert_eq!(named(meet(&api, &both).await), ["recovery_code"]);
    let session = api.register(ADA).await;
    for (body, fields) in [
        (json!({}), vec!["password"]),
        (json!({ "password": "a", "code": "123456" }), vec!["password"]),
        (json!({ "code": "a", "recovery_code": "b" }), vec!["code", "recovery_code", "recovery_code"]),
    ] {
        assert_eq!(named(api.send(post(STEP_UP).bearer(session.access()).json(&body)).await), fields);
    }
    let confirm = post(&format!("{TOTP}/confirm")).bearer(session.access()).json(&json!({}));
    assert_eq!(named(api.send(confirm).await), ["code"]);
    let confirm =
        post(&format!("{TOTP}/confirm")).bearer(session.access()).json(&json!({ "code": "123456" }));
    assert_eq!(api.send(confirm).await.problem(), (409, "second_factor_not_begun".to_owned()));
}
