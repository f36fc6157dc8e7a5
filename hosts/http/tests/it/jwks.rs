//! The published keys: how they are cached, and that they verify what we sign.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use http::header::IF_NONE_MATCH;
use saas_kit::testing::TestEngine;
use serde_json::Value;

use crate::harness::{Answer, Api, get, on_both_engines};

on_both_engines! {
    who_has_the_keys_already_gets_a_304_without_a_body,
    who_has_other_keys_gets_these,
    how_long_the_keys_may_be_kept_is_a_setting,
    the_keys_stay_the_same_after_a_restart,
    a_token_verifies_with_nothing_but_the_published_key,
}

const JWKS: &str = "/.well-known/jwks.json";

async fn conditional(api: &Api, values: &[&str]) -> Answer {
    let call = values.iter().fold(get(JWKS), |call, value| call.header(IF_NONE_MATCH, value));
    api.send(call).await
}

async fn who_has_the_keys_already_gets_a_304_without_a_body(engine: TestEngine) {
    let api = Api::start(engine).await;
    let full = api.send(get(JWKS)).await;
    let etag = full.header("etag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    let weak = format!("W/{etag}");
    let list = format!("\"a,b\" , W/\"other\",\t{etag}, \"more\"");
    for values in [&[etag][..], &[&weak], &[&list], &["*"], &["\"other\"", etag]] {
        let answer = conditional(&api, values).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{values:?}");
        for name in ["etag", "cache-control", "last-modified"] {
            assert_eq!(answer.header(name), full.header(name), "RFC 9110 section 15.4.5");
        }
        assert_eq!(answer.header("content-type"), "");
    }
}

async fn who_has_other_keys_gets_these(engine: TestEngine) {
    let api = Api::start(engine).await;
    let full = api.send(get(JWKS)).await;
    let etag = full.header("etag");
    let bare = etag.trim_matches('"');
    for value in ["", "\"other\"", bare, "W/", "\"", &format!("\"x{bare}\""), &format!("w/{etag}")] {
        let answer = conditional(&api, &[value]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, full.text()), "{value:?}");
    }
}

async fn how_long_the_keys_may_be_kept_is_a_setting(engine: TestEngine) {
    let api = Api::with_settings(engine, [("AUTH_JWKS_MAX_AGE_SECONDS", "77")]).await;
    assert_eq!(api.send(get(JWKS)).await.header("cache-control"), "public, max-age=77");
}

async fn the_keys_stay_the_same_after_a_restart(engine: TestEngine) {
    let api = Api::start(engine).await;
    let first = api.send(get(JWKS)).await;
    api.test.clock.advance(Duration::from_hours(24));
    let replica = api.test.replica(2).await;
    let request = http::Request::get(JWKS).body(axum::body::Body::empty()).expect("a request");
    let second = tower::ServiceExt::oneshot(saas_http::app(&replica), request)
        .await
        .expect("the router always answers");
    for name in ["etag", "last-modified"] {
        let value = second.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(value, Some(first.header(name)));
    }
    replica.close().await;
}

async fn a_token_verifies_with_nothing_but_the_published_key(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let [header, payload, signature] =
        session.access().split('.').collect::<Vec<_>>().try_into().expect("a token has three parts");
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("a part is base64url");
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).expect("a part is JSON");

    let keys = api.send(get(JWKS)).await.json();
    let key = keys["keys"]
        .as_array()
        .expect("there is a list")
        .iter()
        .find(|key| key["kid"] == json(header)["kid"])
        .expect("the token's key is published");
    assert_eq!(key["kid"], session.0["kid"]);
    assert!(key.get("d").is_none(), "the private half stays here");
    let x: [u8; 32] =
        decoded(key["x"].as_str().expect("x is a string")).try_into().expect("a key has 32 bytes");
    let signature = Signature::from_slice(&decoded(signature)).expect("a signature has 64 bytes");
    VerifyingKey::from_bytes(&x)
        .expect("x is a point")
        .verify_strict(format!("{header}.{payload}").as_bytes(), &signature)
        .expect("the signature verifies");
    assert_eq!(json(payload)["sid"], session.id());
    assert_eq!(json(payload)["tenant_id"], session.tenant());
}
