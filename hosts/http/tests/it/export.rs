//! The export of an account.

use std::{collections::BTreeMap, fmt::Write};

use futures_util::TryStreamExt;
use saas_core::{Actor, Fault, Reach, Storage, UserId};
use saas_kit::testing::{PASSWORD, TestEngine};
use saas_sql::fetch_one;
use serde_json::{Value, json};

use crate::harness::{Api, Session, get, on_both_engines, post};

mod columns;

on_both_engines! {
    an_account_is_exported_whole_and_nobody_elses_with_it,
    a_wrong_password_exports_nothing_and_is_counted_w39,
    an_operator_exports_anybody_and_nobody_else_does,
    every_column_is_in_the_export_or_left_out_for_a_reason,
}

const EXPORT: &str = "/api/v1/auth/account/export";

async fn chat(api: &Api, session: &Session, message: &str) {
    let call = post("/api/v1/chat").bearer(session.access());
    assert_eq!(api.send(call.json(&json!({ "message": message }))).await.status, 200);
}

fn user(session: &Session) -> UserId {
    session.0["user_id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

/// What an operator gets.
async fn by_operator(api: &Api, user: UserId) -> String {
    let export = api.test.saas.export_account(&Actor::system("test"), user).await.expect("they are there");
    let chunks: Vec<Vec<u8>> = export.chunks().try_collect().await.expect("it is whole");
    String::from_utf8(chunks.concat()).expect("JSON is text")
}

/// The names of an object's members, sorted.
fn members(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn an_account_is_exported_whole_and_nobody_elses_with_it(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (ada, bob) = (api.register("ada@example.com").await, api.register("bob@example.com").await);
    chat(&api, &ada, "What is 6 * 7?").await;
    chat(&api, &bob, "What is 8 * 9?").await;
    let change = json!({ "new_email": "lovelace@example.com", "current_password": PASSWORD });
    let change = post("/api/v1/auth/email/change").bearer(ada.access()).json(&change);
    assert_eq!(api.send(change).await.status, 202);
    // Ended ones, too, and what strangers did to them.
    let other = api.sign_in("ada@example.com").await;
    for _ in 0..2 {
        api.send(post("/api/v1/auth/refresh").json(&json!({ "refresh_token": other.refresh() }))).await;
        api.test.clock.advance(std::time::Duration::from_mins(2));
    }
    let call = post(EXPORT).bearer(ada.access()).json(&json!({ "current_password": PASSWORD }));
    let answer = api.send(call).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"account.json\"");
    let document = answer.json();
    let mut shape = String::new();
    let mut show = |name: &str, object: &Value| {
        writeln!(shape, "{name}: {}", members(object).join(" ")).expect("a text takes it");
    };
    show("document", &document);
    show("user", &document["user"]);
    for (list, count) in
        [("sessions", 2), ("mailed_tokens", 2), ("memberships", 1), ("conversations", 1), ("audit", 7)]
    {
        assert_eq!(document[list].as_array().map(Vec::len), Some(count), "{list}: {document:#}");
        show(list, &document[list][0]);
    }
    let conversation = &document["conversations"][0];
    for (list, count) in [("messages", 2), ("runs", 1), ("memory", 2)] {
        assert_eq!(conversation[list].as_array().map(Vec::len), Some(count), "{list}: {document:#}");
        show(list, &conversation[list][0]);
    }
    insta::assert_snapshot!(shape, @"
    document: audit conversations exported_at guesses mailed_tokens memberships second_factor sessions user version
    user: created_at display_name email email_identity email_verified_at has_password id password_compromised_at status
    sessions: absolute_expires_at authenticated_at authenticated_by browser created_at device fingerprint id idle_expires_at ip_address_masked last_seen_at place platform revoked_at tenant_id user_agent
    mailed_tokens: addresses created_at expires_at id purpose used_at
    memberships: role role_since since tenant_id tenant_name tenant_slug tenant_suspended
    conversations: agent conversation_id created_at id memory messages runs tenant_id title updated_at
    audit: action actor at id outcome reason request_id subject tenant_id
    messages: created_at partial position run_id speaker text
    runs: agent answer cancel_requested created_at error finished_at id idempotency_key input model position status usage
    memory: index item message
    ");
    assert_eq!(document["user"]["email"], "ada@example.com");
    assert_eq!(conversation["messages"][0]["text"], "What is 6 * 7?");
    let mut addresses: Vec<_> = document["mailed_tokens"].as_array().expect("a list").iter().collect();
    addresses.sort_by_key(|token| token["purpose"].to_string());
    assert_eq!(addresses[0]["addresses"], json!(["lovelace@example.com"]));
    assert_eq!(addresses[1]["addresses"], json!(["ada@example.com", "lovelace@example.com"]));
    let of = |action: &str| {
        let rows = document["audit"].as_array().expect("a list").iter();
        rows.filter(|row| row["action"] == action).map(|row| row["actor"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("auth.user.exported").len(), 1);
    assert_eq!(of("auth.refresh_token.reused"), ["anonymous"], "whoever it was");
    // Nothing of anybody else's, and nothing that opens anything.
    let text = answer.text();
    for foreign in
        ["bob@example.com", "8 * 9", bob.id(), bob.tenant(), bob.0["user_id"].as_str().expect("an id")]
    {
        assert!(!text.contains(foreign), "{foreign}: {text}");
    }
    for secret in ["$argon2", "saas_rt_", "saas_mt_", "eyJ", PASSWORD] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    api.test.drain_jobs().await;
}

async fn a_wrong_password_exports_nothing_and_is_counted_w39(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let ask = async |password: &str| {
        let call = post(EXPORT).bearer(ada.access());
        api.send(call.json(&json!({ "current_password": password }))).await
    };
    for _ in 0..5 {
        assert_eq!(ask("not the password at all").await.problem(), (403, "wrong_password".to_owned()));
    }
    let answer = ask(PASSWORD).await;
    assert_eq!(answer.problem(), (429, "too_many_requests".to_owned()));
    assert_eq!(api.send(post(EXPORT).json(&json!({ "current_password": PASSWORD }))).await.status, 401);
    assert_eq!(api.send(get("/api/v1/auth/me").bearer(ada.access())).await.status, 200);
    let mut conn = api.test.saas.storage().read(Reach::Platform("test")).await.expect("it answers");
    let query = "SELECT COUNT(*) FROM saas_audit WHERE action = 'auth.user.exported'";
    let (exported,) = fetch_one!(&mut conn, (i64,), query).expect("it answers");
    assert_eq!(exported, 0);
}

async fn an_operator_exports_anybody_and_nobody_else_does(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (ada, bob) = (api.test.register("ada@example.com").await, api.test.register("bob@example.com").await);
    let me = api.test.actor(&ada.tokens).await;
    let refused = api.test.saas.export_account(&me, bob.user.id).await.expect_err("nobody but an operator");
    assert_eq!(refused.report().code, "forbidden");
    let document: Value = serde_json::from_str(&by_operator(&api, bob.user.id).await).expect("it is JSON");
    assert_eq!(document["user"]["email"], "bob@example.com");
    let actors: BTreeMap<_, _> = document["audit"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (row["action"].to_string(), row["actor"].clone()))
        .collect();
    assert_eq!(actors["\"auth.user.exported\""], "system:test");
    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an id");
    let refused = api.test.saas.export_account(&Actor::system("test"), nobody).await;
    assert_eq!(refused.expect_err("nobody is there").report().code, "user_not_found");
}

async fn every_column_is_in_the_export_or_left_out_for_a_reason(engine: TestEngine) {
    columns::are_all_in_the_export_or_left_out(engine).await;
}
