//! Nobody learns from an answer which accounts there are: it has the same status, headers and bytes for each of ten.

use axum::{body::Body, extract::Request};
use saas_core::{Actor, Reach, Storage};
use saas_kit::testing::{PASSWORD, TestEngine};
use saas_sql::{SqlStorage, execute, fetch_one};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Answer, Api, on_both_engines, post, registration};

on_both_engines! {
    an_answer_is_the_same_for_every_account_w31,
    asking_writes_the_same_for_every_account_w31,
}

const KNOWN: [&str; 8] =
    ["wrong", "no_password", "unverified", "locked", "disabled", "foreign", "no_membership", "second_factor"];
const FOREIGN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn address(state: &str) -> String {
    format!("{state}@example.com")
}

/// The ten: one that is not there, two with the right address and a wrong password, one of which has a second factor, and seven whose password is
/// right and opens nothing.
async fn stage(engine: TestEngine) -> Api {
    let generous = [
        ("REQUIRE_EMAIL_VERIFICATION", "true"),
        ("EMAIL_VERIFICATION_IP_RATE_LIMIT_PER_HOUR", "1000"),
        ("PASSWORD_RESET_IP_RATE_LIMIT_PER_HOUR", "1000"),
    ];
    let api = Api::with_settings(engine, generous).await;
    for state in KNOWN.into_iter().chain(["suspended"]) {
        let command = saas_tenancy::Register::new(
            saas_core::Email::parse(&address(state)).expect("an address"),
            saas_core::Secret::new(PASSWORD.to_owned()),
            saas_core::TenantName::parse("Tenant").expect("a name"),
        );
        let registered =
            api.test.saas.tenancy().register(&Actor::system("test"), command).await.expect("they register");
        let (user, tenant) = (registered.user.id.as_uuid(), registered.tenant.id.as_uuid());
        let mut tx = api.test.begin().await;
        let done = match state {
            "no_password" => {
                execute!(tx.conn(), "UPDATE saas_users SET password_hash = NULL WHERE id = $1", user)
            }
            "disabled" => {
                execute!(tx.conn(), "UPDATE saas_users SET status = 'disabled' WHERE id = $1", user)
            }
            "no_membership" => execute!(tx.conn(), "DELETE FROM saas_memberships WHERE user_id = $1", user),
            "second_factor" => {
                let query = "INSERT INTO saas_second_factors (user_id, seed_envelope, created_at, confirmed_at, last_step) \
                             VALUES ($1, $2, $3, $3, 0)";
                let now = api.test.saas.clock().now();
                execute!(tx.conn(), query, user, &[7_u8; 65][..], now)
            }
            "suspended" => {
                execute!(tx.conn(), "UPDATE saas_tenants SET state = 'suspended' WHERE id = $1", tenant)
            }
            _ => Ok(1),
        };
        assert_eq!(done.expect("it is written"), 1, "{state}");
        if state != "unverified" {
            let now = api.test.saas.clock().now();
            let verified = "UPDATE saas_users SET email_verified_at = $1 WHERE id = $2";
            execute!(tx.conn(), verified, now, user).expect("it is written");
        }
        tx.commit().await.expect("it is written");
    }
    let wrong = json!({ "email": address("locked"), "password": "not the password at all" });
    for _ in 0..5 {
        assert_eq!(api.send(post("/api/v1/auth/token").json(&wrong)).await.status, 401);
    }
    api.test.saas.drain_jobs().await.expect("jobs are done");
    api
}

/// Everything but what differs between any two answers: the request's id.
type Masked = (u16, Vec<(String, Vec<u8>)>, Vec<u8>);

fn masked(answer: &Answer) -> Masked {
    let id = answer.header("x-request-id").to_owned();
    let mask =
        |bytes: &[u8]| -> Vec<u8> { String::from_utf8_lossy(bytes).replace(&id, "[request]").into_bytes() };
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), mask(value.as_bytes())));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    (answer.status.as_u16(), headers, mask(&answer.body))
}

async fn same(api: &Api, of: &str, calls: Vec<(String, &'static str, Value)>) {
    let mut first: Option<(String, _)> = None;
    for (state, path, body) in calls {
        let answer = masked(&api.send(post(path).json(&body)).await);
        match &first {
            None => first = Some((state, answer)),
            Some((before, expected)) => {
                assert_eq!(&answer, expected, "{of}: {state} is told from {before}");
            }
        }
    }
}

async fn an_answer_is_the_same_for_every_account_w31(engine: TestEngine) {
    let api = stage(engine).await;
    let everybody = || KNOWN.into_iter().chain(["unknown", "suspended"]);
    let sign_in = |state: &str, password: &str, tenant: Option<&str>| {
        let body = json!({ "email": address(state), "password": password, "tenant_id": tenant });
        (state.to_owned(), "/api/v1/auth/token", body)
    };
    let wrong = everybody().map(|state| sign_in(state, "not the password at all", None)).collect();
    same(&api, "a wrong password", wrong).await;
    // The right one, where it opens nothing: an account elsewhere alone is one that is asked for in another tenant.
    let right = ["unknown", "no_password", "locked", "disabled", "no_membership", "suspended"];
    let mut right: Vec<_> = right.into_iter().map(|state| sign_in(state, PASSWORD, None)).collect();
    right.push(sign_in("foreign", PASSWORD, Some(FOREIGN)));
    right.push(sign_in("wrong", "not the password at all", None));
    right.push(sign_in("unverified", "not the password at all", None));
    right.push(sign_in("second_factor", "not the password at all", None));
    right.push(sign_in("second_factor", PASSWORD, Some(FOREIGN)));
    same(&api, "the right password", right).await;
    let register =
        everybody().map(|state| (state.to_owned(), "/api/v1/auth/register", registration(&address(state))));
    // Whoever is unknown is registered by it: of the rest all are known.
    same(&api, "register", register.collect()).await;
    for path in ["/api/v1/auth/password/forgot", "/api/v1/auth/email/send"] {
        let states = everybody().chain(["nobody"]);
        let calls = states.map(|state| (state.to_owned(), path, json!({ "email": address(state) })));
        same(&api, path, calls.collect()).await;
    }
    api.test.drain_jobs().await;
}

/// How many rows the audit log and the queue have.
async fn rows(storage: &SqlStorage) -> [i64; 2] {
    let mut conn = storage.read(Reach::Platform("test")).await.expect("it answers");
    let mut counts = [0; 2];
    let queries = ["SELECT COUNT(*) FROM saas_audit", "SELECT COUNT(*) FROM saas_jobs"];
    for (count, query) in counts.iter_mut().zip(queries) {
        (*count,) = fetch_one!(&mut conn, (i64,), query).expect("it answers");
    }
    counts
}

async fn asking_writes_the_same_for_every_account_w31(engine: TestEngine) {
    let Api { test, router } = stage(engine).await;
    // What is left behind stays, to be counted.
    test.leave_jobs();
    test.workers.stop().await;
    for path in ["/api/v1/auth/password/forgot", "/api/v1/auth/email/send"] {
        for state in KNOWN.into_iter().chain(["unknown", "suspended"]) {
            let before = rows(test.saas.storage()).await;
            let call = post(path).json(&json!({ "email": address(state) }));
            let answer =
                router.clone().oneshot(Request::<Body>::from(call)).await.expect("the router answers");
            assert_eq!(answer.status(), 202);
            let after = rows(test.saas.storage()).await;
            assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1], "{path} {state}");
        }
    }
    // And most of it is to nobody: it ends in no mail.
    let before = test.mail.mails().len();
    test.saas.drain_jobs().await.expect("jobs are done");
    let mails = test.mail.mails();
    let mut sent: Vec<_> =
        mails[before..].iter().map(|mail| (mail.template, mail.to.address.as_str())).collect();
    sent.sort_unstable();
    let reset = [
        "foreign",
        "locked",
        "no_membership",
        "no_password",
        "second_factor",
        "suspended",
        "unverified",
        "wrong",
    ];
    let reset = reset.map(address);
    let mut expected: Vec<_> = reset.iter().map(|address| ("password_reset", address.as_str())).collect();
    expected.push(("verify_email", "unverified@example.com"));
    assert_eq!(sent, expected);
}
