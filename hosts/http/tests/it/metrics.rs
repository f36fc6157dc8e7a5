//! What is counted and measured: everything that the page names, under the names that it names, and nothing of anybody's.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode, header};
use saas_http::metrics::{self, CATALOGUE, Label, MetricsHandle, Values};
use saas_kit::testing::{Authenticator, PASSWORD, TestEngine, TestSaas};
use serde_json::json;

use crate::harness::{
    Answer, Api, Call, Session, credentials, delete, get, post, registration, registration_with,
};

mod exposure;
mod page;
mod promtool;
mod text;

use text::Text;

/// Runs a test on one thread with a recorder of its own: the process's is shared by all tests.
fn recorded<F: Future<Output = ()>>(test: impl FnOnce(MetricsHandle) -> F) {
    let (recorder, handle) = metrics::recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    ::metrics::with_local_recorder(&recorder, || runtime.block_on(test(handle)));
}

async fn start<const N: usize>(
    engine: TestEngine,
    handle: &MetricsHandle,
    settings: [(&str, &str); N],
) -> Api {
    let test = TestSaas::with_settings(engine, settings).await;
    // Doing them would be counted, too.
    test.leave_jobs();
    let router = saas_http::app_with_metrics(&test.saas, handle.clone());
    Api { test, router }
}

async fn scrape(api: &Api) -> Text {
    let answer = api.send(get("/metrics")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/plain; version=0.0.4"));
    Text::read(&answer.text())
}

/// Traffic of every kind, and what came of it that nobody may find in a label.
async fn traffic(api: &Api) -> Vec<String> {
    let mut secrets = vec!["ada@example.com".to_owned(), PASSWORD.to_owned()];
    let ada = api.register("ada@example.com").await;
    // Handed over and counted in one go, on this one thread.
    api.test.mail.wait_for(|mail| mail.template == "welcome").await;
    let again = api.sign_in("ada@example.com").await;
    let third = api.sign_in("ada@example.com").await;
    let status = |answer: Answer| answer.status.as_u16();

    assert_eq!(
        status(api.send(post("/api/v1/auth/register").json(&registration("ada@example.com"))).await),
        409
    );
    let wrong = json!({ "email": "ada@example.com", "password": "not the password at all" });
    assert_eq!(status(api.send(post("/api/v1/auth/token").json(&wrong)).await), 401);
    assert_eq!(status(api.send(post("/api/v1/auth/token").text("{")).await), 400);
    // Until the account is locked, and the network's quota used up.
    let guess = || post("/api/v1/auth/token").json(&wrong).peer("198.51.100.99".parse().expect("an address"));
    for _ in 0..50 {
        assert_eq!(status(api.send(guess()).await), 401);
    }
    assert_eq!(status(api.send(guess()).await), 429);

    // Rotated, in grace, reused.
    let refresh =
        |token: &str| api.send(post("/api/v1/auth/refresh").json(&json!({ "refresh_token": token })));
    let first = again.refresh().to_owned();
    let next = refresh(&first).await.json();
    assert_eq!(status(refresh(&first).await), 200);
    api.test.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(status(refresh(&first).await), 401);
    assert_eq!(status(refresh("saas_rt_nonsense").await), 401);

    for path in [
        "/api/v1/auth/me",
        "/api/v1/auth/me",
        "/api/v1/auth/sessions",
        "/api/v1/agents",
        "/api/v1/conversations",
    ] {
        assert_eq!(status(api.send(get(path).bearer(ada.access())).await), 200, "{path}");
    }
    assert_eq!(status(api.send(get("/api/v1/auth/me").bearer("not.a.token")).await), 401);
    for path in ["/", "/health", "/health/ready", "/openapi.json", "/docs"] {
        assert_eq!(status(api.send(get(path)).await), 200, "{path}");
    }
    let keys = api.send(get("/.well-known/jwks.json")).await;
    let known = get("/.well-known/jwks.json").header(header::IF_NONE_MATCH, keys.header("etag"));
    assert_eq!(status(api.send(known).await), 304);

    let message = json!({ "message": "What is 6 * 7?", "conversation_id": "homework-of-ada" });
    let chat = api.send(post("/api/v1/chat/stream").bearer(ada.access()).json(&message)).await;
    assert_eq!(chat.status, StatusCode::OK);
    let run = chat.header("location").to_owned();
    assert_eq!(status(api.send(get(&run).bearer(ada.access())).await), 200);
    assert_eq!(
        status(api.send(get("/api/v1/conversations/homework-of-ada").bearer(ada.access())).await),
        200
    );

    let forgot = json!({ "email": "nobody@example.com" });
    for expected in [202, 202, 202, 202, 202, 429] {
        assert_eq!(status(api.send(post("/api/v1/auth/password/forgot").json(&forgot)).await), expected);
    }
    let listed = format!("/api/v1/auth/sessions/{}", third.id());
    assert_eq!(status(api.send(delete(&listed).bearer(ada.access())).await), 200);
    let app = api.send(post("/api/v1/auth/second-factor/totp").bearer(ada.access())).await.json();
    let app = Authenticator::new(app["data"]["secret"].as_str().expect("a secret"), api.test.clock.clone());
    let confirm = post("/api/v1/auth/second-factor/totp/confirm").bearer(ada.access());
    let confirmed = api.send(confirm.json(&json!({ "code": app.shown() }))).await;
    assert_eq!(confirmed.status, StatusCode::OK, "{}", confirmed.text());
    let confirmed = Session(confirmed.json());
    let forged = json!({ "challenge": "saas_sf_forged", "code": app.shown() });
    assert_eq!(status(api.send(post("/api/v1/auth/token/second-factor").json(&forged)).await), 401);
    let wrong = post("/api/v1/auth/step-up").bearer(confirmed.access()).json(&json!({ "code": app.shown() }));
    assert_eq!(status(api.send(wrong).await), 403);
    let logout = json!({ "refresh_token": ada.refresh() });
    let sign_out = post("/api/v1/auth/logout").bearer(confirmed.access()).json(&logout);
    assert_eq!(status(api.send(sign_out).await), 200);

    secrets.extend([&ada, &again, &third, &confirmed].into_iter().flat_map(|session| {
        [session.access(), session.refresh(), session.id(), session.tenant()].map(str::to_owned)
    }));
    secrets.extend(
        ["refresh_token", "access_token"].map(|name| next[name].as_str().unwrap_or_default().to_owned()),
    );
    secrets.extend([run, "homework-of-ada".to_owned()]);
    secrets
}

#[cfg(feature = "sqlite")]
#[test]
fn what_is_served_is_what_the_catalogue_names() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        traffic(&api).await;
        let text = scrape(&api).await;
        let served: BTreeMap<_, _> =
            text.metrics.iter().map(|(name, metric)| (name.as_str(), metric)).collect();
        let named: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(served.keys().copied().collect::<BTreeSet<_>>(), named);
        for metric in CATALOGUE {
            let served = served[metric.name];
            assert_eq!((served.kind.as_str(), served.help.as_str()), (metric.kind.as_str(), metric.help));
            let labels: BTreeSet<String> = metric.labels.iter().map(|label| label.name.to_owned()).collect();
            assert!(!served.series.is_empty(), "{} has no series", metric.name);
            for series in &served.series {
                assert_eq!(series.keys().cloned().collect::<BTreeSet<_>>(), labels, "{}", metric.name);
                metric.labels.iter().for_each(|label| assert_may_be(label, &series[label.name], metric.name));
            }
        }
        insta::assert_snapshot!(text.shape());
    });
}

fn assert_may_be(label: &Label, value: &str, of: &str) {
    let may = match label.values {
        Values::Listed(values) => values.contains(&value),
        _ if label.name == "route" => value == "unmatched" || value.starts_with('/'),
        _ if label.name == "status" => value.len() == 3 && value.parse::<u16>().is_ok(),
        _ if label.name == "kind" => {
            value.split('.').all(|part| part.chars().all(|c| c.is_ascii_lowercase()))
        }
        _ if label.name == "action" => saas_core::audit::AuditAction::parse(value).is_ok(),
        _ if ["reason", "quota", "scope"].contains(&label.name) => {
            value.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        }
        _ => value == env!("CARGO_PKG_VERSION"),
    };
    assert!(may, "{of}: {}={value}", label.name);
}

#[cfg(feature = "sqlite")]
#[test]
fn what_happened_is_counted_once() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        traffic(&api).await;
        let text = scrape(&api).await;
        for (series, count) in [
            (r#"saas_sign_in_attempts_total{outcome="success"}"#, 2.0),
            (r#"saas_sign_in_attempts_total{outcome="invalid_credentials"}"#, 51.0),
            (r#"saas_refresh_attempts_total{outcome="rotated"}"#, 1.0),
            (r#"saas_refresh_attempts_total{outcome="grace"}"#, 1.0),
            (r#"saas_refresh_attempts_total{outcome="reuse"}"#, 1.0),
            (r#"saas_refresh_attempts_total{outcome="invalid"}"#, 1.0),
            ("saas_sessions_opened_total", 3.0),
            (r#"saas_sessions_revoked_total{reason="refresh_reuse"}"#, 1.0),
            (r#"saas_sessions_revoked_total{reason="revoked_from_list"}"#, 1.0),
            (r#"saas_sessions_revoked_total{reason="logout"}"#, 1.0),
            (r#"saas_authentications_total{decision="refused"}"#, 1.0),
            (r#"signup_attempts_total{policy="public",result="register_success"}"#, 1.0),
            (r#"signup_attempts_total{policy="public",result="register_error"}"#, 1.0),
            (r#"saas_sign_in_attempts_total{outcome="throttled"}"#, 1.0),
            (r#"saas_guess_locks_total{kind="account",lock="wait"}"#, 1.0),
            (r#"rate_limit_hits_total{quota="sign_in",scope="address"}"#, 1.0),
            // Of three sign-ins, fifty more, and two registrations.
            ("saas_password_hash_duration_seconds_count", 55.0),
            (r#"jwt_signings_total{result="success",token_use="access"}"#, 6.0),
            (r#"saas_second_factors_total{change="added"}"#, 1.0),
            (r#"saas_second_factor_attempts_total{factor="totp",outcome="invalid_challenge"}"#, 1.0),
            (r#"saas_step_ups_total{outcome="refused"}"#, 1.0),
            (r#"jwt_verifications_total{result="failure",token_use="unknown"}"#, 1.0),
            ("jwks_requests_total", 2.0),
            ("jwks_not_modified_total", 1.0),
            (r#"saas_runs_total{status="completed"}"#, 1.0),
            (r#"saas_run_duration_seconds_count{status="completed"}"#, 1.0),
            (r#"http_requests_total{method="GET",route="/api/v1/auth/me",status="200"}"#, 2.0),
            (r#"http_requests_total{method="GET",route="/api/v1/auth/me",status="401"}"#, 1.0),
            (r#"http_request_duration_seconds_count{method="GET",route="/api/v1/auth/me"}"#, 3.0),
            (r#"saas_audit_rows_total{action="auth.session.opened"}"#, 3.0),
            (r#"saas_audit_rows_total{action="auth.sign_in.refused"}"#, 51.0),
            // The scrape itself.
            ("http_requests_in_flight", 1.0),
            ("saas_http_streams_open", 0.0),
            ("saas_password_hashes_running", 0.0),
            ("saas_password_hashes_waiting", 0.0),
            (r#"saas_storage_pool_connections_limit{pool="write"}"#, 1.0),
            (r#"saas_storage_pool_connections_limit{pool="read"}"#, 10.0),
        ] {
            assert_eq!(text.value(series), Some(count), "{series}");
        }
        for series in [
            r#"saas_authentications_total{decision="remembered"}"#,
            r#"saas_authentications_total{decision="asked"}"#,
            "saas_event_log_batches_total",
            "saas_event_log_events_total",
            "saas_storage_begin_wait_seconds_count",
            "saas_signing_key_age_seconds",
        ] {
            assert!(
                text.value(series).is_some_and(|value| value > 0.0),
                "{series}: {:?}",
                text.value(series)
            );
        }
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn events_that_are_trimmed_are_counted() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        let ada = api.register("ada@example.com").await;
        let question = json!({ "message": "What is 6 * 7?" });
        api.send(post("/api/v1/chat").bearer(ada.access()).json(&question)).await;
        assert_eq!(scrape(&api).await.value("saas_event_log_trimmed_total"), Some(0.0));
        let newest =
            saas_core::EventBounds { family: "run", newest: 1, idle: std::time::Duration::from_hours(1) };
        let removed = api.test.saas.agents().purge_events(&newest).await.expect("the database answers");
        assert_eq!(removed, 1, "of two events");
        assert_eq!(scrape(&api).await.value("saas_event_log_trimmed_total"), Some(1.0));
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn no_label_holds_what_is_somebodys() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        let secrets = traffic(&api).await;
        let text = scrape(&api).await.raw;
        assert!(secrets.len() > 15 && secrets.iter().all(|secret| secret.len() > 8), "{secrets:?}");
        for secret in secrets {
            assert!(!text.contains(&secret), "{secret} is in\n{text}");
        }
        assert!(!text.contains('@'), "{text}");
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn a_client_that_invents_methods_and_paths_adds_no_series() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        let invent = async |from: usize| {
            for number in from..from + 50 {
                let method = Method::from_bytes(format!("INVENTED{number}").as_bytes()).expect("a method");
                api.send(Call::new(method.clone(), &format!("/{number}"))).await;
                api.send(Call::new(method, "/health")).await;
                api.send(get(&format!("/{number}?{number}={number}"))).await;
                api.send(get(&format!("/api/v1/conversations/{number}"))).await;
                api.send(get("/api/v1/auth/me").bearer(&format!("{number}.{number}.{number}"))).await;
                let body = registration_with("ada@example.com", &json!({ "plan_code": number.to_string() }));
                api.send(post("/api/v1/auth/register").json(&body)).await;
                api.send(post("/api/v1/auth/token").json(&credentials(&format!("u{number}@example.com"))))
                    .await;
            }
        };
        invent(0).await;
        scrape(&api).await;
        let before = scrape(&api).await;
        invent(50).await;
        let after = scrape(&api).await;
        assert_eq!(before.series(), after.series());
        assert_eq!(
            after.value(r#"http_requests_total{method="_OTHER",route="unmatched",status="404"}"#),
            Some(100.0)
        );
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn a_pool_that_is_full_says_so() {
    recorded(|handle| async move {
        use saas_core::{Reach, Storage};
        let api = start(TestEngine::Sqlite, &handle, [("DATABASE_WRITE_TIMEOUT", "1")]).await;
        let storage = api.test.saas.storage();
        let held = storage.begin(Reach::Platform("the one writer")).await.expect("a transaction begins");
        let refused = storage.begin(Reach::Platform("another")).await;
        assert!(refused.is_err());
        let text = scrape(&api).await;
        drop(held);
        // The workers may wait for it, too.
        assert!(
            text.value(r#"saas_storage_pool_timeouts_total{pool="write"}"#).is_some_and(|times| times >= 1.0)
        );
        assert_eq!(text.value(r#"saas_storage_pool_connections{pool="write",state="in_use"}"#), Some(1.0));
        assert!(text.value("saas_storage_begin_wait_seconds_sum").is_some_and(|waited| waited > 0.5));
    });
}

#[cfg(feature = "postgres")]
#[test]
fn the_same_is_served_on_postgresql() {
    recorded(|handle| async move {
        let api = start(TestEngine::Postgres, &handle, []).await;
        traffic(&api).await;
        let served: BTreeSet<String> = scrape(&api).await.metrics.into_keys().collect();
        let named: BTreeSet<String> = CATALOGUE.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(served, named);
    });
}
