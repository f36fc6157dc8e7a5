//! Who may see what was counted.

use http::{StatusCode, header};
use saas_http::{Server, metrics::MetricsHandle};
use saas_kit::testing::TestEngine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{recorded, start, text::Text};
use crate::{
    harness::{Api, Call, get, registration},
    program::{Program, program},
};

const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978";

/// What makes an environment hardened, so that it starts.
const HARDENED: [(&str, &str); 6] = [
    ("ENVIRONMENT", "production"),
    ("APP_PUBLIC_URL", "https://app.example.com"),
    ("SIGNUP_ACCESS_POLICY", "public"),
    ("MAIL_TRANSPORT", "folder"),
    ("PASSWORD_HASH_MEMORY_KIB", "12288"),
    ("PASSWORD_HASH_ITERATIONS", "3"),
];

async fn problem(api: &Api, call: Call) -> (u16, String) {
    api.send(call).await.problem()
}

fn hardened_with<const N: usize, const M: usize>(
    more: [(&'static str, &'static str); N],
) -> [(&'static str, &'static str); M] {
    let mut all = HARDENED.into_iter().chain(more);
    std::array::from_fn(|_| all.next().expect("as many as there are"))
}

#[cfg(feature = "sqlite")]
#[test]
fn in_development_metrics_are_open_on_the_main_address() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, []).await;
        assert_eq!(api.send(get("/metrics")).await.status, StatusCode::OK);
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn in_production_metrics_are_nowhere_unless_somebody_says_where() {
    recorded(|handle| async move {
        let api = start(TestEngine::Sqlite, &handle, HARDENED).await;
        let (hidden, unknown) = (api.send(get("/metrics")).await, api.send(get("/metric")).await);
        assert_eq!(hidden.problem(), (404, "unknown_route".to_owned()));
        assert_eq!(hidden.json()["detail"], unknown.json()["detail"]);
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn a_token_opens_them_and_nothing_else_does() {
    recorded(|handle| async move {
        let settings: [_; 7] = hardened_with([("METRICS_TOKEN", TOKEN)]);
        let api = start(TestEngine::Sqlite, &handle, settings).await;
        let refused = (401, "unauthenticated".to_owned());
        for token in ["", "wrong", &TOKEN[1..], &format!("{TOKEN}0"), &TOKEN.to_uppercase()] {
            assert_eq!(problem(&api, get("/metrics").bearer(token)).await, refused, "{token}");
        }
        assert_eq!(problem(&api, get("/metrics")).await, refused);
        assert_eq!(problem(&api, get("/metrics").bearer(TOKEN).bearer(TOKEN)).await, refused);
        let basic = get("/metrics").header(header::AUTHORIZATION, format!("Basic {TOKEN}"));
        assert_eq!(problem(&api, basic).await, refused);
        let answer = api.send(get("/metrics").bearer(TOKEN)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
        assert!(!answer.text().contains(TOKEN));
        // It opens nothing of the product.
        assert_eq!(problem(&api, get("/api/v1/auth/me").bearer(TOKEN)).await.0, 401);
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn an_address_of_their_own_serves_the_operations_alone() {
    recorded(|handle| async move {
        let settings: [_; 8] = hardened_with([("METRICS_ADDRESS", "127.0.0.1:0"), ("PORT", "0")]);
        let api = start(TestEngine::Sqlite, &handle, settings).await;
        assert_eq!(problem(&api, get("/metrics")).await, (404, "unknown_route".to_owned()));

        let server = Server::bind_operations(&api.test.saas, handle).await.expect("a port is free");
        let server = server.expect("the address is set");
        let address = server.address();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let asked = async {
            for (path, begins, holds) in [
                ("/metrics", "HTTP/1.1 200 ", "\nsaas_uptime_seconds "),
                ("/health/ready", "HTTP/1.1 200 ", "ready"),
                ("/api/v1/auth/me", "HTTP/1.1 404 ", "unknown_route"),
                ("/docs", "HTTP/1.1 404 ", "unknown_route"),
            ] {
                let answer = ask(address, path).await;
                assert!(answer.starts_with(begins) && answer.contains(holds), "{path}: {answer}");
            }
            stop.send(()).expect("the server runs");
        };
        tokio::join!(server.run(&api.test.saas, async { drop(stopped.await) }), asked);
    });
}

async fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the connection takes bytes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the answer is text");
    answer
}

#[cfg(feature = "sqlite")]
#[test]
fn an_address_does_without_a_token_only_where_none_is_set() {
    recorded(|handle| async move {
        let settings = [("METRICS_ADDRESS", "127.0.0.1:0"), ("METRICS_TOKEN", TOKEN)];
        let test = saas_kit::testing::TestSaas::with_settings(TestEngine::Sqlite, settings).await;
        let router = saas_http::ops_router_with_metrics(&test.saas, handle.on_private_address());
        let api = Api { test, router };
        assert_eq!(problem(&api, get("/metrics")).await.0, 401);
        assert_eq!(api.send(get("/metrics").bearer(TOKEN)).await.status, StatusCode::OK);
    });
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_program_that_installed_nothing_is_told_what_to_do() {
    let api = Api::start(TestEngine::Sqlite).await;
    let answer = api.send(get("/metrics")).await;
    assert_eq!(answer.problem(), (404, "metrics_not_installed".to_owned()));
    assert!(answer.text().contains("saas_http::metrics::install"), "{}", answer.text());
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn an_exporter_of_ones_own_is_shown_as_it_is() {
    let test = saas_kit::testing::TestSaas::start(TestEngine::Sqlite).await;
    let handle = MetricsHandle::rendered_by(|| "mine 1\n".to_owned());
    let router = saas_http::ops_router_with_metrics(&test.saas, handle);
    let api = Api { test, router };
    assert_eq!(api.send(get("/metrics")).await.text(), "mine 1\n");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn the_program_counts_from_its_first_connection_on() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // A loopback address that nobody else uses: what is free there stays free.
    let free = std::net::TcpListener::bind("127.83.7.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port is there");
    let settings = [("PORT", "0"), ("METRICS_ADDRESS", &address.to_string())];
    let program = Program::start(program(folder.path(), settings));
    assert_eq!(program.ask("GET", "/metrics", "").0, 404);
    let (status, _) =
        program.ask("POST", "/api/v1/auth/register", &registration("ada@example.com").to_string());
    assert_eq!(status, 201);

    let answer = ask(address, "/metrics").await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let text = Text::read(body);
    for (series, count) in [
        (r#"http_requests_total{method="POST",route="/api/v1/auth/register",status="201"}"#, 1.0),
        ("saas_password_hash_duration_seconds_count", 1.0),
        ("saas_sessions_opened_total", 1.0),
    ] {
        assert_eq!(text.value(series), Some(count), "{series}");
    }
    // This one's, at least.
    assert!(text.value("saas_http_connections_open").is_some_and(|open| open >= 1.0));
    let (code, log) = program.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(&address.to_string()), "{log}");
}
