//! What fields take: the odd values that people and programs send.

use saas_kit::testing::{PASSWORD, TestEngine};
use serde_json::{Value, json};

use crate::harness::{Api, get, on_both_engines, post, registration_with};

on_both_engines! {
    an_address_with_upper_case_and_plus_is_one_identity,
    an_empty_tenant_id_is_the_same_as_none,
    a_tenant_name_of_128_emoji_is_taken,
    a_name_with_u_0000_is_a_422,
    a_password_may_hold_anything_but_is_never_cut,
    display_name_may_be_null,
    two_tenants_of_one_name_get_slugs_of_their_own,
}

async fn an_address_with_upper_case_and_plus_is_one_identity(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("Ada.Lovelace+Engines@Example.COM").await;
    let me = api.send(get("/api/v1/auth/me").bearer(session.access())).await.json();
    assert_eq!(me["data"]["email"], "Ada.Lovelace+Engines@Example.COM");
    for spelling in ["ada.lovelace+engines@example.com", " ADA.LOVELACE+ENGINES@EXAMPLE.COM "] {
        assert_eq!(api.sign_in(spelling).await.0["user_id"], me["data"]["user_id"]);
    }
    let without_plus = json!({ "email": "ada.lovelace@example.com", "password": PASSWORD });
    assert_eq!(api.send(post("/api/v1/auth/token").json(&without_plus)).await.status, 401);
}

async fn an_empty_tenant_id_is_the_same_as_none(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    for tenant in [json!(""), Value::Null, json!(session.tenant())] {
        let body = json!({ "email": "ada@example.com", "password": PASSWORD, "tenant_id": tenant });
        let answer = api.send(post("/api/v1/auth/token").json(&body)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["tenant_id"]), (200, &json!(session.tenant())));
    }
}

async fn a_tenant_name_of_128_emoji_is_taken(engine: TestEngine) {
    let api = Api::start(engine).await;
    let name = "🦀".repeat(128);
    let body = registration_with("ada@example.com", &json!({ "tenant_name": name, "display_name": name }));
    let answer = api.send(post("/api/v1/auth/register").json(&body)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["tenant_slug"]), (201, &json!("tenant")));
    let body = registration_with("eve@example.com", &json!({ "tenant_name": name.clone() + "🦀" }));
    let answer = api.send(post("/api/v1/auth/register").json(&body)).await;
    assert_eq!(answer.wrong_fields(), [("tenant_name".to_owned(), "invalid".to_owned())]);
}

async fn a_name_with_u_0000_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = registration_with(
        "ada\u{0}@example.com",
        &json!({ "tenant_name": "Analytical\u{0}Engines", "display_name": "A\u{0}da" }),
    );
    let answer = api.send(post("/api/v1/auth/register").json(&body)).await;
    let names: Vec<String> = answer.wrong_fields().into_iter().map(|(field, _)| field).collect();
    assert_eq!((answer.status.as_u16(), names.join(" ").as_str()), (422, "display_name email tenant_name"));
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "tenant_id": "\u{0}" });
    assert_eq!(api.send(post("/api/v1/auth/token").json(&body)).await.status, 422);
}

async fn a_password_may_hold_anything_but_is_never_cut(engine: TestEngine) {
    let api = Api::start(engine).await;
    let password = "  🦀\u{7}\u{0} ünïcode, spaces and controls  ";
    let body = registration_with("ada@example.com", &json!({ "password": password }));
    assert_eq!(api.send(post("/api/v1/auth/register").json(&body)).await.status, 201);
    for (tried, status) in
        [(password, 200), (password.trim(), 401), (password.split('\u{0}').next().unwrap_or(""), 401)]
    {
        let body = json!({ "email": "ada@example.com", "password": tried });
        assert_eq!(api.send(post("/api/v1/auth/token").json(&body)).await.status, status, "{tried:?}");
    }
}

async fn display_name_may_be_null(engine: TestEngine) {
    let api = Api::start(engine).await;
    let mut body = registration_with("ada@example.com", &json!({}));
    body["display_name"] = Value::Null;
    let answer = api.send(post("/api/v1/auth/register").json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let token = answer.json()["access_token"].as_str().expect("there is a token").to_owned();
    assert_eq!(
        api.send(get("/api/v1/auth/me").bearer(&token)).await.json()["data"]["display_name"],
        Value::Null
    );
}

async fn two_tenants_of_one_name_get_slugs_of_their_own(engine: TestEngine) {
    let api = Api::start(engine).await;
    let first = api.register("ada@example.com").await;
    let second = api.register("eve@example.com").await;
    assert_eq!(first.0["tenant_slug"], "analytical-engines");
    let slug = second.0["tenant_slug"].as_str().expect("there is a slug");
    assert!(slug.starts_with("analytical-engines-"), "{slug}");
}
