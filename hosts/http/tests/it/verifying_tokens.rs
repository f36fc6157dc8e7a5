//! `docs/verifying-tokens.md` shows verifiers that accept our tokens and nothing else.
//!
//! Each runs against a server over TCP: the Rust one is compiled into this test, the others are programs that `verifying_tokens/driver.*`
//! drives with the libraries that `scripts/with-services` installs.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use ed25519_dalek::SigningKey;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use saas_core::Actor;
use saas_kit::{
    SystemClock,
    testing::{TestEngine, TestSaas},
    tls,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tower::ServiceExt;

use crate::harness::{Api, get, on_both_engines, post};

use forged::Forged;
use verifier::{AccessTokenVerifier, VerifyError};

mod forged;
#[expect(
    dead_code,
    unreachable_pub,
    clippy::duration_suboptimal_units,
    reason = "the guide's, as an outside program would have it"
)]
mod verifier;

on_both_engines! {
    the_guides_token_is_the_servers,
    a_session_that_ended_is_told_by_the_server_alone,
    the_guides_rust_accepts_our_tokens_alone,
    the_guides_javascript_accepts_our_tokens_alone,
    the_guides_python_accepts_our_tokens_alone,
}

const GUIDE: &str = include_str!("../../../../docs/verifying-tokens.md");
const ISSUER: &str = "https://app.example.com";
const AUDIENCE: &str = "agent-api";
const JWKS: &str = "/.well-known/jwks.json";

/// The guide's block of this name.
fn block(name: &str) -> &'static str {
    let fenced = GUIDE.split("```").skip(1).step_by(2);
    let blocks: BTreeMap<_, _> = fenced
        .filter_map(|block| block.split_once('\n'))
        .filter_map(|(head, text)| Some((head.split_once(' ')?.1, text)))
        .collect();
    blocks.get(name).unwrap_or_else(|| panic!("the guide has a block {name}"))
}

/// The product on the machine's clock, behind a listener that counts who fetches the keys.
struct Running {
    api: Api,
    address: SocketAddr,
    fetches: Arc<AtomicUsize>,
}

impl Running {
    async fn start(engine: TestEngine) -> Self {
        let settings = [("ISSUER", ISSUER), ("AUTH_AUDIENCE", AUDIENCE)];
        let clock = Arc::new(SystemClock::default());
        let test = TestSaas::with_ports(engine, settings, |builder| builder.clock(clock)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port is there");
        let address = listener.local_addr().expect("it has an address");
        let fetches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&fetches);
        let api = Api::of(test);
        let app = api.router.clone().map_request(move |request: Request<Incoming>| {
            counted.fetch_add(usize::from(request.uri().path() == JWKS), Ordering::SeqCst);
            request.map(Body::new)
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(app.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that hangs up is no failure.
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { api, address, fetches }
    }

    fn jwks_url(&self) -> String {
        format!("http://{}{JWKS}", self.address)
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// The private part of the key that signs.
    fn signing_key(&self) -> SigningKey {
        let document = self.api.test.saas.auth().access_tokens().keys().to_bytes().expect("keys are written");
        forged::active_key(document.expose())
    }
}

/// One of the guide's verifiers.
enum Verifier {
    Rust(Box<AccessTokenVerifier>),
    Program(Box<Program>),
}

/// A verifier in another language; dropping this ends it.
struct Program {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    #[expect(dead_code, reason = "held for its Drop")]
    child: Child,
    #[expect(dead_code, reason = "held for its Drop")]
    folder: TempDir,
}

impl Verifier {
    fn rust(server: &Running) -> Self {
        assert!(
            block("verifier.rs") == include_str!("verifying_tokens/verifier.rs"),
            "the guide shows hosts/http/tests/it/verifying_tokens/verifier.rs, byte for byte"
        );
        let tls = tls::client_that_trusts_nobody().expect("rustls is set up");
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build();
        let http = http.expect("a client can be made");
        Self::Rust(Box::new(AccessTokenVerifier::new(http, &server.jwks_url(), ISSUER, AUDIENCE)))
    }

    fn javascript(server: &Running) -> Self {
        let folder = folder([
            ("verifier.mjs", block("verifier.mjs")),
            ("driver.mjs", include_str!("verifying_tokens/driver.mjs")),
        ]);
        // Node.js looks for packages beside the file that imports them, and nowhere else.
        let modules = Path::new(&installed("SAAS_TEST_NODE_MODULES")).to_owned();
        std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).expect("a link can be made");
        Self::Program(Program::start(Command::new("node").arg("driver.mjs"), folder, server))
    }

    fn python(server: &Running) -> Self {
        let folder = folder([
            ("verifier.py", block("verifier.py")),
            ("driver.py", include_str!("verifying_tokens/driver.py")),
        ]);
        let python = installed("SAAS_TEST_PYTHON");
        Self::Program(Program::start(Command::new(python).arg("driver.py"), folder, server))
    }

    /// What it says of a token: `good: ` and its subject, or why it is refused.
    async fn judge(&mut self, token: &str) -> String {
        match self {
            Self::Rust(verifier) => match verifier.verify(token).await {
                Ok(claims) => format!("good: {}", claims.sub),
                Err(VerifyError::Refused(why)) => why.to_owned(),
                Err(VerifyError::NoKeys(error)) => panic!("the server answers: {error}"),
            },
            Self::Program(program) => program.tell(token).await,
        }
    }

    /// Moves the clock that it measures the age of its keys by.
    async fn later(&mut self, time: Duration) {
        match self {
            Self::Rust(_) => {
                tokio::time::pause();
                tokio::time::advance(time).await;
                tokio::time::resume();
            }
            Self::Program(program) => {
                assert_eq!(program.tell(&format!("later {}", time.as_secs())).await, "later");
            }
        }
    }
}

impl Program {
    fn start(command: &mut Command, folder: TempDir, server: &Running) -> Box<Self> {
        let mut child = command
            .args([&server.jwks_url(), ISSUER, AUDIENCE])
            .current_dir(folder.path())
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Box::new(Self { input, lines, child, folder })
    }

    /// Says a line; what it answers.
    async fn tell(&mut self, line: &str) -> String {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("the program reads");
        self.lines.next_line().await.expect("it says text").expect("it answers each line")
    }
}

fn folder(files: [(&str, &str); 2]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file can be written");
    }
    folder
}

fn installed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run scripts/test, or scripts/with-services <command>, which install what is needed")
    })
}

/// Shows a verifier good tokens and hostile ones; what it said of the hostile ones, a line each.
async fn said_of_hostile_tokens(server: &Running, mut verifier: Verifier) -> String {
    let ada = server.api.test.register("ada@example.com").await;
    let token = |tokens: &saas_auth::Tokens| tokens.access_token.expose().clone();
    let forged = Forged::new(&token(&ada.tokens), server.signing_key());
    let good = format!("good: {}", forged.subject());
    assert_eq!(verifier.judge(&token(&ada.tokens)).await, good);
    for (what, token) in forged.good() {
        assert_eq!(verifier.judge(&token).await, good, "{what}");
    }
    let mut said = Vec::new();
    for (what, token) in forged.hostile() {
        let answer = verifier.judge(&token).await;
        assert!(!answer.starts_with("good"), "{what}: {answer}");
        said.push(format!("{what} -> {answer}"));
    }
    assert_eq!(server.fetches(), 1, "the keys are kept, and an unknown key asks for none so early");

    // The keys change at once; the verifier hears of it from a token, and no token makes it ask twice.
    let operator = Actor::system("test");
    server.api.test.saas.auth().revoke_signing_keys(&operator).await.expect("the keys change");
    let renewed = server.api.test.sign_in("ada@example.com").await.expect("Ada signs in");
    verifier.later(Duration::from_secs(31)).await;
    assert_eq!(verifier.judge(&token(&renewed)).await, good, "the new key is fetched");
    assert_eq!(server.fetches(), 2);
    let old = verifier.judge(&token(&ada.tokens)).await;
    assert!(!old.starts_with("good"), "a revoked key's token: {old}");
    for (what, token) in forged.hostile() {
        let answer = verifier.judge(&token).await;
        assert!(!answer.starts_with("good"), "{what}: {answer}");
    }
    assert_eq!(server.fetches(), 2, "made up keys cost one fetch in half a minute");
    verifier.later(Duration::from_secs(301)).await;
    assert_eq!(verifier.judge(&token(&renewed)).await, good);
    assert_eq!(server.fetches(), 3, "keys that are too old are fetched again");
    said.join("\n")
}

/// A part of a token, with ids and the key's name masked.
fn masked(part: &str) -> Value {
    let mut members: Value = serde_json::from_slice(&forged::decoded(part)).expect("a part is JSON");
    for (name, value) in members.as_object_mut().expect("a part is an object") {
        let Some(text) = value.as_str() else { continue };
        let id = text.rsplit(':').next().unwrap_or(text);
        if name == "kid" {
            *value = "[kid]".into();
        } else if id.parse::<uuid::Uuid>().is_ok() {
            *value = text.replace(id, "[uuid]").into();
        }
    }
    members
}

async fn the_guides_token_is_the_servers(engine: TestEngine) {
    let api = Api::with_settings(engine, [("ISSUER", ISSUER)]).await;
    let ada = api.register("ada@example.com").await;
    let parts: Vec<&str> = ada.access().split('.').collect();
    let shown = |name| serde_json::from_str::<Value>(block(name)).expect("the guide shows JSON");
    assert_eq!(masked(parts[0]), shown("header"));
    assert_eq!(masked(parts[1]), shown("claims"));
}

async fn a_session_that_ended_is_told_by_the_server_alone(engine: TestEngine) {
    let server = Running::start(engine).await;
    let ada = server.api.register("ada@example.com").await;
    let (method, path) =
        block("ask").lines().next().and_then(|line| line.split_once(' ')).expect("a request");
    assert_eq!(method, "GET");
    let now = server.api.send(get(path).bearer(ada.access())).await.json();
    assert_eq!(now["data"]["tenant_id"], ada.tenant());
    assert_eq!(now["data"]["role"], "owner");
    assert!(now["data"]["scopes"].is_array());

    server.api.send(post("/api/v1/auth/logout/all").bearer(ada.access())).await;
    let mut verifier = Verifier::rust(&server);
    assert!(verifier.judge(ada.access()).await.starts_with("good"));
    let answer = server.api.send(get(path).bearer(ada.access())).await;
    assert_eq!(answer.problem(), (401, "session_ended".to_owned()));
}

async fn the_guides_rust_accepts_our_tokens_alone(engine: TestEngine) {
    let server = Running::start(engine).await;
    let said = said_of_hostile_tokens(&server, Verifier::rust(&server)).await;
    insta::assert_snapshot!(said, @r#"
    expired a second ago -> exp
    without an end -> members
    not valid for ten minutes -> nbf or iat
    made in ten minutes -> nbf or iat
    for another audience -> aud
    of another issuer -> iss
    signed by another key -> signature
    of a key that nobody knows -> kid
    with alg none -> alg or typ
    with alg none and our signature -> alg or typ
    with HS256 keyed with the public key -> alg or typ
    with HS256 keyed with the public key in base64url -> alg or typ
    with HS256 keyed with the public key as PEM -> alg or typ
    of another type -> alg or typ
    of no type -> members
    with an extension that must be known -> members
    with another payload under our signature -> signature
    that is none -> form
    "#);
}

async fn the_guides_javascript_accepts_our_tokens_alone(engine: TestEngine) {
    let server = Running::start(engine).await;
    let said = said_of_hostile_tokens(&server, Verifier::javascript(&server)).await;
    insta::assert_snapshot!(said, @r#"
    expired a second ago -> ERR_JWT_EXPIRED: exp
    without an end -> ERR_JWT_CLAIM_VALIDATION_FAILED: exp
    not valid for ten minutes -> ERR_JWT_CLAIM_VALIDATION_FAILED: nbf
    made in ten minutes -> ERR_JWT_CLAIM_VALIDATION_FAILED: iat
    for another audience -> ERR_JWT_CLAIM_VALIDATION_FAILED: aud
    of another issuer -> ERR_JWT_CLAIM_VALIDATION_FAILED: iss
    signed by another key -> ERR_JWS_SIGNATURE_VERIFICATION_FAILED: signature verification failed
    of a key that nobody knows -> ERR_JWKS_NO_MATCHING_KEY: no applicable key found in the JSON Web Key Set
    with alg none -> ERR_JOSE_ALG_NOT_ALLOWED: "alg" (Algorithm) Header Parameter value not allowed
    with alg none and our signature -> ERR_JOSE_ALG_NOT_ALLOWED: "alg" (Algorithm) Header Parameter value not allowed
    with HS256 keyed with the public key -> ERR_JOSE_ALG_NOT_ALLOWED: "alg" (Algorithm) Header Parameter value not allowed
    with HS256 keyed with the public key in base64url -> ERR_JOSE_ALG_NOT_ALLOWED: "alg" (Algorithm) Header Parameter value not allowed
    with HS256 keyed with the public key as PEM -> ERR_JOSE_ALG_NOT_ALLOWED: "alg" (Algorithm) Header Parameter value not allowed
    of another type -> ERR_JWT_CLAIM_VALIDATION_FAILED: typ
    of no type -> ERR_JWT_CLAIM_VALIDATION_FAILED: typ
    with an extension that must be known -> ERR_JOSE_NOT_SUPPORTED: Extension Header Parameter "exp" is not recognized
    with another payload under our signature -> ERR_JWS_SIGNATURE_VERIFICATION_FAILED: signature verification failed
    that is none -> ERR_JWS_INVALID: JWS Protected Header is invalid
    "#);
}

async fn the_guides_python_accepts_our_tokens_alone(engine: TestEngine) {
    let server = Running::start(engine).await;
    let said = said_of_hostile_tokens(&server, Verifier::python(&server)).await;
    insta::assert_snapshot!(said, @r#"
    expired a second ago -> ExpiredSignatureError: the token has expired
    without an end -> MissingRequiredClaimError: Token is missing the "exp" claim
    not valid for ten minutes -> ImmatureSignatureError: The token is not yet valid (nbf)
    made in ten minutes -> ImmatureSignatureError: The token is not yet valid (iat)
    for another audience -> InvalidAudienceError: Audience doesn't match (strict)
    of another issuer -> InvalidIssuerError: Invalid issuer
    signed by another key -> InvalidSignatureError: Signature verification failed
    of a key that nobody knows -> PyJWKClientError: Unable to find a signing key that matches: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    with alg none -> InvalidAlgorithmError: The specified alg value is not allowed
    with alg none and our signature -> InvalidAlgorithmError: The specified alg value is not allowed
    with HS256 keyed with the public key -> InvalidAlgorithmError: The specified alg value is not allowed
    with HS256 keyed with the public key in base64url -> InvalidAlgorithmError: The specified alg value is not allowed
    with HS256 keyed with the public key as PEM -> InvalidAlgorithmError: The specified alg value is not allowed
    of another type -> InvalidTokenError: not an access token
    of no type -> InvalidTokenError: not an access token
    with an extension that must be known -> InvalidTokenError: Unsupported critical extension: exp
    with another payload under our signature -> InvalidSignatureError: Signature verification failed
    that is none -> DecodeError: Invalid header padding
    "#);
}
