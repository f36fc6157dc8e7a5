//! Lock-out on the wire: what is answered, what changes no counter, and how a mail unlocks.

use http::header::{self, HeaderName};
use saas_kit::testing::TestEngine;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, assert_answer, credentials, on_both_engines, post};

on_both_engines! {
    a_network_that_guesses_is_a_429_that_says_when_to_come_again,
    spoofed_forwarded_headers_change_no_bucket,
    a_trusted_proxy_names_whose_bucket_it_is,
    a_locked_account_answers_the_same_bytes_as_a_wrong_password_and_an_unknown_address,
    a_device_token_gets_its_owner_in_while_the_account_is_locked,
    the_token_of_the_mail_unlocks,
}

fn wrong(email: &str) -> Value {
    json!({ "email": email, "password": "correct horse battery stapler" })
}

async fn guess(api: &Api, peer: &str, headers: &[(HeaderName, &str)], body: &Value) -> Answer {
    let mut call = post("/api/v1/auth/token").json(body);
    for (name, value) in headers {
        call = call.header(name.clone(), value);
    }
    api.send(call.peer(peer.parse().expect("an address"))).await
}

/// Uses up what an address may guess, for accounts of its own.
async fn use_up(api: &Api, peer: &str, headers: &[(HeaderName, &str)], guesses: usize) {
    for number in 0..guesses {
        let answer = guess(api, peer, headers, &wrong(&format!("user{number}@example.com"))).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
}

async fn a_network_that_guesses_is_a_429_that_says_when_to_come_again(engine: TestEngine) {
    let api = Api::with_settings(engine, [("AUTH_IP_LOCKOUT_THRESHOLD", "10")]).await;
    api.register("ada@example.com").await;
    use_up(&api, "192.0.2.1", &[], 10).await;
    let answer = guess(&api, "192.0.2.1", &[], &credentials("ada@example.com")).await;
    assert_answer!(answer, @r#"
    429 Too Many Requests
    cache-control: no-store
    content-type: application/problem+json
    retry-after: 60
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "too_many_attempts",
      "detail": "too many sign-ins that failed came from your network: try again later",
      "errors": [],
      "request_id": "[uuid]",
      "status": 429,
      "title": "Too Many Requests",
      "type": "urn:saas:problem:too_many_attempts"
    }
    "#);
    let other = guess(&api, "192.0.2.1", &[], &wrong("nobody@example.com")).await;
    assert_eq!((other.status, other.header("retry-after")), (answer.status, answer.header("retry-after")));
}

async fn spoofed_forwarded_headers_change_no_bucket(engine: TestEngine) {
    let xff = HeaderName::from_static("x-forwarded-for");
    let spoofed = [
        (xff.clone(), "198.51.100.1"),
        (xff.clone(), "198.51.100.2, 198.51.100.3"),
        (xff.clone(), "::ffff:198.51.100.4"),
        (xff.clone(), "198.51.100.5:4711"),
        (xff.clone(), "unknown, 198.51.100.6"),
        (header::FORWARDED, "for=198.51.100.7"),
        (header::FORWARDED, "for=\"[2001:db8::8]:4711\";proto=https"),
        (HeaderName::from_static("x-real-ip"), "198.51.100.9"),
        (HeaderName::from_static("cf-connecting-ip"), "198.51.100.10"),
        (HeaderName::from_static("true-client-ip"), "198.51.100.11"),
    ];
    // Nobody is trusted; or a proxy is that this client is not.
    for settings in [("TRUSTED_PROXIES", "10.0.0.0/8"), ("AUTH_LOCKOUT_THRESHOLD", "5")] {
        let api = Api::with_settings(engine, [("AUTH_IP_LOCKOUT_THRESHOLD", "10"), settings]).await;
        for (number, header) in spoofed.iter().enumerate() {
            let answer = guess(
                &api,
                "192.0.2.1",
                std::slice::from_ref(header),
                &wrong(&format!("user{number}@example.com")),
            )
            .await;
            assert_eq!(answer.status, 401);
        }
        let twice = [(xff.clone(), "198.51.100.12"), (xff.clone(), "198.51.100.13")];
        for headers in [&spoofed[..1], &spoofed[6..7], &twice[..], &[]] {
            assert_eq!(guess(&api, "192.0.2.1", headers, &wrong("ada@example.com")).await.status, 429);
        }
        // Nor did they use up anything of those whom they named.
        use_up(&api, "198.51.100.1", &[], 10).await;
    }
}

async fn a_trusted_proxy_names_whose_bucket_it_is(engine: TestEngine) {
    let xff = HeaderName::from_static("x-forwarded-for");
    let settings = [("TRUSTED_PROXIES", "10.0.0.0/8"), ("AUTH_IP_LOCKOUT_THRESHOLD", "5")];
    let api = Api::with_settings(engine, settings).await;
    let through = |client: &'static str| [(xff.clone(), client)];
    // What a client wrote before the proxy did is not looked at.
    use_up(&api, "10.0.0.1", &through("203.0.113.99, 192.0.2.1"), 2).await;
    use_up(&api, "10.0.0.2", &through("203.0.113.98, 192.0.2.1"), 2).await;
    use_up(&api, "10.0.0.1", &through("::ffff:192.0.2.1"), 1).await;
    let answer = guess(&api, "10.0.0.3", &through("192.0.2.1"), &wrong("ada@example.com")).await;
    assert_eq!(answer.problem(), (429, "too_many_attempts".to_owned()));
    use_up(&api, "10.0.0.1", &through("192.0.2.2"), 5).await;
}

async fn a_locked_account_answers_the_same_bytes_as_a_wrong_password_and_an_unknown_address(
    engine: TestEngine,
) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    api.register("bob@example.com").await;
    for _ in 0..5 {
        guess(&api, "192.0.2.1", &[], &wrong("ada@example.com")).await;
    }
    let masked = async |body: &Value| {
        let answer = guess(&api, "192.0.2.1", &[], body).await;
        let id = answer.header("x-request-id").to_owned();
        answer.shown().replace(&id, "[id]")
    };
    let locked = masked(&credentials("ada@example.com")).await;
    assert!(locked.starts_with("401 "), "{locked}");
    for body in [wrong("ada@example.com"), wrong("bob@example.com"), wrong("nobody@example.com")] {
        assert_eq!(masked(&body).await, locked);
    }
    api.test.drain_jobs().await;
}

async fn a_device_token_gets_its_owner_in_while_the_account_is_locked(engine: TestEngine) {
    let api = Api::start(engine).await;
    let registered = api.register("ada@example.com").await;
    assert_eq!(registered.0.get("device_token"), None, "a sign-in gives one");
    let device = api.sign_in("ada@example.com").await.0["device_token"].clone();
    for _ in 0..5 {
        guess(&api, "192.0.2.1", &[], &wrong("ada@example.com")).await;
    }
    let with = |device: Value| {
        let mut body = credentials("ada@example.com");
        body["device_token"] = device;
        body
    };
    for other in [json!(null), json!(""), json!("saas_dt_forged"), json!("x".repeat(10_000))] {
        assert_eq!(guess(&api, "192.0.2.1", &[], &with(other)).await.status, 401);
    }
    let answer = guess(&api, "192.0.2.1", &[], &with(device)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["device_token"].as_str().is_some_and(|token| token.starts_with("saas_dt_")));
    let wrong_type = guess(&api, "192.0.2.1", &[], &with(json!(7))).await;
    assert_eq!(wrong_type.problem().0, 422);
    api.test.drain_jobs().await;
}

async fn the_token_of_the_mail_unlocks(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    for _ in 0..5 {
        guess(&api, "192.0.2.1", &[], &wrong("ada@example.com")).await;
    }
    api.test.saas.drain_jobs().await.expect("the mails leave");
    let mail = api.test.mail.wait_for(|mail| mail.template == "unlock_account").await;
    let (_, rest) = mail.text.split_once("/unlock").expect("the mail has a link");
    let start = rest.find("saas_mt_").expect("the link has a token");
    let is_token = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let token: String = rest[start..].chars().take_while(is_token).collect();
    assert_eq!(guess(&api, "192.0.2.1", &[], &credentials("ada@example.com")).await.status, 401);

    let unlock = async |body: Value| api.send(post("/api/v1/auth/unlock").json(&body)).await;
    assert_eq!(unlock(json!({})).await.wrong_fields(), [("token".to_owned(), "required".to_owned())]);
    for none in ["saas_mt_forged", &token[..token.len() - 1], "x"] {
        assert_eq!(
            unlock(json!({ "token": none })).await.problem(),
            (422, "invalid_one_time_token".to_owned())
        );
    }
    assert_answer!(unlock(json!({ "token": token })).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "unlocked": true
      },
      "message": "Unlocked: sign in again.",
      "success": true
    }
    "#);
    assert_eq!(unlock(json!({ "token": token })).await.problem(), (422, "invalid_one_time_token".to_owned()));
    assert_eq!(guess(&api, "192.0.2.1", &[], &credentials("ada@example.com")).await.status, 200);
    api.test.drain_jobs().await;
}
