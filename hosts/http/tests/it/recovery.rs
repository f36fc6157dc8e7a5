//! Proving an address, setting a new password, changing an address and taking that back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, extract::Request};
use saas_auth::{
    Argon2id, Argon2idParams, HashError, Keyring, Password, PasswordAdvice, PasswordHash, PasswordHasher,
};
use saas_core::{Actor, Reach, Role, Storage, entropy::SeededEntropy};
use saas_kit::{
    HashPool,
    testing::{PASSWORD, TestEngine, TestSaas, at_once},
};
use saas_sql::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::harness::{
    Answer, Api, Session, assert_answer, credentials, get, on_both_engines, post, registration,
};

on_both_engines! {
    proving_an_address_counts_at_once_for_the_token_that_asked_w49,
    registering_answers_the_same_for_a_new_address_and_a_taken_one_w31,
    a_one_time_token_is_used_once_under_a_race_w20,
    a_newer_token_ends_the_older_one_and_a_new_password_ends_all_w20,
    a_token_that_is_over_or_forged_or_of_another_purpose_gets_the_one_answer,
    a_token_is_good_for_the_address_alone_that_it_was_made_for_w20,
    a_forgotten_password_is_set_by_mail_and_ends_every_session,
    a_password_that_is_not_accepted_leaves_the_token_good,
    changing_a_password_ends_the_other_sessions_and_renews_this_one,
    other_sessions_are_kept_on_request,
    changing_a_password_counts_wrong_guesses_w39,
    an_administrator_has_a_member_mailed_and_sets_no_password_w24,
    an_administrator_reaches_nobody_above_them_and_nobody_elsewhere_w24,
    another_address_is_confirmed_at_the_new_one,
    a_taken_address_is_not_told_to_who_wants_it_but_to_its_owner,
    the_old_address_takes_the_account_back,
    whoever_took_an_account_over_cannot_end_its_undo,
    whoever_signs_in_with_a_password_while_it_is_reset_does_not_get_in,
    mails_are_asked_for_so_often_an_hour,
    no_token_stands_in_the_database,
    links_are_made_of_the_public_address_whatever_host_was_named,
}

const VERIFY: [(&str, &str); 1] = [("REQUIRE_EMAIL_VERIFICATION", "true")];
const NEW: &str = "another correct horse battery";

/// Waits until every mail that was left behind has gone: somebody else may be at one.
async fn settled(api: &Api) {
    loop {
        api.test.saas.drain_jobs().await.expect("jobs are done");
        let mut conn = api.test.saas.storage().read(Reach::Platform("test")).await.expect("it answers");
        let (left,) = fetch_one!(
            &mut conn,
            (i64,),
            "SELECT COUNT(*) FROM saas_jobs WHERE kind IN ('mail.send', 'user.deleted')"
        )
        .expect("it answers");
        if left == 0 {
            return;
        }
        drop(conn);
        tokio::task::yield_now().await;
    }
}

/// The token of the last mail of a template to an address.
pub(crate) async fn token(api: &Api, template: &str, to: &str) -> String {
    settled(api).await;
    let mail = api.test.mail.mails().into_iter().rev();
    let mail = mail.into_iter().find(|mail| mail.template == template && mail.to.address.as_str() == to);
    let mail = mail.unwrap_or_else(|| panic!("{to} was mailed {template}"));
    mail.variables.into_iter().find(|(name, _)| *name == "token").expect("it has a token").1
}

/// The templates of the mails to an address, sorted: of those that wait together any may go first.
async fn mails(api: &Api, to: &str) -> Vec<&'static str> {
    settled(api).await;
    let mails = api.test.mail.mails().into_iter().filter(|mail| mail.to.address.as_str() == to);
    let mut templates: Vec<_> = mails.map(|mail| mail.template).collect();
    templates.sort_unstable();
    templates
}

async fn ask(api: &Api, path: &str, body: &Value) -> Answer {
    api.send(post(&format!("/api/v1/auth{path}")).json(body)).await
}

async fn ask_as(api: &Api, session: &Session, path: &str, body: &Value) -> Answer {
    api.send(post(&format!("/api/v1/auth{path}")).bearer(session.access()).json(body)).await
}

async fn forgot(api: &Api, email: &str) {
    assert_eq!(ask(api, "/password/forgot", &json!({ "email": email })).await.status, 202);
}

async fn set(api: &Api, token: &str, password: &str) -> Answer {
    ask(api, "/password/confirm", &json!({ "token": token, "new_password": password })).await
}

async fn status_of(api: &Api, session: &Session) -> u16 {
    api.send(get("/api/v1/auth/me").bearer(session.access())).await.status.as_u16()
}

async fn sign_in(api: &Api, email: &str, password: &str) -> u16 {
    let body = json!({ "email": email, "password": password });
    ask(api, "/token", &body).await.status.as_u16()
}

const INVALID: (u16, &str) = (422, "invalid_one_time_token");

fn problem(answer: &Answer) -> (u16, String) {
    answer.problem()
}

fn is_invalid(answer: &Answer) -> bool {
    problem(answer) == (INVALID.0, INVALID.1.to_owned())
}

async fn proving_an_address_counts_at_once_for_the_token_that_asked_w49(engine: TestEngine) {
    let api = Api::with_settings(engine, VERIFY).await;
    let answer = ask(&api, "/register", &registration("ada@example.com")).await;
    assert_answer!(answer, @r#"
    202 Accepted
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "accepted": true
      },
      "message": "You were mailed how it goes on: follow the link in the mail, then sign in.",
      "success": true
    }
    "#);
    let ada = api.sign_in("ada@example.com").await;
    assert_eq!(ada.0["email_verified"], false);
    let features = [
        get("/api/v1/agents"),
        get("/api/v1/agents/triage/status"),
        get("/api/v1/conversations"),
        get("/api/v1/conversations/homework"),
        get("/api/v1/runs/01890a5d-ac96-774b-bcce-b302099a8057"),
        post("/api/v1/runs/01890a5d-ac96-774b-bcce-b302099a8057/cancel"),
        post("/api/v1/chat").json(&json!({ "message": "Hello" })),
        post("/api/v1/chat/stream").json(&json!({ "message": "Hello" })),
    ];
    for call in features {
        let answer = api.send(call.bearer(ada.access())).await;
        assert_eq!(problem(&answer), (403, "email_unverified".to_owned()));
    }
    // Who they are, and what proves them, they may always see to.
    assert_eq!(status_of(&api, &ada).await, 200);
    assert_eq!(api.send(post("/api/v1/auth/email/send").bearer(ada.access())).await.status, 202);
    let token = token(&api, "verify_email", "ada@example.com").await;
    let answer = ask(&api, "/email/verify", &json!({ "token": token })).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "email_verified": true
      },
      "message": "The address is proved.",
      "success": true
    }
    "#);
    assert_eq!(api.send(get("/api/v1/conversations").bearer(ada.access())).await.status, 200);
    let me = api.send(get("/api/v1/auth/me").bearer(ada.access())).await.json();
    assert_eq!(
        (&me["data"]["email_verified"], &me["data"]["token_payload"]["email_verified"]),
        (&json!(true), &json!(false))
    );
    assert!(is_invalid(&ask(&api, "/email/verify", &json!({ "token": token })).await), "it is used");
    let again = api.send(post("/api/v1/auth/email/send").bearer(ada.access())).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["message"]),
        (202, &json!("Your address is proved already."))
    );
    api.test.drain_jobs().await;
}

async fn registering_answers_the_same_for_a_new_address_and_a_taken_one_w31(engine: TestEngine) {
    let api = Api::with_settings(engine, VERIFY).await;
    let new = ask(&api, "/register", &registration("ada@example.com")).await;
    let taken = ask(&api, "/register", &registration("Ada@example.com")).await;
    assert_eq!((new.status, &new.body), (taken.status, &taken.body));
    assert_eq!(mails(&api, "ada@example.com").await, ["already_registered", "verify_email"]);
    assert_eq!(sign_in(&api, "ada@example.com", PASSWORD).await, 200, "the first password is theirs");
    api.test.drain_jobs().await;
}

async fn a_one_time_token_is_used_once_under_a_race_w20(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let token = token(&api, "password_reset", "ada@example.com").await;
    let router = api.router.clone();
    let answers = at_once(64, move |number| {
        let body = json!({ "token": token, "new_password": format!("correct horse battery {number:02}") });
        let call = post("/api/v1/auth/password/confirm").json(&body);
        let router = router.clone();
        async move {
            router.oneshot(Request::<Body>::from(call)).await.expect("the router answers").status().as_u16()
        }
    })
    .await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    // Hashing has room for so many; those beyond are told to come again.
    assert!(answers.iter().all(|status| [200, 422, 503].contains(status)), "{answers:?}");
    let winner = answers.iter().position(|status| *status == 200).expect("one of them");
    assert_eq!(sign_in(&api, "ada@example.com", &format!("correct horse battery {winner:02}")).await, 200);
    api.test.drain_jobs().await;
}

async fn a_newer_token_ends_the_older_one_and_a_new_password_ends_all_w20(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let first = token(&api, "password_reset", "ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let second = token(&api, "password_reset", "ada@example.com").await;
    assert_ne!(first, second);
    assert!(is_invalid(&set(&api, &first, NEW).await), "a newer one took its place");
    assert_eq!(api.send(post("/api/v1/auth/email/send").bearer(ada.access())).await.status, 202);
    let proof = token(&api, "verify_email", "ada@example.com").await;
    let change = json!({ "current_password": PASSWORD, "new_password": NEW });
    assert_eq!(ask_as(&api, &ada, "/password/change", &change).await.status, 200);
    assert!(is_invalid(&set(&api, &second, "yet another horse battery").await));
    assert!(is_invalid(&ask(&api, "/email/verify", &json!({ "token": proof })).await));
    api.test.drain_jobs().await;
}

async fn a_token_that_is_over_or_forged_or_of_another_purpose_gets_the_one_answer(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let reset = token(&api, "password_reset", "ada@example.com").await;
    api.send(post("/api/v1/auth/email/send").bearer(ada.access())).await;
    let proof = token(&api, "verify_email", "ada@example.com").await;
    let mut forged = reset.clone();
    forged.replace_range(reset.len() - 4.., if reset.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    let wrong = set(&api, &proof, NEW).await;
    assert_answer!(wrong, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_one_time_token",
      "detail": "the token is not good: ask for a new mail",
      "errors": [],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_one_time_token"
    }
    "#);
    let without_id = |answer: &Answer| {
        let mut json = answer.json();
        json["request_id"] = Value::Null;
        json
    };
    for token in [forged.as_str(), "saas_mt_", "anything", ada.access(), ada.refresh()] {
        assert_eq!(without_id(&set(&api, token, NEW).await), without_id(&wrong), "{token}");
    }
    api.test.clock.advance(Duration::from_mins(30));
    assert_eq!(without_id(&set(&api, &reset, NEW).await), without_id(&wrong), "it is over");
    // One that nobody can use any more is not mailed either.
    api.test
        .saas
        .auth()
        .disable_user(
            &Actor::system("test"),
            ada.0["user_id"].as_str().expect("an id").parse().expect("an id"),
        )
        .await
        .expect("done");
    let before = api.test.mail.mails().len();
    forgot(&api, "ada@example.com").await;
    settled(&api).await;
    assert_eq!(api.test.mail.mails().len(), before);
    api.test.drain_jobs().await;
}

async fn a_token_is_good_for_the_address_alone_that_it_was_made_for_w20(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let token = token(&api, "password_reset", "ada@example.com").await;
    // Beside every command, as a restored backup would.
    let mut tx = api.test.begin().await;
    execute!(tx.conn(), "UPDATE saas_users SET email = 'eve@example.com', email_shown = 'eve@example.com'")
        .expect("done");
    tx.commit().await.expect("done");
    assert!(is_invalid(&set(&api, &token, NEW).await));
    api.test.drain_jobs().await;
}

async fn a_forgotten_password_is_set_by_mail_and_ends_every_session(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let answer = ask(&api, "/password/forgot", &json!({ "email": "ADA@example.com" })).await;
    assert_answer!(answer, @r#"
    202 Accepted
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "accepted": true
      },
      "message": "If the address has an account, it was mailed how to set a new password.",
      "success": true
    }
    "#);
    let token = token(&api, "password_reset", "ada@example.com").await;
    assert_answer!(set(&api, &token, NEW).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "password_set": true
      },
      "message": "The password is set: sign in with it.",
      "success": true
    }
    "#);
    assert_eq!(status_of(&api, &ada).await, 401);
    assert_eq!(ask(&api, "/refresh", &json!({ "refresh_token": ada.refresh() })).await.status, 401);
    assert_eq!(sign_in(&api, "ada@example.com", PASSWORD).await, 401);
    assert_eq!(sign_in(&api, "ada@example.com", NEW).await, 200);
    assert_eq!(mails(&api, "ada@example.com").await, ["password_changed", "password_reset", "welcome"]);
    let again = ask(&api, "/token", &json!({ "email": "ada@example.com", "password": NEW })).await.json();
    assert_eq!(again["email_verified"], true, "the mail came to them");
}

async fn a_password_that_is_not_accepted_leaves_the_token_good(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let token = token(&api, "password_reset", "ada@example.com").await;
    let weak = set(&api, &token, "short").await;
    assert_eq!(problem(&weak), (422, "invalid_password".to_owned()));
    assert_eq!(weak.wrong_fields(), [("new_password".to_owned(), "password_too_short".to_owned())]);
    assert_eq!(set(&api, &token, NEW).await.status, 200);
    api.test.drain_jobs().await;
}

async fn changing_a_password_ends_the_other_sessions_and_renews_this_one(engine: TestEngine) {
    let api = Api::start(engine).await;
    let other = api.register("ada@example.com").await;
    let this = api.sign_in("ada@example.com").await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    let answer = ask_as(&api, &this, "/password/change", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let renewed = Session(answer.json());
    for (session, status) in [(&other, 401), (&this, 401), (&renewed, 200)] {
        assert_eq!(status_of(&api, session).await, status);
    }
    assert_eq!(sign_in(&api, "ada@example.com", PASSWORD).await, 401);
    assert_eq!(mails(&api, "ada@example.com").await, ["password_changed", "welcome"]);
    api.test.drain_jobs().await;
}

async fn other_sessions_are_kept_on_request(engine: TestEngine) {
    let api = Api::start(engine).await;
    let other = api.register("ada@example.com").await;
    let this = api.sign_in("ada@example.com").await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW, "keep_other_sessions": true });
    let renewed = Session(ask_as(&api, &this, "/password/change", &body).await.json());
    for (session, status) in [(&other, 200), (&this, 401), (&renewed, 200)] {
        assert_eq!(status_of(&api, session).await, status);
    }
    api.test.drain_jobs().await;
}

async fn changing_a_password_counts_wrong_guesses_w39(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let guess = |password: &str| json!({ "current_password": password, "new_password": NEW });
    let wrong = ask_as(&api, &ada, "/password/change", &guess("not the password at all")).await;
    assert_answer!(wrong, @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "wrong_password",
      "detail": "the current password is wrong",
      "errors": [],
      "request_id": "[uuid]",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:saas:problem:wrong_password"
    }
    "#);
    // The same counter, whatever it is asked for.
    let change = json!({ "current_password": "not the password at all", "new_email": "b@example.com" });
    for _ in 0..4 {
        assert_eq!(
            problem(&ask_as(&api, &ada, "/email/change", &change).await),
            (403, "wrong_password".to_owned())
        );
    }
    let refused = ask_as(&api, &ada, "/password/change", &guess(PASSWORD)).await;
    assert_eq!(
        problem(&refused),
        (429, "too_many_requests".to_owned()),
        "not even the right one is compared"
    );
    assert_eq!(refused.header("retry-after"), "30");
    api.test.clock.advance(Duration::from_secs(29));
    assert_eq!(ask_as(&api, &ada, "/password/change", &guess(PASSWORD)).await.status, 429);
    api.test.clock.advance(Duration::from_secs(1));
    // Another wrong one, and it takes twice as long.
    let wrong = ask_as(&api, &ada, "/password/change", &guess("not the password at all")).await;
    assert_eq!(problem(&wrong), (403, "wrong_password".to_owned()));
    assert_eq!(ask_as(&api, &ada, "/password/change", &guess(PASSWORD)).await.header("retry-after"), "60");
    api.test.clock.advance(Duration::from_mins(1));
    let ada = Session(ask(&api, "/refresh", &json!({ "refresh_token": ada.refresh() })).await.json());
    assert_eq!(ask_as(&api, &ada, "/password/change", &guess(PASSWORD)).await.status, 200);
    api.test.drain_jobs().await;
}

/// Makes a user a member of another one's tenant.
async fn join(api: &Api, member: &Session, of: &Session, role: Role) {
    let uuid = |text: &Value| -> uuid::Uuid { text.as_str().expect("an id").parse().expect("an id") };
    let (user, tenant) = (uuid(&member.0["user_id"]), uuid(&of.0["tenant_id"]));
    let mut tx = api.test.begin().await;
    let now = api.test.saas.clock().now();
    execute!(
        tx.conn(),
        "INSERT INTO saas_memberships (tenant_id, user_id, role, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
        tenant,
        user,
        role.as_str(),
        now,
    )
    .expect("they join");
    tx.commit().await.expect("they join");
}

/// A session of a member in the tenant of another one.
async fn in_tenant(api: &Api, email: &str, of: &Session) -> Session {
    let mut body = credentials(email);
    body["tenant_id"] = json!(of.tenant());
    Session(ask(api, "/token", &body).await.json())
}

async fn an_administrator_has_a_member_mailed_and_sets_no_password_w24(engine: TestEngine) {
    let api = Api::start(engine).await;
    let owner = api.register("owner@example.com").await;
    let bob = api.register("bob@example.com").await;
    join(&api, &bob, &owner, Role::Member).await;
    let answer = ask_as(&api, &owner, "/password/reset", &json!({ "user_id": bob.0["user_id"] })).await;
    assert_answer!(answer, @r#"
    202 Accepted
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "accepted": true
      },
      "message": "The member was mailed how to set a new password.",
      "success": true
    }
    "#);
    assert_eq!(status_of(&api, &bob).await, 200, "nothing changes until they use it");
    assert_eq!(sign_in(&api, "bob@example.com", "wrong password for bob").await, 401);
    let token = token(&api, "password_reset_by_admin", "bob@example.com").await;
    assert_eq!(set(&api, &token, NEW).await.status, 200);
    assert_eq!(status_of(&api, &bob).await, 401);
    let setting = json!({ "user_id": bob.0["user_id"], "new_password": NEW });
    let refused = ask_as(&api, &owner, "/password/reset", &setting).await;
    assert_eq!(refused.wrong_fields(), [("new_password".to_owned(), "invalid".to_owned())]);
    api.test.drain_jobs().await;
}

async fn an_administrator_reaches_nobody_above_them_and_nobody_elsewhere_w24(engine: TestEngine) {
    let api = Api::start(engine).await;
    let owner = api.register("owner@example.com").await;
    let (admin, member) = (api.register("admin@example.com").await, api.register("member@example.com").await);
    let stranger = api.register("stranger@example.com").await;
    join(&api, &admin, &owner, Role::Admin).await;
    join(&api, &member, &owner, Role::Member).await;
    let admin = in_tenant(&api, "admin@example.com", &owner).await;
    let member = in_tenant(&api, "member@example.com", &owner).await;
    let reset = async |by: &Session, of: &Session| {
        ask_as(&api, by, "/password/reset", &json!({ "user_id": of.0["user_id"] })).await.problem()
    };
    assert_eq!(reset(&admin, &owner).await, (403, "forbidden".to_owned()), "an owner is above them");
    assert_eq!(reset(&member, &member).await, (403, "forbidden".to_owned()), "a member is no administrator");
    assert_eq!(reset(&admin, &stranger).await, (404, "user_not_found".to_owned()));
    assert_eq!(reset(&owner, &stranger).await, (404, "user_not_found".to_owned()));
    assert_eq!(reset(&admin, &member).await.0, 202);
    assert_eq!(reset(&admin, &admin).await.0, 202);
    assert!(!mails(&api, "owner@example.com").await.contains(&"password_reset_by_admin"));
    assert!(!mails(&api, "stranger@example.com").await.contains(&"password_reset_by_admin"));
    api.test.drain_jobs().await;
}

async fn another_address_is_confirmed_at_the_new_one(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let reset = token(&api, "password_reset", "ada@example.com").await;
    let body = json!({ "new_email": "Ada@analytical.example", "current_password": PASSWORD });
    assert_answer!(ask_as(&api, &ada, "/email/change", &body).await, @r#"
    202 Accepted
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "accepted": true
      },
      "message": "The new address was mailed how to confirm it.",
      "success": true
    }
    "#);
    assert_eq!(
        sign_in(&api, "ada@example.com", PASSWORD).await,
        200,
        "nothing changes before it is confirmed"
    );
    let confirm = token(&api, "email_change_confirm", "ada@analytical.example").await;
    token(&api, "email_change_notice", "ada@example.com").await;
    let answer = ask(&api, "/email/change/confirm", &json!({ "token": confirm })).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "email_set": true
      },
      "message": "The address is changed.",
      "success": true
    }
    "#);
    assert_eq!(sign_in(&api, "ada@example.com", PASSWORD).await, 401);
    let now =
        ask(&api, "/token", &json!({ "email": "ada@analytical.example", "password": PASSWORD })).await.json();
    assert_eq!(now["email_verified"], true);
    let me = api.send(get("/api/v1/auth/me").bearer(ada.access())).await.json();
    assert_eq!(me["data"]["email"], "Ada@analytical.example");
    assert!(is_invalid(&set(&api, &reset, NEW).await), "it was made for the address before");
    let same = json!({ "new_email": "Ada@analytical.example", "current_password": PASSWORD });
    let refused = ask_as(&api, &ada, "/email/change", &same).await;
    assert_eq!(refused.wrong_fields(), [("new_email".to_owned(), "same_address".to_owned())]);
    api.test.drain_jobs().await;
}

async fn a_taken_address_is_not_told_to_who_wants_it_but_to_its_owner(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    api.register("bob@example.com").await;
    let change = |new: &str| json!({ "new_email": new, "current_password": PASSWORD });
    let free = ask_as(&api, &ada, "/email/change", &change("free@example.com")).await;
    let early = token(&api, "email_change_confirm", "free@example.com").await;
    let taken = ask_as(&api, &ada, "/email/change", &change("bob@example.com")).await;
    assert_eq!((free.status, &free.body), (taken.status, &taken.body));
    assert_eq!(mails(&api, "bob@example.com").await, ["already_registered", "welcome"]);
    assert_eq!(
        mails(&api, "ada@example.com").await,
        ["email_change_notice", "email_change_notice", "welcome"]
    );
    assert!(
        is_invalid(&ask(&api, "/email/change/confirm", &json!({ "token": early })).await),
        "asked for again"
    );
    // Somebody takes it between the mail and the click.
    ask_as(&api, &ada, "/email/change", &change("late@example.com")).await;
    let late = token(&api, "email_change_confirm", "late@example.com").await;
    api.register("late@example.com").await;
    assert!(is_invalid(&ask(&api, "/email/change/confirm", &json!({ "token": late })).await));
    assert_eq!(sign_in(&api, "ada@example.com", PASSWORD).await, 200);
}

async fn the_old_address_takes_the_account_back(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let body = json!({ "new_email": "eve@example.com", "current_password": PASSWORD });
    ask_as(&api, &ada, "/email/change", &body).await;
    let confirm = token(&api, "email_change_confirm", "eve@example.com").await;
    let undo = token(&api, "email_change_notice", "ada@example.com").await;
    assert_eq!(ask(&api, "/email/change/confirm", &json!({ "token": confirm })).await.status, 200);
    api.test.clock.advance(Duration::from_hours(7 * 24 - 1));
    let answer = ask(&api, "/email/change/undo", &json!({ "token": undo })).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "email_set": true
      },
      "message": "The account has its old address, and every session has ended: set a new password with the mail that you get.",
      "success": true
    }
    "#);
    for email in ["eve@example.com", "ada@example.com"] {
        assert_eq!(sign_in(&api, email, PASSWORD).await, 401, "a new password is needed");
    }
    assert_eq!(ask(&api, "/refresh", &json!({ "refresh_token": ada.refresh() })).await.status, 401);
    let reset = token(&api, "password_reset", "ada@example.com").await;
    assert_eq!(set(&api, &reset, NEW).await.status, 200);
    assert_eq!(sign_in(&api, "ada@example.com", NEW).await, 200);
    assert!(is_invalid(&ask(&api, "/email/change/undo", &json!({ "token": undo })).await), "it is used");
    api.test.drain_jobs().await;
}

async fn whoever_took_an_account_over_cannot_end_its_undo(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let change = |new: &str, password: &str| json!({ "new_email": new, "current_password": password });
    // With Ada's password: to one address, and on to another, and another password.
    ask_as(&api, &ada, "/email/change", &change("eve@example.com", PASSWORD)).await;
    let undo = token(&api, "email_change_notice", "ada@example.com").await;
    let confirm = token(&api, "email_change_confirm", "eve@example.com").await;
    ask(&api, "/email/change/confirm", &json!({ "token": confirm })).await;
    api.test.clock.advance(Duration::from_secs(1));
    ask_as(&api, &ada, "/email/change", &change("mallory@example.com", PASSWORD)).await;
    let second = token(&api, "email_change_notice", "eve@example.com").await;
    let confirm = token(&api, "email_change_confirm", "mallory@example.com").await;
    ask(&api, "/email/change/confirm", &json!({ "token": confirm })).await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    assert_eq!(ask_as(&api, &ada, "/password/change", &body).await.status, 200);
    // Back one step, which ends nothing of what was there before it.
    assert_eq!(ask(&api, "/email/change/undo", &json!({ "token": second })).await.status, 200);
    assert_eq!(ask(&api, "/email/change/undo", &json!({ "token": undo })).await.status, 200);
    let reset = token(&api, "password_reset", "ada@example.com").await;
    assert_eq!(set(&api, &reset, "yet another horse battery").await.status, 200);
    assert_eq!(sign_in(&api, "ada@example.com", "yet another horse battery").await, 200);
    assert_eq!(sign_in(&api, "mallory@example.com", NEW).await, 401);
    api.test.drain_jobs().await;
}

/// Hashes as the product does, but keeps what it was compared with until it is let go.
#[derive(Debug)]
struct Held {
    inner: HashPool,
    holds: AtomicBool,
    compared: Notify,
    go: Notify,
}

#[async_trait::async_trait]
impl PasswordHasher for Held {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.inner.hash(password).await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        let right = self.inner.verify(password, hash).await;
        if self.holds.swap(false, Ordering::SeqCst) {
            self.compared.notify_one();
            self.go.notified().await;
        }
        right
    }

    fn is_current(&self, hash: &PasswordHash) -> bool {
        self.inner.is_current(hash)
    }

    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError> {
        self.inner.advise(password, context).await
    }
}

async fn whoever_signs_in_with_a_password_while_it_is_reset_does_not_get_in(engine: TestEngine) {
    let params = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
    let entropy = Arc::new(SeededEntropy::new(3));
    let peppers = Keyring::generate(&*entropy);
    let argon2id = Argon2id::new(params, peppers, entropy).expect("the parameters are good");
    let hasher = Arc::new(Held {
        inner: HashPool::new(argon2id, 2, 16),
        holds: AtomicBool::new(false),
        compared: Notify::new(),
        go: Notify::new(),
    });
    let port = Arc::clone(&hasher);
    let api = Api::of(TestSaas::with_ports(engine, [], |builder| builder.password_hasher(port)).await);
    api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let token = token(&api, "password_reset", "ada@example.com").await;
    hasher.holds.store(true, Ordering::SeqCst);
    let reset = async {
        hasher.compared.notified().await;
        assert_eq!(set(&api, &token, NEW).await.status, 200);
        hasher.go.notify_one();
    };
    let (status, ()) = tokio::join!(sign_in(&api, "ada@example.com", PASSWORD), reset);
    assert_eq!(
        status, 401,
        "the password was right when it was compared, and is not when the session begins"
    );
    api.test.drain_jobs().await;
}

async fn mails_are_asked_for_so_often_an_hour(engine: TestEngine) {
    let limits =
        [("PASSWORD_RESET_EMAIL_RATE_LIMIT_PER_HOUR", "2"), ("PASSWORD_RESET_IP_RATE_LIMIT_PER_HOUR", "4")];
    let api = Api::with_settings(engine, limits).await;
    api.register("ada@example.com").await;
    let forgot = async |email: &str| ask(&api, "/password/forgot", &json!({ "email": email })).await;
    for email in ["ada@example.com", "nobody@example.com"] {
        let two = [forgot(email).await.status.as_u16(), forgot(email).await.status.as_u16()];
        assert_eq!(two, [202, 202], "known or not");
    }
    let refused = forgot("nobody@example.com").await;
    assert_answer!(refused, @r#"
    429 Too Many Requests
    cache-control: no-store
    content-type: application/problem+json
    retry-after: 900
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "too_many_requests",
      "detail": "that was asked for too often: try again later",
      "errors": [],
      "request_id": "[uuid]",
      "status": 429,
      "title": "Too Many Requests",
      "type": "urn:saas:problem:too_many_requests"
    }
    "#);
    assert_eq!(forgot("somebody@example.com").await.status, 429, "the network has asked for four");
    let elsewhere = post("/api/v1/auth/password/forgot").peer("198.51.100.7".parse().expect("an address"));
    assert_eq!(api.send(elsewhere.json(&json!({ "email": "somebody@example.com" }))).await.status, 202);
    let elsewhere = post("/api/v1/auth/password/forgot").peer("198.51.100.7".parse().expect("an address"));
    assert_eq!(api.send(elsewhere.json(&json!({ "email": "ada@example.com" }))).await.status, 429);
    api.test.clock.advance(Duration::from_hours(1));
    assert_eq!(forgot("ada@example.com").await.status, 202);
    api.test.drain_jobs().await;
}

async fn no_token_stands_in_the_database(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    forgot(&api, "ada@example.com").await;
    let body = json!({ "new_email": "hidden@example.com", "current_password": PASSWORD });
    ask_as(&api, &ada, "/email/change", &body).await;
    let reset = token(&api, "password_reset", "ada@example.com").await;
    let mut conn = api.test.saas.storage().read(Reach::Platform("test")).await.expect("it answers");
    let query =
        "SELECT hash, address_hash, address_envelope FROM saas_one_time_tokens WHERE user_id IS NOT NULL";
    let rows = fetch_all!(&mut conn, (Vec<u8>, Vec<u8>, Option<Vec<u8>>), query).expect("it answers");
    assert_eq!(rows.len(), 3);
    for (hash, address, envelope) in rows {
        for bytes in [hash, address, envelope.unwrap_or_default()] {
            assert!(!bytes.windows(6).any(|window| window == b"hidden" || window == b"exampl"), "{bytes:?}");
            // What is stored opens nothing.
            let text = saas_core::text::hex(&bytes);
            assert!(is_invalid(&set(&api, &format!("saas_mt_{text}"), NEW).await));
        }
    }
    assert_eq!(set(&api, &reset, NEW).await.status, 200);
    api.test.drain_jobs().await;
}

async fn links_are_made_of_the_public_address_whatever_host_was_named(engine: TestEngine) {
    let settings = [("APP_PUBLIC_URL", "https://app.example.com"), ("ALLOWED_HOSTS", "*")];
    let api = Api::with_settings(engine, settings).await;
    api.register("ada@example.com").await;
    let call = post("/api/v1/auth/password/forgot")
        .header(http::header::HOST, "evil.example.com")
        .header("x-forwarded-host".parse().expect("a name"), "evil.example.com");
    assert_eq!(api.send(call.json(&json!({ "email": "ada@example.com" }))).await.status, 202);
    token(&api, "password_reset", "ada@example.com").await;
    let mails = api.test.mail.mails();
    let mail = mails.iter().find(|mail| mail.template == "password_reset").expect("there is one");
    assert!(mail.text.contains("https://app.example.com/reset-password?token=saas_mt_"), "{}", mail.text);
    assert!(!mail.text.contains("evil") && !mail.html.contains("evil"));
    api.test.drain_jobs().await;
}
