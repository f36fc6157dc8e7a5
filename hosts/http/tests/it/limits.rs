//! What the server puts up with: each limit has its answer, and harms nobody else.
#![cfg(feature = "sqlite")]

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use futures_util::{StreamExt, future::join_all, stream};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use saas_agents::{ChatModel, Finish, Item, ModelError, ModelEvent, ModelRequest, ModelStream, Usage};
use saas_kit::testing::{TestEngine, TestSaas};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};

use crate::{
    harness::registration,
    server::{Client, HEALTH, Running, h2, post},
};

/// A server with one limit that a test can wait for, or reach.
async fn server<const N: usize>(settings: [(&str, &str); N]) -> Running {
    Running::of(TestSaas::with_ports(TestEngine::Sqlite, settings, |builder| builder).await).await
}

/// Somebody else's requests, all of which succeed, as long as the attack lasts; at least one of each kind.
async fn while_others_are_served<T>(server: &Running, attack: impl Future<Output = T>) -> T {
    let over = Cell::new(false);
    let attack = async {
        let result = attack.await;
        over.set(true);
        result
    };
    let others = async {
        for number in 0_u32.. {
            let (head, body) = server.connect().await.ask(HEALTH).await;
            assert!(head.starts_with("http/1.1 200 ") && body["status"] == "healthy", "{head}");
            let email = format!("ada{number}@example.com");
            let (request, body) = post("/api/v1/auth/register", &registration(&email), "");
            let (head, _) = server.connect().await.ask(&(request + &body)).await;
            assert!(head.starts_with("http/1.1 201 "), "{head}");
            if over.get() {
                break;
            }
        }
    };
    tokio::join!(attack, others).0
}

/// Everything that the server still says, until it closes or resets the connection.
async fn until_closed(client: &mut Client) -> String {
    let mut said = Vec::new();
    let _ = client.0.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

const SHORT_HEAD: [(&str, &str); 2] = [("PORT", "0"), ("REQUEST_HEAD_TIMEOUT_SECONDS", "1")];

#[tokio::test]
async fn heads_that_take_too_long_end_their_connections_and_nobody_elses() {
    let server = server(SHORT_HEAD).await;
    let mut idle = server.connect().await;
    idle.ask(HEALTH).await;
    let slow = (0..50).map(|number| {
        let address = server.address;
        async move {
            let mut client = Client::connect(address).await.expect("the server listens");
            // Some never say a word; some are slow at the first request, some at the second.
            if number % 3 == 2 {
                client.ask(HEALTH).await;
            }
            if number % 3 > 0 {
                client.write("GET /health HTTP/1.1\r\nX-Slow: ").await;
            }
            // A byte now and then keeps no connection open.
            while number % 3 > 0 && client.0.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(until_closed(&mut client).await, "", "it is closed without a word");
        }
    });
    while_others_are_served(&server, join_all(slow)).await;
    // A connection that waits for its next request is not one that takes too long to send it.
    assert_eq!(idle.ask(HEALTH).await.1["status"], "healthy");
    drop(idle);
    server.stop().await;
}

#[tokio::test]
async fn a_preface_that_takes_too_long_ends_its_connection() {
    let server = server(SHORT_HEAD).await;
    let mut client = server.connect().await;
    client.write("PR").await;
    assert_eq!(until_closed(&mut client).await, "");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = server([("PORT", "0"), ("KEEP_ALIVE_TIMEOUT_SECONDS", "1")]).await;
    let mut client = server.connect().await;
    client.ask(HEALTH).await;
    let mut streams = h2(server.address).await;
    streams.ready().await.expect("the connection stands");
    while_others_are_served(&server, client.ended()).await;
    while streams.ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_a_431_and_a_uri_a_414() {
    let limits = [
        ("PORT", "0"),
        ("REQUEST_HEAD_LIMIT_BYTES", "8192"),
        ("REQUEST_HEADER_LIMIT", "16"),
        ("REQUEST_URI_LIMIT_BYTES", "256"),
    ];
    let server = server(limits).await;
    let large = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "x".repeat(8192));
    let many = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-Many: x\r\n".repeat(16));
    for refused in [large, many] {
        let mut client = server.connect().await;
        client.write(&refused).await;
        let said = until_closed(&mut client).await.to_ascii_lowercase();
        assert!(said.starts_with("http/1.1 431 ") && said.contains("connection: close"), "{said}");
    }
    let mut client = server.connect().await;
    let long = format!("GET /health?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(256));
    let (head, problem) = client.ask(&long).await;
    assert!(head.starts_with("http/1.1 414 "), "{head}");
    assert_eq!(problem["code"], "uri_too_long");
    assert_eq!(client.ask(HEALTH).await.1["status"], "healthy", "the connection is as good as before");
    // The same on HTTP/2, where hyper counts bytes and we the fields.
    let streams = h2(server.address).await;
    let ask = |value: String, times: usize| {
        let uri = format!("http://{}/health", server.address);
        let request =
            (0..times).fold(Request::get(uri), |request, _| request.header("x-many", value.clone()));
        let (mut streams, request) = (streams.clone(), request.body(Body::empty()).expect("a request"));
        async move { streams.send_request(request).await.map(|answer| answer.status()) }
    };
    assert_eq!(ask("x".into(), 17).await.ok(), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    assert_eq!(ask("x".repeat(8192), 1).await.ok(), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    assert_eq!(ask("x".into(), 1).await.ok(), Some(StatusCode::OK));
    drop((client, streams));
    server.stop().await;
}

/// Sends a body that does not end until the server has had enough; what it answered, and how much was sent.
async fn flood(address: SocketAddr, framing: &str, chunk: &[u8], times: usize) -> (String, usize) {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut from, mut to) = stream.into_split();
    let head = format!(
        "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    );
    let sending = async {
        to.write_all(head.as_bytes()).await?;
        let mut sent = 0;
        for _ in 0..times {
            if to.write_all(chunk).await.is_err() {
                break;
            }
            sent += chunk.len();
        }
        std::io::Result::Ok(sent)
    };
    let reading = async {
        let mut said = Vec::new();
        let _ = from.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).to_ascii_lowercase()
    };
    let (sent, said) = tokio::join!(sending, reading);
    (said, sent.expect("the head is sent"))
}

#[tokio::test]
async fn a_body_of_a_gibibyte_is_a_413_long_before_its_end() {
    const GIBIBYTE: usize = 1 << 30;
    let server = server([("PORT", "0")]).await;
    let block = vec![b' '; 64 * 1024];
    let chunk = [b"10000\r\n", &block[..], b"\r\n"].concat();
    let attacks = async {
        for (framing, chunk) in
            [(format!("Content-Length: {GIBIBYTE}"), &block), ("Transfer-Encoding: chunked".into(), &chunk)]
        {
            let (said, sent) = flood(server.address, &framing, chunk, GIBIBYTE / block.len()).await;
            assert!(said.starts_with("http/1.1 413 ") && said.contains("body_too_large"), "{said}");
            assert!(sent < GIBIBYTE / 8, "{sent} bytes were taken");
        }
    };
    while_others_are_served(&server, attacks).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_a_408_and_the_end_of_its_connection() {
    let server = server([("PORT", "0"), ("REQUEST_BODY_TIMEOUT_SECONDS", "1")]).await;
    let slow = async {
        let mut client = server.connect().await;
        let (head, body) = post("/api/v1/auth/token", &registration("slow@example.com"), "");
        client.write(&(head + &body[..10])).await;
        let (head, problem) = client.answer().await;
        assert!(head.starts_with("http/1.1 408 "), "{head}");
        assert_eq!(problem["code"], "body_timed_out");
        client.ended().await;
    };
    while_others_are_served(&server, slow).await;
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_idle_connections_keeps_nobody_out_and_ends_no_request() {
    let server =
        server([("PORT", "0"), ("MAX_CONNECTIONS", "40"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")]).await;
    let mut busy = server.connect().await;
    let (head, body) =
        post("/api/v1/auth/register", &registration("grace@example.com"), "Expect: 100-continue\r\n");
    busy.write(&head).await;
    assert!(busy.head().await.starts_with("HTTP/1.1 100 "));
    let flood = async {
        let mut idle = Vec::new();
        for number in 0..160 {
            let mut client = server.connect().await;
            if number % 2 == 0 {
                client.ask(HEALTH).await;
            }
            idle.push(client);
        }
        idle
    };
    let idle = while_others_are_served(&server, flood).await;
    let (head, _) = busy.ask(&body).await;
    assert!(head.starts_with("http/1.1 201 "), "{head}");
    drop((busy, idle));
    server.stop().await;
}

#[tokio::test]
async fn where_every_connection_is_busy_new_clients_wait_their_turn() {
    let server =
        server([("PORT", "0"), ("MAX_CONNECTIONS", "2"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")]).await;
    let mut busy = Vec::new();
    for number in 0..2 {
        let mut client = server.connect().await;
        let person = registration(&format!("ada{number}@example.com"));
        let (head, body) = post("/api/v1/auth/register", &person, "Expect: 100-continue\r\n");
        client.write(&head).await;
        assert!(client.head().await.starts_with("HTTP/1.1 100 "));
        busy.push((client, body));
    }
    let mut waiting = server.connect().await;
    let mut answer = Box::pin(waiting.ask(HEALTH));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    assert!(early.is_err(), "there is no place for it yet");
    for (client, body) in &mut busy {
        assert!(client.ask(body).await.0.starts_with("http/1.1 201 "));
    }
    assert_eq!(answer.await.1["status"], "healthy");
    drop((busy, waiting));
    server.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_has_so_many_connections_and_another_its_own() {
    let server = server([("PORT", "0"), ("MAX_CONNECTIONS_PER_ADDRESS", "3")]).await;
    let from = |source: &str| {
        let (socket, address) = (TcpSocket::new_v4().expect("a socket"), server.address);
        socket.bind(format!("{source}:0").parse().expect("an address")).expect("the address is ours");
        async move { Client(BufReader::new(socket.connect(address).await.expect("the server listens"))) }
    };
    let mut allowed = Vec::new();
    for _ in 0..3 {
        let mut client = from("127.0.0.2").await;
        client.ask(HEALTH).await;
        allowed.push(client);
    }
    let flood = async {
        for _ in 0..50 {
            assert_eq!(until_closed(&mut from("127.0.0.2").await).await, "");
        }
    };
    while_others_are_served(&server, flood).await;
    for client in &mut allowed {
        assert_eq!(client.ask(HEALTH).await.1["status"], "healthy", "those that it has are left alone");
    }
    drop(allowed.pop());
    // As soon as the server has noticed, there is a place again.
    loop {
        let mut client = from("127.0.0.2").await;
        client.write(HEALTH).await;
        if until_head(&mut client).await {
            break;
        }
    }
    drop(allowed);
    server.stop().await;
}

/// Whether the server says anything.
async fn until_head(client: &mut Client) -> bool {
    client.0.read_u8().await.is_ok()
}

/// A model that says far more than any buffer holds.
#[derive(Debug)]
struct Torrent;

const WORDS: usize = 240;

#[async_trait]
impl ChatModel for Torrent {
    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let word = "word ".repeat(8 * 1024);
        let said = stream::iter(std::iter::repeat_n(word, WORDS)).map(|word| Ok(ModelEvent::Text(word)));
        let done = ModelEvent::Done { finish: Finish::Complete, usage: Usage::default() };
        let end = [Ok(ModelEvent::Item(Item::assistant("many words"))), Ok(done)];
        Ok(said.chain(stream::iter(end)).boxed())
    }
}

async fn torrent() -> (Running, String) {
    let settings = [("PORT", "0"), ("WRITE_TIMEOUT_SECONDS", "1")];
    let test =
        TestSaas::with_ports(TestEngine::Sqlite, settings, |builder| builder.chat_model(Arc::new(Torrent)));
    let server = Running::of(test.await).await;
    let (head, body) = post("/api/v1/auth/register", &registration("grace@example.com"), "");
    let (_, session) = server.connect().await.ask(&(head + &body)).await;
    let token = session["access_token"].as_str().expect("there is a token").to_owned();
    (server, token)
}

/// Waits for a run to end, as somebody who asks.
async fn completed(server: &Running, token: &str, run: &str) -> Value {
    let request = format!(
        "GET {run} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    loop {
        let (head, run) = server.connect().await.ask(&request).await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        if run["status"] != "running" && run["status"] != "queued" {
            return run["status"].clone();
        }
        tokio::task::yield_now().await;
    }
}

fn run_of(location: &str) -> &str {
    location.trim().trim_end_matches("/stream")
}

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_and_its_run_goes_on() {
    let (server, token) = torrent().await;
    let (head, body) = post(
        "/api/v1/chat/stream",
        &json!({ "message": "Talk" }),
        &format!("Authorization: Bearer {token}\r\n"),
    );
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("the buffer may be small");
    let mut client =
        Client(BufReader::new(socket.connect(server.address).await.expect("the server listens")));
    client.write(&(head + &body)).await;
    let head = client.head().await;
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location");
    let run = run_of(location);
    // From here on it reads nothing, until the kernel tells it that the other side is gone.
    let gone = async {
        while client.0.get_ref().take_error().is_ok_and(|error| error.is_none()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    while_others_are_served(&server, gone).await;
    let said = until_closed(&mut client).await;
    assert!(!said.contains(r#""is_complete":true"#), "it was cut off");
    assert_eq!(completed(&server, &token, run).await, "completed");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_http_2_that_nobody_reads_ends_and_its_connection_goes_on() {
    let (server, token) = torrent().await;
    let mut streams = h2(server.address).await;
    let uri = |path: &str| format!("http://{}{path}", server.address);
    let request = Request::post(uri("/api/v1/chat/stream"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(r#"{"message":"Talk"}"#))
        .expect("a request");
    let answer = streams.send_request(request).await.expect("the stream is answered");
    assert_eq!(answer.status(), StatusCode::OK);
    let run = run_of(answer.headers()["location"].to_str().expect("a path")).to_owned();
    // The run ends; what it said has long filled the window that this client gives.
    assert_eq!(completed(&server, &token, &run).await, "completed");
    while_others_are_served(&server, tokio::time::sleep(Duration::from_millis(2_500))).await;
    let mut body = answer.into_body();
    let broken = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken, "the stream was reset");
    let health = Request::get(uri("/health")).body(Body::empty()).expect("a request");
    let health = streams.send_request(health).await.expect("the connection goes on");
    assert_eq!(health.status(), StatusCode::OK);
    drop((streams, health, body));
    server.stop().await;
}

/// The next frame's type and payload (RFC 9113 section 4.1).
async fn frame(client: &mut Client) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    client.0.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; usize::try_from(number(&head[..3])).expect("a length")];
    client.0.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test]
async fn http_2_says_what_it_puts_up_with() {
    let server = server([("PORT", "0")]).await;
    let mut client = server.connect().await;
    client.0.write_all(PREFACE).await.expect("the connection takes bytes");
    let (_, settings) = frame(&mut client).await.expect("the server begins with its settings");
    let settings: Vec<String> = settings
        .chunks(6)
        .map(|setting| {
            let (name, value) = setting.split_at(2);
            format!("{}: {}", number(name), number(value))
        })
        .collect();
    // SETTINGS_MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE, _MAX_HEADER_LIST_SIZE (RFC 9113 section 6.5.2).
    insta::assert_snapshot!(settings.join(", "), @"3: 100, 4: 65536, 5: 16384, 6: 32768");
    drop(client);
    server.stop().await;
}

const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection() {
    let server = server([("PORT", "0")]).await;
    let flood = async {
        let mut client = server.connect().await;
        client.0.write_all(PREFACE).await.expect("the connection takes bytes");
        let mut frames = Vec::new();
        for stream in (1_u32..).step_by(2).take(10_000) {
            // GET http /, and its reset (CANCEL).
            frames.extend_from_slice(b"\x00\x00\x03\x01\x05");
            frames.extend_from_slice(&stream.to_be_bytes());
            frames.extend_from_slice(b"\x82\x86\x84\x00\x00\x04\x03\x00");
            frames.extend_from_slice(&stream.to_be_bytes());
            frames.extend_from_slice(b"\x00\x00\x00\x08");
        }
        let _ = client.0.write_all(&frames).await;
        while let Some((kind, payload)) = frame(&mut client).await {
            if kind == GOAWAY {
                return Some(number(&payload[4..8]));
            }
        }
        None
    };
    let reason = while_others_are_served(&server, flood).await;
    assert_eq!(reason, Some(ENHANCE_YOUR_CALM));
    server.stop().await;
}
