//! What the earlier system's clients rely on, and what it did wrong, which must not come back.

use std::collections::BTreeSet;

use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{PASSWORD, TestDatabase, TestEngine},
};
use serde_json::{Value, json};

use crate::harness::{Api, delete, get, on_both_engines, post, registration, registration_with};

on_both_engines! {
    its_success_fields_are_all_there,
    an_empty_database_migrates_on_first_start,
    a_policy_failure_is_a_422_and_never_a_500,
    a_long_user_agent_or_tenant_hint_is_no_server_error,
}

/// The fields of a login (backend.md 1.2), to which registering adds `tenant_slug` (1.6).
const LOGIN: [&str; 12] = [
    "access_token",
    "refresh_token",
    "token_type",
    "expires_at",
    "refresh_expires_at",
    "kid",
    "refresh_kid",
    "scopes",
    "tenant_id",
    "user_id",
    "email_verified",
    "session_id",
];
const SESSIONS: [&str; 4] = ["sessions", "total", "limit", "offset"];
const SESSION: [&str; 10] = [
    "id",
    "tenant_id",
    "created_at",
    "last_seen_at",
    "revoked_at",
    "ip_address_masked",
    "fingerprint",
    "client",
    "location",
    "current",
];
const CLIENT: [&str; 4] = ["platform", "browser", "device", "user_agent"];

fn assert_members<const N: usize>(value: &Value, expected: [&str; N]) {
    let members: BTreeSet<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(expected));
}

async fn its_success_fields_are_all_there(engine: TestEngine) {
    let api = Api::start(engine).await;
    let mut registered = api.register("ada@example.com").await;
    assert!(registered.0.as_object_mut().is_some_and(|body| body.remove("tenant_slug").is_some()));
    assert!(registered.0.as_object_mut().is_some_and(|body| body.remove("password_advice").is_some()));
    let mut session = api.sign_in("ada@example.com").await;
    assert!(session.0.as_object_mut().is_some_and(|body| body.remove("device_token").is_some()), "it is new");
    let refresh_token = json!({ "refresh_token": session.refresh() });
    let mut refreshed = api.send(post("/api/v1/auth/refresh").json(&refresh_token)).await.json();
    // What came since.
    for answer in [&mut registered.0, &mut session.0, &mut refreshed] {
        let body = answer.as_object_mut().expect("an object");
        assert!(body.remove("password_change_required").is_some());
    }
    for login in [&registered.0, &session.0, &refreshed] {
        assert_members(login, LOGIN);
        assert_eq!((&login["token_type"], &login["refresh_kid"]), (&json!("bearer"), &Value::Null));
    }

    let list = api.send(get("/api/v1/auth/sessions").bearer(session.access())).await.json();
    assert_members(&list, SESSIONS);
    assert_members(&list["sessions"][0], SESSION);
    assert_members(&list["sessions"][0]["client"], CLIENT);

    let me = api.send(get("/api/v1/auth/me").bearer(session.access())).await.json();
    assert_eq!(me["data"]["user_id"], session.0["user_id"]);
    assert!(me["data"]["token_payload"].is_object());

    let path = format!("/api/v1/auth/sessions/{}", registered.id());
    let ended = api.send(delete(&path).bearer(session.access())).await.json();
    assert_eq!(ended["data"], json!({ "revoked": true }));
    let out = post("/api/v1/auth/logout").bearer(session.access()).json(&refresh_token);
    assert_eq!(api.send(out).await.json()["data"], json!({ "revoked": true }));
    let session = api.sign_in("ada@example.com").await;
    let all = api.send(post("/api/v1/auth/logout/all").bearer(session.access())).await.json();
    assert_eq!(all["data"], json!({ "revoked": 1 }));
}

/// W42: a fresh database could not be migrated.
async fn an_empty_database_migrates_on_first_start(engine: TestEngine) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let data = folder.path().display().to_string();
    let database = TestDatabase::create(engine).await;
    let flags = [("DATABASE_URL", database.url()), ("DATA_DIR", data.as_str())];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
    assert!(settings.auto_run_migrations());
    let blueprint = Saas::builder(settings).build().expect("the settings fit");
    assert!(blueprint.open().await.is_err(), "an empty database is not served");
    blueprint.migrate().await.expect("an empty database migrates");
    blueprint.migrate().await.expect("migrating again changes nothing");
    let saas = blueprint.open().await.expect("a migrated database opens");
    assert!(saas.readiness().await.is_ready());
    saas.close().await;
}

/// W45: what the policy refuses was a 500, and a 422 repeated the password.
async fn a_policy_failure_is_a_422_and_never_a_500(engine: TestEngine) {
    let api = Api::start(engine).await;
    let weak = "Tr0ub4dor&3";
    let cases = [
        json!({ "password": weak }),
        json!({ "password": weak, "accept_terms": false }),
        json!({ "password": weak, "accept_terms": null }),
        json!({ "password": weak, "email": "no address" }),
        json!({ "password": weak, "tenant_name": "x" }),
        json!({ "password": weak, "trial_days": -1 }),
        json!({ "password": [weak] }),
        json!({ "password": "" }),
        json!({ "password": "x".repeat(100_000) }),
    ];
    for changes in cases {
        let body = registration_with("ada@example.com", &changes);
        let answer = api.send(post("/api/v1/auth/register").json(&body)).await;
        assert_eq!(answer.status, 422, "{changes}");
        assert!(!answer.wrong_fields().is_empty() && !answer.text().contains(weak), "{}", answer.text());
    }
}

/// W51: a user agent above 512 characters or a tenant hint above 64 was a 500.
async fn a_long_user_agent_or_tenant_hint_is_no_server_error(engine: TestEngine) {
    let api = Api::start(engine).await;
    let register = post("/api/v1/auth/register").json(&registration("ada@example.com"));
    assert_eq!(api.send(register.user_agent("x".repeat(8000))).await.status, 201);
    for hint in ["1".repeat(500), "x".repeat(65), "🦀".repeat(500)] {
        let body = json!({ "email": "ada@example.com", "password": PASSWORD, "tenant_id": hint });
        let answer = api.send(post("/api/v1/auth/token").json(&body)).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.wrong_fields(), [("tenant_id".to_owned(), "invalid".to_owned())]);
    }
}

/// W50: without the optional parts installed, the program did not even load.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn nothing_optional_is_needed_to_open_and_serve() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let data = folder.path().join("var").display().to_string();
    let sources = Sources::empty().with_flags([("DATA_DIR", data.as_str())]);
    let blueprint = Saas::builder(Settings::load(&sources).expect("the defaults are valid"))
        .build()
        .expect("the defaults fit");
    blueprint.migrate().await.expect("a new database migrates");
    let saas = blueprint.open().await.expect("the defaults open");
    let request = http::Request::get("/health/ready").body(axum::body::Body::empty()).expect("a request");
    let answer =
        tower::ServiceExt::oneshot(saas_http::app(&saas), request).await.expect("the router always answers");
    assert_eq!(answer.status(), 200);
    saas.close().await;
}
