//! Whatever comes in: an answer, never a server error, and every error a problem.

use std::{cell::RefCell, collections::BTreeMap};

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use saas_kit::testing::{PASSWORD, TestEngine};

use crate::harness::{Answer, Api, Call, Session};

const ADA: &str = "ada@example.com";

/// A request before its placeholders (`{access}`, `{refresh}`, `{session}`, `{tenant}`, `{run}`, `{etag}`, `{new}`) are filled in.
#[derive(Debug, Clone)]
struct Sketch {
    method: String,
    target: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

/// Stands for the members that the route's body needs.
const VALID: &str = "{valid}";

/// The members of a body with which the route succeeds.
fn members_for(path: &str) -> &'static str {
    match path {
        "/api/v1/auth/register" => {
            r#""email":"{new}@example.com","password":"correct horse battery staple","tenant_name":"Tenant","accept_terms":true"#
        }
        "/api/v1/auth/token" => r#""email":"ada@example.com","password":"correct horse battery staple""#,
        "/api/v1/auth/email/send" | "/api/v1/auth/password/forgot" => r#""email":"ada@example.com""#,
        "/api/v1/auth/email/change" => {
            r#""new_email":"{new}@example.com","current_password":"correct horse battery staple""#
        }
        "/api/v1/auth/email/verify"
        | "/api/v1/auth/email/change/confirm"
        | "/api/v1/auth/email/change/undo"
        | "/api/v1/auth/unlock" => r#""token":"saas_mt_AZiQpdrJZ0u8zrMCCZqAVw""#,
        "/api/v1/auth/password/confirm" => {
            r#""token":"saas_mt_AZiQpdrJZ0u8zrMCCZqAVw","new_password":"correct horse battery staple""#
        }
        "/api/v1/auth/password/change" => {
            r#""current_password":"correct horse battery staple","new_password":"correct horse battery staple""#
        }
        "/api/v1/auth/account" | "/api/v1/auth/account/export" => {
            r#""current_password":"not the password at all""#
        }
        "/api/v1/auth/password/reset" => r#""user_id":"01890a5d-ac96-774b-bcce-b302099a8057""#,
        "/api/v1/chat" => r#""message":"What is 6 * 7?","conversation_id":"homework""#,
        "/api/v1/chat/stream" => r#""message":"Hello","conversation_id":"{new}""#,
        "/api/v1/conversations/homework" => r#""title":"Homework""#,
        _ => r#""refresh_token":"{refresh}""#,
    }
}

const ROUTES: [(&str, &str); 35] = [
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("GET", "/.well-known/jwks.json"),
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/token"),
    ("POST", "/api/v1/auth/unlock"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/logout"),
    ("POST", "/api/v1/auth/logout/all"),
    ("DELETE", "/api/v1/auth/account"),
    ("POST", "/api/v1/auth/account/export"),
    ("POST", "/api/v1/auth/email/send"),
    ("POST", "/api/v1/auth/email/verify"),
    ("POST", "/api/v1/auth/email/change"),
    ("POST", "/api/v1/auth/email/change/confirm"),
    ("POST", "/api/v1/auth/email/change/undo"),
    ("POST", "/api/v1/auth/password/forgot"),
    ("POST", "/api/v1/auth/password/confirm"),
    ("POST", "/api/v1/auth/password/change"),
    ("POST", "/api/v1/auth/password/reset"),
    ("GET", "/api/v1/auth/me"),
    ("GET", "/api/v1/auth/sessions"),
    ("DELETE", "/api/v1/auth/sessions/{session}"),
    ("POST", "/api/v1/chat"),
    ("POST", "/api/v1/chat/stream"),
    ("GET", "/api/v1/runs/{run}"),
    ("GET", "/api/v1/runs/{run}/stream"),
    ("POST", "/api/v1/runs/{run}/cancel"),
    ("GET", "/api/v1/conversations"),
    ("GET", "/api/v1/conversations/homework"),
    ("PATCH", "/api/v1/conversations/homework"),
    ("DELETE", "/api/v1/conversations/homework"),
    ("GET", "/api/v1/agents"),
    ("GET", "/api/v1/agents/triage/status"),
];

fn route() -> impl Strategy<Value = &'static str> {
    select(&ROUTES[..]).prop_map(|(_, path)| path)
}

fn method() -> impl Strategy<Value = String> {
    let known = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    prop_oneof![
        4 => select(&["GET", "POST", "DELETE", "PATCH"][..]).prop_map(str::to_owned),
        2 => select(known.to_vec()).prop_map(str::to_owned),
        1 => "[A-Za-z!#$%&'*+.^_`|~-]{1,30}",
    ]
}

/// What may stand in a path, junk in percent-encoding included.
fn junk(length: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~!$&'()*+,;=:@-]{1,4}",
        2 => any::<u8>().prop_map(|byte| format!("%{byte:02X}")),
        1 => select(&["%", "%0", "%zz", "/", "//", "/../", "/./", "%2e%2e%2f", "%00", "{", "}", "|", "\""][..])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..length).prop_map(|pieces| pieces.concat())
}

/// A path under which things have ids or keys.
fn item() -> impl Strategy<Value = &'static str> {
    select(&["/api/v1/auth/sessions", "/api/v1/conversations", "/api/v1/runs", "/api/v1/agents"][..])
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => route().prop_map(str::to_owned),
        1 => (route(), junk(6)).prop_map(|(route, junk)| format!("{route}{junk}")),
        1 => (route(), junk(6)).prop_map(|(route, junk)| format!("{route}/{junk}")),
        1 => (route(), any::<prop::sample::Index>(), junk(3)).prop_map(|(route, at, junk)| {
            let at = at.index(route.len());
            format!("{}{junk}{}", &route[..at.max(1)], &route[at..])
        }),
        1 => junk(20).prop_map(|junk| format!("/{junk}")),
        1 => (item(), junk(4)).prop_map(|(list, junk)| format!("{list}/{junk}")),
        1 => (item(), 1000_usize..12_000).prop_map(|(list, length)| format!("{list}/{}", "x".repeat(length))),
        1 => select(&["*", "example.com:80", "http://example.com/api/v1/auth/me", "/api/v1/auth/token/", ""][..])
            .prop_map(str::to_owned),
    ]
}

/// Mostly a route with its own method.
fn method_and_path() -> impl Strategy<Value = (String, String)> {
    let route = select(&ROUTES[..]).prop_map(|(method, path)| (method.to_owned(), path.to_owned()));
    prop_oneof![3 => route, 2 => (method(), path())]
}

fn query() -> impl Strategy<Value = String> {
    let name = select(
        &["limit", "offset", "cursor", "after", "tenant_id", "include_revoked", "x", "limit%5B%5D", ""][..],
    );
    let value = prop_oneof![
        select(
            &[
                "1",
                "3",
                "100",
                "101",
                "0",
                "-1",
                "true",
                "{tenant}",
                "{session}",
                "99999999999999999999",
                "1e3",
                "%00",
                "%FF"
            ][..]
        )
        .prop_map(str::to_owned),
        junk(8),
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    let pairs = prop::collection::vec((name, value), 0..5).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    });
    prop_oneof![
        3 => Just(String::new()),
        2 => pairs.prop_map(|pairs| format!("?{}", pairs.join("&"))),
        1 => junk(20).prop_map(|junk| format!("?{junk}")),
    ]
}

fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..length)
}

/// A header that a route looks at, with a value that it may not expect.
fn odd_header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let name = select(
        &[
            "authorization",
            "content-type",
            "x-request-id",
            "if-none-match",
            "user-agent",
            "content-length",
            "transfer-encoding",
            "host",
            "expect",
            "accept",
            "cookie",
            "x-forwarded-for",
            "range",
            "upgrade",
            "last-event-id",
            "idempotency-key",
        ][..],
    );
    let value = prop_oneof![
        select(
            &[
                "Bearer {access}",
                "bearer {access}x",
                "Bearer",
                "Basic YTpi",
                "Bearer {refresh}",
                "{etag}",
                "W/{etag}",
                "*",
                "\"",
                "application/json",
                "application/json; charset=utf-16",
                "text/plain",
                "multipart/form-data; boundary=x",
                "{session}",
                "0",
                "-1",
                "5",
                "1.2",
                "18446744073709551616",
                "chunked",
                "chunked, chunked",
                "100-continue",
                "bytes=0-",
                "h2c",
                "::1, junk"
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        bytes(40),
        (0_usize..9000).prop_map(|length| vec![b'a'; length]),
    ];
    (name, value)
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let usual = prop_oneof![
        4 => Just(vec![("authorization", "Bearer {access}"), ("content-type", "application/json")]),
        2 => Just(vec![("content-type", "application/json")]),
        1 => Just(vec![("authorization", "Bearer {access}")]),
        1 => Just(vec![("if-none-match", "{etag}")]),
        1 => Just(vec![]),
    ];
    (usual, prop_oneof![Just(vec![]), prop::collection::vec(odd_header(), 1..4)]).prop_map(|(usual, odd)| {
        usual.into_iter().map(|(name, value)| (name, value.as_bytes().to_vec())).chain(odd).collect()
    })
}

/// A JSON value as text, well-formed or nearly so.
fn value() -> impl Strategy<Value = String> {
    let quoted = |text: &str| format!("\"{text}\"");
    prop_oneof![
        4 => select(&["ada@example.com", "Ada+Tag@Example.COM", PASSWORD, "{refresh}", "{access}", "{tenant}", "{session}", "Tenant",
            "", " ", "\\u0000", "\\ud800", "\\udc00\\ud800", "\\ud83e\\udd80", "\\x", "\\", "\u{1}", "ß", "\u{202e}", "xn--a.example"][..])
            .prop_map(quoted),
        2 => select(&["true", "false", "null", "0", "-0", "1.5", "1e999", "-1E400", "01", "+1", "NaN", "Infinity", "[]", "{}", "[[[]]]",
            "{\"a\":{\"a\":1}}", "99999999999999999999999999999999999999", "tru", "'x'", "//", ""][..])
            .prop_map(str::to_owned),
        1 => "[a-z]{1,8}@[a-z]{1,8}\\.(com|org)".prop_map(move |text| format!("\"{text}\"")),
        1 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        1 => (1_usize..2000).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth))),
        1 => (1_usize..2000).prop_map(|depth| "{\"a\":".repeat(depth)),
        1 => (1_usize..400).prop_map(|digits| "9".repeat(digits)),
    ]
}

fn member() -> impl Strategy<Value = (&'static str, String)> {
    let name = select(
        &[
            "email",
            "password",
            "tenant_name",
            "display_name",
            "accept_terms",
            "tenant_id",
            "refresh_token",
            "plan_code",
            "trial_days",
            "invite_token",
            "message",
            "conversation_id",
            "agent_type",
            "context",
            "title",
            "unknown",
            "",
            "\\u0065mail",
            "\\u0000",
        ][..],
    );
    (name, value())
}

fn json() -> impl Strategy<Value = String> {
    let good = |members: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        members.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let valid = prop_oneof![
        // What the route takes, filled in with the placeholders.
        4 => Just(good(&[(VALID, "")])),
        1 => select(vec![good(&[]), good(&[("email", "\"ada@example.com\"")]), good(&[("refresh_token", "\"{refresh}\"")])]),
    ];
    (valid, prop_oneof![Just(vec![]), prop::collection::vec(member(), 1..4)], any::<bool>()).prop_map(
        |(mut members, odd, replace)| {
            for (name, value) in odd {
                if replace {
                    members.retain(|(known, _)| *known != name);
                }
                members.push((name, value));
            }
            let text = |(name, value): (&str, String)| {
                if name == VALID { VALID.to_owned() } else { format!("\"{name}\":{value}") }
            };
            let members: Vec<String> = members.into_iter().map(text).collect();
            format!("{{{}}}", members.join(","))
        },
    )
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => json().prop_map(String::into_bytes),
        1 => (json(), any::<prop::sample::Index>(), bytes(4)).prop_map(|(json, at, junk)| {
            let mut body = json.into_bytes();
            let at = at.index(body.len() + 1);
            body.splice(at..at, junk);
            body
        }),
        1 => (json(), any::<prop::sample::Index>()).prop_map(|(json, at)| json.as_bytes()[..at.index(json.len())].to_vec()),
        1 => value().prop_map(String::into_bytes),
        1 => bytes(200),
        1 => Just(Vec::new()),
        1 => (1_usize..60_000).prop_map(|length| vec![b' '; length]),
    ]
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (method_and_path(), query(), headers(), body()).prop_map(|((method, path), query, headers, body)| {
        Sketch { method, target: path + &query, headers, body }
    })
}

impl Sketch {
    /// The request; `None` when it is none that a server would pass on.
    fn request(&self, session: &Session, run: &str, etag: &str, new: &str) -> Option<Call> {
        let fill = |bytes: &[u8]| {
            let mut filled = bytes.to_vec();
            for (name, value) in [
                (VALID, members_for(self.target.split('?').next().unwrap_or_default())),
                ("{access}", session.access()),
                ("{refresh}", session.refresh()),
                ("{session}", session.id()),
                ("{tenant}", session.tenant()),
                ("{run}", run),
                ("{etag}", etag),
                ("{new}", new),
            ] {
                while let Some(at) = filled.windows(name.len()).position(|part| part == name.as_bytes()) {
                    filled.splice(at..at + name.len(), value.bytes());
                }
            }
            filled
        };
        let mut request = Request::new(Body::from(fill(&self.body)));
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::try_from(fill(self.target.as_bytes())).ok()?;
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_bytes(&fill(value)) {
                request.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        Some(Call::from(request))
    }
}

fn throw_at_the_router(engine: TestEngine, cases: u32) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let settings = [("REQUEST_BODY_LIMIT_BYTES", "32768")];
    let (api, session) = runtime.block_on(async {
        let api = Api::with_settings(engine, settings).await;
        let session = api.register(ADA).await;
        api.test.leave_jobs();
        (api, session)
    });
    let etag =
        runtime.block_on(api.send(crate::harness::get("/.well-known/jwks.json"))).header("etag").to_owned();
    let session = RefCell::new(session);
    // Until a chat is answered, the id of no run.
    let run = RefCell::new(session.borrow().id().to_owned());
    let seen = RefCell::new(BTreeMap::<u16, u32>::new());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    TestRunner::new(config)
        .run(&sketch(), |sketch| {
            let new = format!("new{}", seen.borrow().values().sum::<u32>());
            let Some(call) = sketch.request(&session.borrow(), &run.borrow(), &etag, &new) else {
                return Err(TestCaseError::reject("no request"));
            };
            let answer: Answer = runtime.block_on(api.send(call));
            *seen.borrow_mut().entry(answer.status.as_u16()).or_default() += 1;
            prop_assert!(
                !answer.status.is_server_error() || answer.status == StatusCode::SERVICE_UNAVAILABLE,
                "{:?}",
                answer
            );
            prop_assert!(!answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED);
            prop_assert!(answer.headers.get(header::CONTENT_TYPE).is_some() || answer.body.is_empty());
            if let Some(answered) = run_of(&answer) {
                run.replace(answered);
            }
            if let Some(kept) = next_session(&runtime, &api, &answer) {
                session.replace(kept);
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    // What was thrown reached far enough to mean something. (Rarer statuses have tests of their own.)
    let seen = seen.into_inner();
    for status in [200, 400, 401, 404, 405, 415, 422] {
        assert!(seen.contains_key(&status), "no request was answered with {status}: {seen:?}");
    }
}

/// The run that an answer is of.
fn run_of(answer: &Answer) -> Option<String> {
    let json = serde_json::from_slice::<serde_json::Value>(&answer.body).ok()?;
    json["run_id"].as_str().map(str::to_owned)
}

/// The session to go on with: the one of the answer, or a new one when it has ended.
fn next_session(runtime: &tokio::runtime::Runtime, api: &Api, answer: &Answer) -> Option<Session> {
    let json = serde_json::from_slice::<serde_json::Value>(&answer.body).ok()?;
    let ended = ["session_ended", "invalid_refresh_token"].iter().any(|code| json["code"] == *code)
        || json["data"].get("revoked").is_some();
    if json.get("access_token").is_some() {
        return Some(Session(json));
    }
    ended.then(|| runtime.block_on(api.sign_in(ADA)))
}

#[cfg(feature = "sqlite")]
#[test]
fn anything_on_sqlite_gets_an_answer_and_never_a_server_error() {
    throw_at_the_router(TestEngine::Sqlite, 3000);
}

#[cfg(feature = "postgres")]
#[test]
fn anything_on_postgres_gets_an_answer_and_never_a_server_error() {
    throw_at_the_router(TestEngine::Postgres, 800);
}
