//! The server over TCP: both protocols, and stopping.

use std::net::SocketAddr;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::{body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use saas_http::Server;
use saas_kit::testing::{TestEngine, TestSaas};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use crate::harness::{credentials, on_both_engines, registration};

on_both_engines! {
    http_1_keeps_its_connection,
    http_2_with_prior_knowledge_answers,
    the_peers_address_is_the_sessions,
    a_request_in_flight_is_answered_after_stopping_began,
    a_stream_in_flight_is_answered_after_stopping_began,
    idle_connections_end_when_the_server_stops,
    a_request_that_never_ends_does_not_hold_the_server,
    a_command_whose_client_hung_up_is_carried_out,
}

/// A server in a task of its own.
pub(crate) struct Running {
    pub(crate) test: TestSaas,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(engine: TestEngine) -> Self {
        Self::with_settings(engine, [("PORT", "0")]).await
    }

    pub(crate) async fn with_settings<const N: usize>(
        engine: TestEngine,
        settings: [(&str, &str); N],
    ) -> Self {
        Self::of(TestSaas::with_settings(engine, settings).await).await
    }

    pub(crate) async fn of(test: TestSaas) -> Self {
        // Whoever is registered over a socket may still be to be welcomed when it has been said what the test is about.
        test.leave_jobs();
        let server = Server::bind(&test.saas).await.expect("a free port is there");
        let (address, saas) = (server.address(), test.saas.clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move { server.run(&saas, async { drop(stopped.await) }).await });
        Self { test, address, stop, task }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await.expect("the server listens")
    }

    /// Tells it to stop, and comes back when it does not listen any more.
    pub(crate) async fn begin_to_stop(self) -> (TestSaas, JoinHandle<()>) {
        self.stop.send(()).expect("the server runs");
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        (self.test, self.task)
    }

    pub(crate) async fn stop(self) {
        let (_test, task) = self.begin_to_stop().await;
        task.await.expect("the server stops");
    }
}

/// A connection that speaks HTTP/1.1 by hand.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect(address).await?)))
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the connection takes bytes");
    }

    pub(crate) async fn ask(&mut self, text: &str) -> (String, Value) {
        self.write(text).await;
        self.answer().await
    }

    pub(crate) async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head).await.expect("the connection gives bytes");
            assert!(read > 0, "the connection ended: {head:?}");
        }
        head
    }

    /// The next answer's head and body.
    pub(crate) async fn answer(&mut self) -> (String, Value) {
        let head = self.head().await.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("our answers have a length")];
        self.0.read_exact(&mut body).await.expect("the body is whole");
        (head, serde_json::from_slice(&body).expect("the body is JSON"))
    }

    /// Comes back when the server has closed the connection.
    pub(crate) async fn ended(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.expect("the connection ends in order");
        assert_eq!(rest, b"");
    }
}

pub(crate) const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A post, head and body apart.
pub(crate) fn post(path: &str, body: &Value, more: &str) -> (String, String) {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    );
    (head, body)
}

async fn http_1_keeps_its_connection(engine: TestEngine) {
    let server = Running::start(engine).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        let (head, body) = client.ask(HEALTH).await;
        assert!(head.starts_with("http/1.1 200 ok\r\n") && !head.contains("connection: close"), "{head}");
        assert_eq!(body["status"], "healthy");
    }
    let (head, body) = client.ask("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 404 ") && head.contains("application/problem+json"), "{head}");
    assert_eq!(body["code"], "unknown_route");
    let (request, body) = post("/api/v1/auth/register", &registration("ada@example.com"), "");
    let (head, _) = client.ask(&(request + &body)).await;
    assert!(head.starts_with("http/1.1 201 "), "{head}");
    // Two requests at once are answered one after the other.
    client.write(&HEALTH.repeat(2)).await;
    for _ in 0..2 {
        assert_eq!(client.answer().await.1["status"], "healthy");
    }
    drop(client);
    server.stop().await;
}

pub(crate) async fn h2(address: SocketAddr) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    client
}

async fn http_2_with_prior_knowledge_answers(engine: TestEngine) {
    let server = Running::start(engine).await;
    let client = h2(server.address).await;
    let uri = |path: &str| format!("http://{}{path}", server.address);
    let streams = (0..8).map(|index| {
        let mut client = client.clone();
        let body =
            Body::new(Full::new(Bytes::from(registration(&format!("ada{index}@example.com")).to_string())));
        let request =
            Request::post(uri("/api/v1/auth/register")).header("content-type", "application/json").body(body);
        async move { client.send_request(request.expect("a request")).await }
    });
    for answer in futures_util::future::join_all(streams).await {
        let answer = answer.expect("the stream is answered");
        assert_eq!((answer.version(), answer.status()), (http::Version::HTTP_2, StatusCode::CREATED));
    }
    let request = Request::get(uri("/%FF/nothing")).body(Body::empty()).expect("a request");
    let answer = client.clone().send_request(request).await.expect("the stream is answered");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    drop(client);
    server.stop().await;
}

async fn the_peers_address_is_the_sessions(engine: TestEngine) {
    let server = Running::start(engine).await;
    let mut client = server.connect().await;
    let (head, body) =
        post("/api/v1/auth/register", &registration("ada@example.com"), "X-Forwarded-For: 198.51.100.1\r\n");
    let (_, session) = client.ask(&(head + &body)).await;
    let token = session["access_token"].as_str().expect("there is a token");
    let list = format!(
        "GET /api/v1/auth/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let (_, list) = client.ask(&list).await;
    assert_eq!(list["sessions"][0]["ip_address_masked"], "127.0.0.*");
    drop(client);
    server.stop().await;
}

async fn a_request_in_flight_is_answered_after_stopping_began(engine: TestEngine) {
    let server = Running::start(engine).await;
    let mut client = server.connect().await;
    let (head, body) =
        post("/api/v1/auth/register", &registration("ada@example.com"), "Expect: 100-continue\r\n");
    client.write(&head).await;
    // The server asks for the body when the handler reads it: the request is in work.
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    let (begin, end) = body.split_at(20);
    client.write(begin).await;
    let (_test, task) = server.begin_to_stop().await;
    assert!(!task.is_finished(), "the server waits for it");
    let (head, session) = client.ask(end).await;
    assert!(head.starts_with("http/1.1 201 ") && head.contains("connection: close"), "{head}");
    assert!(session["access_token"].is_string());
    client.ended().await;
    task.await.expect("the server stops");
}

async fn a_stream_in_flight_is_answered_after_stopping_began(engine: TestEngine) {
    let server = Running::start(engine).await;
    let client = h2(server.address).await;
    let uri = |path: &str| format!("http://{}{path}", server.address);
    let text = registration("ada@example.com").to_string();
    let (begin, end) = text.split_at(20);
    let (body, frames) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let frames =
        futures_util::stream::unfold(frames, |mut frames| async { Some((frames.recv().await?, frames)) });
    let request = Request::post(uri("/api/v1/auth/register"))
        .header("content-type", "application/json")
        .body(Body::from_stream(frames))
        .expect("a request");
    let mut slow = client.clone();
    let answer = tokio::spawn(async move { slow.send_request(request).await });
    let frame = |text: &str| Ok(Bytes::copy_from_slice(text.as_bytes()));
    // The channel holds one frame: when the second one is in, the request has taken the first, so its head is on its way.
    body.send(frame(begin)).await.expect("the request takes its body");
    body.send(frame("")).await.expect("the request takes its body");
    // Frames keep their order: when a later stream is answered, the server has the earlier one.
    let health = Request::get(uri("/health")).body(Body::empty()).expect("a request");
    let health = client.clone().send_request(health).await.expect("the stream is answered");
    assert_eq!(health.status(), StatusCode::OK);
    let (_test, task) = server.begin_to_stop().await;
    assert!(!task.is_finished(), "the server waits for it");
    body.send(frame(end)).await.expect("the request takes its body");
    drop(body);
    let answer = answer.await.expect("the task ends").expect("the stream is answered");
    assert_eq!(answer.status(), StatusCode::CREATED);
    drop((client, answer));
    task.await.expect("the server stops");
}

async fn idle_connections_end_when_the_server_stops(engine: TestEngine) {
    let server = Running::start(engine).await;
    let mut used = server.connect().await;
    used.ask(HEALTH).await;
    let mut idle_stream = h2(server.address).await;
    idle_stream.ready().await.expect("the connection stands");
    let (_test, task) = server.begin_to_stop().await;
    used.ended().await;
    task.await.expect("the server stops");
}

async fn a_request_that_never_ends_does_not_hold_the_server(engine: TestEngine) {
    // Without the deadline, the request would hold the server for an hour.
    let settings = [("PORT", "0"), ("SHUTDOWN_DEADLINE_SECONDS", "1"), ("REQUEST_TIMEOUT_SECONDS", "3600")];
    let server = Running::with_settings(engine, settings).await;
    let mut client = server.connect().await;
    let (head, _) =
        post("/api/v1/auth/register", &registration("ada@example.com"), "Expect: 100-continue\r\n");
    client.write(&head).await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    let (_test, task) = server.begin_to_stop().await;
    task.await.expect("the server stops");
}

async fn a_command_whose_client_hung_up_is_carried_out(engine: TestEngine) {
    let server = Running::start(engine).await;
    let mut client = server.connect().await;
    for index in 0..4 {
        let (head, body) = post(
            "/api/v1/auth/register",
            &registration(&format!("ada{index}@example.com")),
            "Expect: 100-continue\r\n",
        );
        let mut leaving = server.connect().await;
        leaving.write(&head).await;
        assert!(leaving.head().await.starts_with("HTTP/1.1 100 "));
        leaving.write(&body).await;
        drop(leaving);
    }
    for index in 0..4 {
        let (head, body) = post("/api/v1/auth/token", &credentials(&format!("ada{index}@example.com")), "");
        let request = head + &body;
        let mut tries = 0..5000;
        while !client.ask(&request).await.0.starts_with("http/1.1 200 ") {
            tries.next().expect("a registration that was sent whole is carried out");
        }
    }
    drop(client);
    server.stop().await;
}
