//! Clients that leave before they are answered.

use std::{
    future::poll_fn,
    task::Poll::{Pending, Ready},
};

use axum::body::Body;
use http::Request;
use saas_kit::testing::TestEngine;
use tower::ServiceExt;

use crate::harness::{Api, Session, credentials, get, on_both_engines, post, registration};

on_both_engines! {
    a_client_that_leaves_registers_whole_or_not_at_all,
    a_client_that_leaves_while_it_refreshes_is_not_thrown_out,
}

/// Polls a future that often and leaves it.
async fn abandoned<F: Future>(future: F, polls: usize) {
    let (mut future, mut left) = (Box::pin(future), polls);
    poll_fn(|context| {
        if left == 0 || future.as_mut().poll(context).is_ready() {
            return Ready(());
        }
        left -= 1;
        if left == 0 { Ready(()) } else { Pending }
    })
    .await;
}

/// Signs in as soon as the account is there. Until then the answer is that it is not; nothing of it is there alone.
async fn sign_in_once_registered(api: &Api, email: &str) -> Session {
    for _ in 0..5000 {
        let answer = api.send(post("/api/v1/auth/token").json(&credentials(email))).await;
        if answer.status == 200 {
            return Session(answer.json());
        }
        assert_eq!(answer.problem(), (401, "invalid_credentials".into()));
    }
    panic!("a registration that began is carried out");
}

async fn a_client_that_leaves_registers_whole_or_not_at_all(engine: TestEngine) {
    let api = Api::start(engine).await;
    for polls in 0..12 {
        let email = format!("ada{polls}@example.com");
        let request: Request<Body> = post("/api/v1/auth/register").json(&registration(&email)).into();
        abandoned(api.router.clone().oneshot(request), polls).await;
        if polls == 0 {
            let answer = api.send(post("/api/v1/auth/token").json(&credentials(&email))).await;
            assert_eq!(answer.status, 401, "a request that nobody looked at does nothing");
            continue;
        }
        // Signing in needs user, password, membership and tenant; the list has the session of the registration.
        let session = sign_in_once_registered(&api, &email).await;
        let list = api.send(get("/api/v1/auth/sessions").bearer(session.access())).await;
        assert_eq!(list.json()["total"], 2);
        let again = api.send(post("/api/v1/auth/register").json(&registration(&email))).await;
        assert_eq!(again.problem(), (409, "email_taken".into()));
    }
    api.test.drain_jobs().await;
}

async fn a_client_that_leaves_while_it_refreshes_is_not_thrown_out(engine: TestEngine) {
    let api = Api::start(engine).await;
    let refresh =
        |token: &str| post("/api/v1/auth/refresh").json(&serde_json::json!({ "refresh_token": token }));
    for polls in 1..8 {
        // A session for each: an abandoned request may be carried out late, when another one has moved the token on twice.
        let session = api.register(&format!("ada{polls}@example.com")).await;
        let token = session.refresh();
        abandoned(api.router.clone().oneshot(axum::extract::Request::from(refresh(token))), polls).await;
        let answer = api.send(refresh(token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    api.test.drain_jobs().await;
}
