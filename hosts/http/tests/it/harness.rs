//! The product behind its router, and what tests ask of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{HeaderMap, Method, Request, StatusCode, header, request::Builder};
use http_body_util::BodyExt;
use saas_kit::testing::{PASSWORD, TestEngine, TestSaas};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::described;

/// Makes tests of functions that take a [`TestEngine`], one for each engine.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                Box::pin(super::$name(saas_kit::testing::TestEngine::Sqlite)).await;
            })*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                Box::pin(super::$name(saas_kit::testing::TestEngine::Postgres)).await;
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// The product and its router.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) test: TestSaas,
    pub(crate) router: Router,
}

impl Api {
    pub(crate) async fn start(engine: TestEngine) -> Self {
        Self::with_settings(engine, []).await
    }

    pub(crate) async fn with_settings<const N: usize>(
        engine: TestEngine,
        settings: [(&str, &str); N],
    ) -> Self {
        Self::of(TestSaas::with_settings(engine, settings).await)
    }

    pub(crate) fn of(test: TestSaas) -> Self {
        let router = saas_http::app(&test.saas);
        Self { test, router }
    }

    /// Sends a request and checks what holds of every answer; the mails that come of it are sent.
    pub(crate) async fn send(&self, call: Call) -> Answer {
        let (method, path) = (call.request.method().clone(), call.request.uri().path().to_owned());
        let response = self.router.clone().oneshot(call.request).await.expect("the router always answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        let mails = [
            ("/api/v1/auth/register", StatusCode::CREATED),
            ("/api/v1/auth/refresh", StatusCode::UNAUTHORIZED),
        ];
        if mails.contains(&(path.as_str(), answer.status)) {
            self.test.drain_jobs().await;
        }
        answer.check(method == Method::HEAD);
        assert!(!path.starts_with("/api/") || answer.header("cache-control") == "no-store", "{answer:?}");
        described::check(&method, &path, &answer);
        answer
    }

    /// Registers somebody with the harness's password.
    pub(crate) async fn register(&self, email: &str) -> Session {
        let answer = self.send(post("/api/v1/auth/register").json(&registration(email))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        Session(answer.json())
    }

    /// Signs somebody in with the harness's password.
    pub(crate) async fn sign_in(&self, email: &str) -> Session {
        let answer = self.send(post("/api/v1/auth/token").json(&credentials(email))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        Session(answer.json())
    }
}

/// The body of a registration that succeeds.
pub(crate) fn registration(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "tenant_name": "Analytical Engines", "accept_terms": true })
}

/// [`registration`] with other members; null takes one away.
pub(crate) fn registration_with(email: &str, changes: &Value) -> Value {
    let mut body = registration(email);
    for (name, value) in changes.as_object().expect("changes are an object") {
        body[name] = value.clone();
    }
    body.as_object_mut().expect("a registration is an object").retain(|_, value| !value.is_null());
    body
}

/// The body of a sign-in that succeeds.
pub(crate) fn credentials(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD })
}

/// What registering and signing in answered.
#[derive(Debug)]
pub(crate) struct Session(pub(crate) Value);

impl Session {
    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_else(|| panic!("{member} is a string"))
    }

    pub(crate) fn access(&self) -> &str {
        self.text("access_token")
    }

    pub(crate) fn refresh(&self) -> &str {
        self.text("refresh_token")
    }

    pub(crate) fn id(&self) -> &str {
        self.text("session_id")
    }

    pub(crate) fn tenant(&self) -> &str {
        self.text("tenant_id")
    }
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Call {
    request: Request<Body>,
}

pub(crate) fn get(path: &str) -> Call {
    Call::new(Method::GET, path)
}

pub(crate) fn post(path: &str) -> Call {
    Call::new(Method::POST, path)
}

pub(crate) fn patch(path: &str) -> Call {
    Call::new(Method::PATCH, path)
}

pub(crate) fn delete(path: &str) -> Call {
    Call::new(Method::DELETE, path)
}

impl From<Call> for Request<Body> {
    fn from(call: Call) -> Self {
        call.request
    }
}

impl From<Request<Body>> for Call {
    fn from(request: Request<Body>) -> Self {
        Self { request }.peer(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)))
    }
}

impl Call {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        let request: Builder = Request::builder().method(method).uri(path);
        Self::from(request.body(Body::empty()).expect("the path is a URI"))
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: impl AsRef<[u8]>) -> Self {
        let value = http::HeaderValue::from_bytes(value.as_ref()).expect("the value may stand in a header");
        self.request.headers_mut().append(name, value);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header(header::AUTHORIZATION, format!("Bearer {token}"))
    }

    pub(crate) fn user_agent(self, value: impl AsRef<[u8]>) -> Self {
        self.header(header::USER_AGENT, value)
    }

    /// From another address than the usual one.
    pub(crate) fn peer(mut self, ip: IpAddr) -> Self {
        self.request.extensions_mut().insert(ConnectInfo(SocketAddr::new(ip, 50_000)));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
    }

    /// A body that says it is JSON.
    pub(crate) fn text(self, body: impl Into<Body>) -> Self {
        self.header(header::CONTENT_TYPE, "application/json").body(body)
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }
}

/// The headers of every answer.
const PROTECTION: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("our headers are ASCII"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("the body is JSON: {}", self.text()))
    }

    /// The status and the stable code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The wrong fields of a problem with their codes, sorted.
    pub(crate) fn wrong_fields(&self) -> Vec<(String, String)> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut fields: Vec<_> =
            errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect();
        fields.sort();
        fields
    }

    /// What holds of every answer: it names its request, and an error is a problem that names the same one.
    fn check(&self, head: bool) {
        let id = self.header("x-request-id");
        assert!(id.parse::<saas_core::RequestId>().is_ok(), "the answer names its request: {self:?}");
        for (name, value) in PROTECTION {
            assert_eq!(self.header(name), value, "{self:?}");
        }
        let policy = self.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("frame-ancestors 'none'"));
        assert!(!self.header("cache-control").is_empty() && !self.headers.contains_key("server"), "{self:?}");
        if self.status.is_client_error() || self.status.is_server_error() {
            assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
            if !head {
                let problem = self.json();
                assert_eq!(problem["request_id"], id);
                assert_eq!(problem["status"], self.status.as_u16());
                for member in ["type", "title", "detail", "code"] {
                    assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
                }
                assert!(problem["errors"].is_array(), "{problem}");
            }
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(self.header("retry-after").parse::<u32>().is_ok_and(|wait| wait > 0), "{self:?}");
        }
        assert_eq!(self.status == StatusCode::UNAUTHORIZED, !self.header("www-authenticate").is_empty());
    }

    /// The answer as it goes over the wire, with what differs from run to run masked; without most of what [`Answer::check`] holds
    /// every answer to.
    pub(crate) fn shown(&self) -> String {
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| *name != header::CONTENT_LENGTH)
            .filter(|(name, _)| !PROTECTION[1..].iter().any(|(always, _)| *name == always))
            .filter(|(_, value)| *value != "default-src 'none'; frame-ancestors 'none'")
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("our headers are ASCII")))
            .collect();
        headers.sort();
        let body = match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => serde_json::to_string_pretty(&json).expect("JSON is written as it was read"),
            Err(_) => self.text(),
        };
        format!("{}\n{}\n\n{body}", self.status, headers.join("\n"))
    }
}

/// Compares an answer with an inline snapshot, tokens, ids and keys masked.
macro_rules! assert_answer {
    ($answer:expr, @$snapshot:literal) => {{
        let shown = $answer.shown();
        insta::with_settings!({
            filters => vec![
                (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[uuid]"),
                (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "[access token]"),
                (r"saas_rt_[\w-]+", "[refresh token]"),
                (r"saas_dt_[\w-]+", "[device token]"),
                (r#""(kid|x|fingerprint)": "[\w-]+""#, r#""$1": "[$1]""#),
                (r#"etag: "[0-9a-f]{64}""#, r#"etag: "[digest]""#),
            ],
        }, { insta::assert_snapshot!(shown, @$snapshot) });
    }};
}
pub(crate) use assert_answer;
