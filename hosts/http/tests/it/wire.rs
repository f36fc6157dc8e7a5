//! Every success body, whole, as clients parse it.

use saas_kit::testing::TestEngine;
use serde_json::json;

use crate::harness::{
    Api, assert_answer, credentials, delete, get, on_both_engines, post, registration, registration_with,
};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

on_both_engines! {
    registering_answers_201_with_a_session_and_the_slug,
    signing_in_answers_200_with_a_session,
    refreshing_answers_200_with_the_same_session,
    signing_out_answers_whether_a_session_ended,
    signing_out_everywhere_answers_how_many_sessions_ended,
    me_answers_who_the_token_is_of,
    sessions_answers_a_page_of_them,
    ending_a_session_answers_that_it_ended,
    health_answers_while_the_process_lives,
    ready_answers_when_everything_is_there,
    the_root_says_what_runs_here,
    the_keys_are_published,
}

async fn registering_answers_201_with_a_session_and_the_slug(engine: TestEngine) {
    let api = Api::start(engine).await;
    let answer = api.send(post("/api/v1/auth/register").json(&registration("ada@example.com"))).await;
    assert_answer!(answer, @r#"
    201 Created
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "access_token": "[access token]",
      "email_verified": false,
      "expires_at": "2026-01-01T00:15:00Z",
      "kid": "[kid]",
      "password_advice": null,
      "password_change_required": false,
      "refresh_expires_at": "2026-01-31T00:00:00Z",
      "refresh_kid": null,
      "refresh_token": "[refresh token]",
      "scopes": [
        "activity:read",
        "billing:manage",
        "billing:read",
        "conversations:delete",
        "conversations:read",
        "conversations:write",
        "support:read",
        "tools:read",
        "workflows:delete"
      ],
      "session_id": "[uuid]",
      "tenant_id": "[uuid]",
      "tenant_slug": "analytical-engines",
      "token_type": "bearer",
      "user_id": "[uuid]"
    }
    "#);
}

async fn signing_in_answers_200_with_a_session(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    let answer = api.send(post("/api/v1/auth/token").json(&credentials("ada@example.com"))).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "access_token": "[access token]",
      "device_token": "[device token]",
      "email_verified": false,
      "expires_at": "2026-01-01T00:15:00Z",
      "kid": "[kid]",
      "password_change_required": false,
      "refresh_expires_at": "2026-01-31T00:00:00Z",
      "refresh_kid": null,
      "refresh_token": "[refresh token]",
      "scopes": [
        "activity:read",
        "billing:manage",
        "billing:read",
        "conversations:delete",
        "conversations:read",
        "conversations:write",
        "support:read",
        "tools:read",
        "workflows:delete"
      ],
      "session_id": "[uuid]",
      "tenant_id": "[uuid]",
      "token_type": "bearer",
      "user_id": "[uuid]"
    }
    "#);
}

async fn refreshing_answers_200_with_the_same_session(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    api.test.clock.advance(std::time::Duration::from_mins(1));
    let answer =
        api.send(post("/api/v1/auth/refresh").json(&json!({ "refresh_token": session.refresh() }))).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "access_token": "[access token]",
      "email_verified": false,
      "expires_at": "2026-01-01T00:16:00Z",
      "kid": "[kid]",
      "password_change_required": false,
      "refresh_expires_at": "2026-01-31T00:01:00Z",
      "refresh_kid": null,
      "refresh_token": "[refresh token]",
      "scopes": [
        "activity:read",
        "billing:manage",
        "billing:read",
        "conversations:delete",
        "conversations:read",
        "conversations:write",
        "support:read",
        "tools:read",
        "workflows:delete"
      ],
      "session_id": "[uuid]",
      "tenant_id": "[uuid]",
      "token_type": "bearer",
      "user_id": "[uuid]"
    }
    "#);
    let refreshed = answer.json();
    assert_eq!(refreshed["session_id"], session.id());
    assert_ne!(refreshed["refresh_token"], session.refresh());
    assert_ne!(refreshed["access_token"], session.access());
}

async fn signing_out_answers_whether_a_session_ended(engine: TestEngine) {
    let api = Api::start(engine).await;
    let first = api.register("ada@example.com").await;
    let second = api.sign_in("ada@example.com").await;
    let logout = || {
        post("/api/v1/auth/logout").bearer(second.access()).json(&json!({ "refresh_token": first.refresh() }))
    };
    assert_answer!(api.send(logout()).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "revoked": true
      },
      "message": "Signed out.",
      "success": true
    }
    "#);
    assert_answer!(api.send(logout()).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "revoked": false
      },
      "message": "The session had ended already.",
      "success": true
    }
    "#);
}

async fn signing_out_everywhere_answers_how_many_sessions_ended(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    let session = api.sign_in("ada@example.com").await;
    let logout_all = || post("/api/v1/auth/logout/all").bearer(session.access());
    assert_answer!(api.send(logout_all()).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "revoked": 2
      },
      "message": "Signed out everywhere.",
      "success": true
    }
    "#);
    assert_eq!(api.send(logout_all()).await.problem(), (401, "session_ended".into()));
}

async fn me_answers_who_the_token_is_of(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = registration_with("ada@example.com", &json!({ "display_name": "Ada Lovelace" }));
    let session = api.send(post("/api/v1/auth/register").json(&body)).await.json();
    let token = session["access_token"].as_str().expect("there is a token");
    let answer = api.send(get("/api/v1/auth/me").bearer(token)).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "display_name": "Ada Lovelace",
        "email": "ada@example.com",
        "email_verified": false,
        "role": "owner",
        "scopes": [
          "activity:read",
          "billing:manage",
          "billing:read",
          "conversations:delete",
          "conversations:read",
          "conversations:write",
          "support:read",
          "tools:read",
          "workflows:delete"
        ],
        "tenant_id": "[uuid]",
        "token_payload": {
          "acr": "aal1",
          "amr": [
            "pwd"
          ],
          "aud": "agent-api",
          "auth_time": 1767225600,
          "client_id": "first-party",
          "email_verified": false,
          "exp": 1767226500,
          "iat": 1767225600,
          "iss": "http://localhost:8000",
          "jti": "[uuid]",
          "nbf": 1767225600,
          "roles": [
            "owner"
          ],
          "scope": "activity:read billing:manage billing:read conversations:delete conversations:read conversations:write support:read tools:read workflows:delete",
          "sid": "[uuid]",
          "sub": "user:[uuid]",
          "tenant_id": "[uuid]",
          "token_use": "access",
          "ver": 1
        },
        "user_id": "[uuid]"
      },
      "message": "This is you.",
      "success": true
    }
    "#);
}

async fn sessions_answers_a_page_of_them(engine: TestEngine) {
    let api = Api::start(engine).await;
    let v6 = "2001:db8:85a3:8d3:1319:8a2e:370:7348".parse().expect("an address");
    let register = post("/api/v1/auth/register").json(&registration("ada@example.com"));
    api.send(register.user_agent(CHROME).peer(v6)).await;
    api.test.clock.advance(std::time::Duration::from_micros(1_500_250));
    let session = api.sign_in("ada@example.com").await;
    let answer = api.send(get("/api/v1/auth/sessions").bearer(session.access())).await;
    assert_answer!(answer, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "limit": 20,
      "offset": 0,
      "sessions": [
        {
          "client": {
            "browser": null,
            "device": null,
            "platform": null,
            "user_agent": null
          },
          "created_at": "2026-01-01T00:00:01.500250Z",
          "current": true,
          "fingerprint": "[fingerprint]",
          "id": "[uuid]",
          "ip_address_masked": "203.0.113.*",
          "last_seen_at": "2026-01-01T00:00:01.500250Z",
          "location": null,
          "revoked_at": null,
          "tenant_id": "[uuid]"
        },
        {
          "client": {
            "browser": "Chrome",
            "device": "desktop",
            "platform": "Windows",
            "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
          },
          "created_at": "2026-01-01T00:00:00Z",
          "current": false,
          "fingerprint": "[fingerprint]",
          "id": "[uuid]",
          "ip_address_masked": "2001:db8:85a3:8d3:*",
          "last_seen_at": "2026-01-01T00:00:00Z",
          "location": null,
          "revoked_at": null,
          "tenant_id": "[uuid]"
        }
      ],
      "total": 2
    }
    "#);
}

async fn ending_a_session_answers_that_it_ended(engine: TestEngine) {
    let api = Api::start(engine).await;
    let first = api.register("ada@example.com").await;
    let second = api.sign_in("ada@example.com").await;
    let end = || delete(&format!("/api/v1/auth/sessions/{}", first.id())).bearer(second.access());
    assert_answer!(api.send(end()).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "revoked": true
      },
      "message": "Session revoked.",
      "success": true
    }
    "#);
    assert_eq!(api.send(end()).await.problem(), (404, "session_not_found".into()));
}

async fn health_answers_while_the_process_lives(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.test.clock.advance(std::time::Duration::from_millis(12_345));
    assert_answer!(api.send(get("/health")).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "status": "healthy",
      "timestamp": "2026-01-01T00:00:12.345Z",
      "uptime": 12.35,
      "version": "0.1.0"
    }
    "#);
    api.test.saas.storage().close().await;
    assert_eq!(api.send(get("/health")).await.status, 200);
}

async fn ready_answers_when_everything_is_there(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(get("/health/ready")).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "status": "ready",
      "timestamp": "2026-01-01T00:00:00.000Z",
      "uptime": 0.0,
      "version": "0.1.0"
    }
    "#);
}

async fn the_root_says_what_runs_here(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(get("/")).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "api": "/api/v1",
      "health": "/health",
      "service": "SaaS",
      "version": "0.1.0"
    }
    "#);
}

async fn the_keys_are_published(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(get("/.well-known/jwks.json")).await, @r#"
    200 OK
    cache-control: public, max-age=300
    content-type: application/json
    etag: "[digest]"
    last-modified: Thu, 01 Jan 2026 00:00:00 GMT
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "keys": [
        {
          "alg": "EdDSA",
          "crv": "Ed25519",
          "kid": "[kid]",
          "kty": "OKP",
          "use": "sig",
          "x": "[x]"
        }
      ]
    }
    "#);
}
