//! Clients as they are: what they call themselves and where they call from.

use std::net::IpAddr;

use saas_kit::testing::TestEngine;
use serde_json::{Value, json};

use crate::harness::{Api, credentials, get, on_both_engines, post};

const CHROME: &str = "Mozilla/5.0 (Linux; Android 16; SM-S938B Build/BP2A.250605.031.A3; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.7444.102 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/537.0.0.50.101;IABMV/1;FBBV/812345678;FBDV/SM-S938B;FBLC/de_DE;FBSV/16;FBCA/arm64-v8a]";

on_both_engines! {
    a_sign_in_with_a_real_chrome_from_ipv6_is_listed_as_such,
    a_user_agent_of_2000_characters_is_cut,
    a_user_agent_that_is_not_utf_8_signs_in,
    a_request_without_a_peer_address_signs_in,
}

/// The session that a sign-in with this user agent and peer made, as the list shows it.
async fn listed(api: &Api, agent: &[u8], peer: &str) -> Value {
    let peer: IpAddr = peer.parse().expect("an address");
    let call = post("/api/v1/auth/token").json(&credentials("ada@example.com")).user_agent(agent).peer(peer);
    let answer = api.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let session = answer.json();
    let token = session["access_token"].as_str().expect("there is a token");
    let list = api.send(get("/api/v1/auth/sessions").bearer(token)).await.json();
    let sessions = list["sessions"].as_array().expect("there is a list");
    sessions.iter().find(|item| item["current"] == true).expect("one is the current one").clone()
}

async fn a_sign_in_with_a_real_chrome_from_ipv6_is_listed_as_such(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("Ada+Test@Example.com").await;
    api.register("ada@example.com").await;
    let session = listed(&api, CHROME.as_bytes(), "2001:db8::1").await;
    assert_eq!(session["ip_address_masked"], "2001:db8:0:0:*");
    assert_eq!(
        session["client"],
        json!({ "platform": "Android", "browser": "Chrome", "device": "mobile", "user_agent": CHROME })
    );
    let mapped = listed(&api, CHROME.as_bytes(), "::ffff:203.0.113.9").await;
    assert_eq!(mapped["ip_address_masked"], "203.0.113.*");
    assert_ne!(mapped["fingerprint"], session["fingerprint"]);
}

async fn a_user_agent_of_2000_characters_is_cut(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    let long = format!("Mozilla/5.0 {}", "x".repeat(1988));
    let session = listed(&api, long.as_bytes(), "203.0.113.7").await;
    let kept = session["client"]["user_agent"].as_str().expect("it is kept");
    assert!(long.starts_with(kept) && kept.len() < long.len());
}

async fn a_user_agent_that_is_not_utf_8_signs_in(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    let session = listed(&api, b"Mozilla/5.0 \xff\xfe (Windows)\t\x80", "203.0.113.7").await;
    assert_eq!(session["client"]["platform"], "Windows");
}

async fn a_request_without_a_peer_address_signs_in(engine: TestEngine) {
    let api = Api::start(engine).await;
    let request = http::Request::post("/api/v1/auth/register")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(crate::harness::registration("ada@example.com").to_string()))
        .expect("a request");
    let answer =
        tower::ServiceExt::oneshot(api.router.clone(), request).await.expect("the router always answers");
    assert_eq!(answer.status(), 201);
    api.test.drain_jobs().await;
}
