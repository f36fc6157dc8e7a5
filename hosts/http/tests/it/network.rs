//! Behind proxies: who a request is from, which hosts are ours, what browsers are told of TLS.

use http::header;
use saas_kit::testing::TestEngine;
use serde_json::Value;

use crate::{
    harness::{Answer, Api, Call, credentials, get, on_both_engines, post, registration},
    server::{self, Running},
};

on_both_engines! {
    a_session_has_the_address_that_a_trusted_proxy_names,
    what_clients_say_of_themselves_is_not_looked_at,
    the_connections_of_a_trusted_proxy_are_not_limited,
    hosts_that_are_not_ours_are_refused,
    probes_are_answered_whatever_host_they_name,
    a_host_that_is_none_or_two_is_refused,
    a_router_in_another_program_leaves_hosts_to_it,
    browsers_that_came_over_tls_are_told_to_come_so_again,
}

const XFF: header::HeaderName = header::HeaderName::from_static("x-forwarded-for");
const PROTO: header::HeaderName = header::HeaderName::from_static("x-forwarded-proto");

/// The address of the session that this sign-in makes, as the list shows it.
async fn listed(api: &Api, peer: &str, headers: &[(header::HeaderName, &str)]) -> String {
    let mut call = post("/api/v1/auth/token").json(&credentials("ada@example.com"));
    for (name, value) in headers {
        call = call.header(name.clone(), value);
    }
    let session = api.send(call.peer(peer.parse().expect("an address"))).await.json();
    let token = session["access_token"].as_str().expect("there is a token");
    let list = api.send(get("/api/v1/auth/sessions").bearer(token)).await.json();
    let sessions = list["sessions"].as_array().expect("there is a list");
    let current: &Value =
        sessions.iter().find(|item| item["current"] == true).expect("one is the current one");
    current["ip_address_masked"].as_str().unwrap_or_default().to_owned()
}

async fn a_session_has_the_address_that_a_trusted_proxy_names(engine: TestEngine) {
    let api = Api::with_settings(engine, [("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    api.register("ada@example.com").await;
    let through = async |forwarded: &[_]| listed(&api, "10.0.0.1", forwarded).await;
    assert_eq!(through(&[(XFF, "198.51.100.1")]).await, "198.51.100.*");
    assert_eq!(through(&[(XFF, "192.0.2.1, 198.51.100.1, 10.0.0.2")]).await, "198.51.100.*");
    assert_eq!(through(&[(XFF, "192.0.2.1"), (XFF, "2001:db8:1:2:3::4")]).await, "2001:db8:1:2:*");
    assert_eq!(through(&[(XFF, "192.0.2.1, unknown")]).await, "10.0.0.*");
    assert_eq!(through(&[(header::FORWARDED, "for=198.51.100.1")]).await, "10.0.0.*");

    let api =
        Api::with_settings(engine, [("TRUSTED_PROXY_HOPS", "1"), ("FORWARDED_HEADER", "forwarded")]).await;
    api.register("ada@example.com").await;
    let forwarded = "for=192.0.2.1, for=\"[2001:db8:1:2::7]:4711\";proto=https";
    assert_eq!(listed(&api, "203.0.113.9", &[(header::FORWARDED, forwarded)]).await, "2001:db8:1:2:*");
    assert_eq!(listed(&api, "203.0.113.9", &[(XFF, "198.51.100.1")]).await, "203.0.113.*");
}

async fn what_clients_say_of_themselves_is_not_looked_at(engine: TestEngine) {
    let said = [(XFF, "192.0.2.1"), (header::FORWARDED, "for=192.0.2.1")];
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    assert_eq!(listed(&api, "203.0.113.7", &said).await, "203.0.113.*");
    let api = Api::with_settings(engine, [("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    api.register("ada@example.com").await;
    assert_eq!(listed(&api, "203.0.113.7", &said).await, "203.0.113.*");
}

async fn the_connections_of_a_trusted_proxy_are_not_limited(engine: TestEngine) {
    let limit = ("MAX_CONNECTIONS_PER_ADDRESS", "2");
    let settings = [("PORT", "0"), limit, ("TRUSTED_PROXIES", "127.0.0.1")];
    let server = Running::with_settings(engine, settings).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect().await;
        assert!(client.ask(server::HEALTH).await.0.starts_with("http/1.1 200 "));
        clients.push(client);
    }
    drop(clients);
    server.stop().await;
}

async fn about(api: &Api, host: &str) -> Answer {
    api.send(get("/").header(header::HOST, host)).await
}

async fn hosts_that_are_not_ours_are_refused(engine: TestEngine) {
    let api = Api::with_settings(engine, [("APP_PUBLIC_URL", "https://app.example.com")]).await;
    for host in ["app.example.com", "APP.example.com:8443", "localhost:8000", "127.0.0.1", "[::1]:8000"] {
        assert_eq!(about(&api, host).await.status, 200, "{host}");
    }
    for host in ["evil.test", "app.example.com.evil.test", "192.0.2.1:8000"] {
        assert_eq!(about(&api, host).await.problem(), (421, "host_not_allowed".to_owned()), "{host}");
    }
    // The target counts as well, on HTTP/2 and where a proxy asks.
    let answer = api.send(get("http://evil.test/").header(header::HOST, "app.example.com")).await;
    assert_eq!(answer.problem(), (421, "host_not_allowed".to_owned()));

    let api = Api::with_settings(engine, [("ALLOWED_HOSTS", "*.example.org")]).await;
    assert_eq!(about(&api, "a.example.org").await.status, 200);
    assert_eq!(about(&api, "localhost").await.status, 421);
    // Nothing is done for a host that is not ours.
    let call = post("/api/v1/auth/register").json(&registration("ada@example.com"));
    assert_eq!(api.send(call.header(header::HOST, "localhost")).await.status, 421);
    let call = post("/api/v1/auth/token").json(&credentials("ada@example.com"));
    assert_eq!(api.send(call).await.status, 401);
}

async fn probes_are_answered_whatever_host_they_name(engine: TestEngine) {
    let api = Api::with_settings(engine, [("ALLOWED_HOSTS", "app.example.com")]).await;
    for path in ["/health", "/health/ready", "/.well-known/jwks.json"] {
        let answer = api.send(get(path).header(header::HOST, "10.1.2.3:8000")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(about(&api, "10.1.2.3:8000").await.status, 421);
}

async fn a_host_that_is_none_or_two_is_refused(engine: TestEngine) {
    let server = Running::start(engine).await;
    for hosts in
        ["Host: local host\r\n", "Host: localhost\r\nHost: localhost\r\n", "Host: a/b\r\n", "Host: \r\n"]
    {
        let mut client = server.connect().await;
        let (head, body) = client.ask(&format!("GET / HTTP/1.1\r\n{hosts}\r\n")).await;
        assert!(head.starts_with("http/1.1 400 "), "{hosts}: {head}");
        assert_eq!(body["code"], "invalid_host");
    }
    server.stop().await;
}

async fn a_router_in_another_program_leaves_hosts_to_it(engine: TestEngine) {
    let api = Api::start(engine).await;
    let router = saas_http::api_router(&api.test.saas);
    let api = Api { router, ..api };
    let call = post("/api/v1/auth/register").json(&registration("ada@example.com"));
    assert_eq!(api.send(call.header(header::HOST, "their.example.com")).await.status, 201);
}

async fn browsers_that_came_over_tls_are_told_to_come_so_again(engine: TestEngine) {
    let told =
        async |api: &Api, call: Call| api.send(call).await.header("strict-transport-security").to_owned();
    let year = "max-age=31536000";

    // On plain HTTP nobody is told: they could not come back.
    let api = Api::start(engine).await;
    assert_eq!(told(&api, get("/health").header(PROTO, "https")).await, "");

    let https = ("APP_PUBLIC_URL", "https://app.example.com");
    let api = Api::with_settings(engine, [https]).await;
    assert_eq!(told(&api, get("/health")).await, year);
    assert_eq!(told(&api, get("/nothing")).await, year, "problems, too");

    // A trusted proxy knows better, either way.
    let proxy = "10.0.0.1".parse().expect("an address");
    let api = Api::with_settings(engine, [https, ("TRUSTED_PROXIES", "10.0.0.1")]).await;
    assert_eq!(told(&api, get("/health").peer(proxy).header(PROTO, "http")).await, "");
    assert_eq!(told(&api, get("/health").peer(proxy).header(PROTO, "https")).await, year);
    assert_eq!(told(&api, get("/health").header(PROTO, "http")).await, year, "not from anybody");
    let more =
        [("HSTS_MAX_AGE_SECONDS", "60"), ("HSTS_INCLUDE_SUBDOMAINS", "true"), ("TRUSTED_PROXY_HOPS", "1")];
    let api = Api::with_settings(engine, more).await;
    assert_eq!(told(&api, get("/health").header(PROTO, "https")).await, "max-age=60; includeSubDomains");
    assert_eq!(told(&api, get("/health")).await, "");

    let api = Api::with_settings(engine, [https, ("HSTS_MAX_AGE_SECONDS", "0")]).await;
    assert_eq!(told(&api, get("/health")).await, "");
}
