//! The log of a busy run, searched for every secret and every address that was used in it.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use saas_core::{Reach, Storage};
use saas_sql::{SqlOptions, SqlStorage};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Place, on_both_engines};

mod search;

use search::{Secrets, leaks};

on_both_engines! {
    the_log_of_a_busy_run_holds_no_secret_and_no_address,
}

const WRONG_PASSWORD: &str = "a wrong guess: 7 horses+staples";
const ADDRESSES: [&str; 4] =
    ["Ada.Lovelace+test@Example.COM", "grace@example.org", "eve@example.net", "nobody.here@example.com"];
const ROOT_KEY: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
const API_KEY: &str = "sk-proj-4bVn8QzL2xWmT7yKcR1dF6gH9jP3sA5u";
const METRICS_TOKEN: &str = "9f2b7c4e1d8a6035c7e2f4b1a9d80356";
const DATABASE_PASSWORD: &str = "Xy7_database-secret_Qr2";

/// The program, at the most verbose level, with its log in a file: a pipe that nobody reads would lose lines.
struct Busy {
    child: Child,
    address: String,
}

/// The settings that are secrets, or have one in them.
fn environment(place: &Place) -> Vec<(String, String)> {
    let url =
        place.url().replace("postgres://postgres@", &format!("postgres://postgres:{DATABASE_PASSWORD}@"));
    [
        ("LOG_LEVEL", "trace"),
        ("LOG_FORMAT", "json"),
        ("PORT", "0"),
        ("DATABASE_URL", &url),
        ("ROOT_KEY", ROOT_KEY),
        ("OPENAI_API_KEY", API_KEY),
        // Nobody listens there: a model that cannot be reached is an error that is logged.
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
        ("METRICS_TOKEN", METRICS_TOKEN),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

impl Busy {
    fn start(place: &Place) -> Self {
        let log = place.path().join("server.log");
        let mut command = place.command(&["serve"]);
        command.envs(environment(place)).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut busy = Self { child: command.spawn().expect("the program starts"), address: String::new() };
        let begun = Instant::now();
        while busy.address.is_empty() {
            let text = fs::read_to_string(&log).unwrap();
            assert!(
                begun.elapsed() < Duration::from_mins(1) && busy.child.try_wait().unwrap().is_none(),
                "{text}"
            );
            let said = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let listening = said.into_iter().find(|line| line["message"] == "listening");
            busy.address =
                listening.map(|line| line["address"].as_str().unwrap().to_owned()).unwrap_or_default();
        }
        busy
    }

    /// Sends a request with these headers; the status and the body.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the program listens");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("the connection takes bytes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the answer comes to its end");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.ask("POST", path, "Content-Type: application/json\r\n", &body.to_string());
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Stops it, and takes what it said to its last line.
    fn stop(mut self, place: &Place) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        fs::read_to_string(place.path().join("server.log")).unwrap()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // It has ended already in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n")
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("{member} in {value}")).to_owned()
}

/// Registers, signs in rightly and wrongly, refreshes, and uses a refresh token twice.
fn sign_in_all_over(server: &Busy, secrets: &mut Secrets) -> String {
    let mut access = String::new();
    for address in &ADDRESSES[..2] {
        let body =
            json!({ "email": address, "password": PASSWORD, "tenant_name": "Engines", "accept_terms": true });
        let (status, session) = server.post("/api/v1/auth/register", &body);
        assert_eq!(status, 201, "{session}");
        secrets.tokens(&session);
        access = text(&session, "access_token");
        assert_eq!(server.post("/api/v1/auth/register", &body).0, 409);
        for (address, password, expected) in [
            (address.to_lowercase(), PASSWORD, 200),
            (address.to_uppercase(), WRONG_PASSWORD, 401),
            (ADDRESSES[3].to_owned(), PASSWORD, 401),
        ] {
            let body = json!({ "email": address, "password": password });
            let (status, session) = server.post("/api/v1/auth/token", &body);
            assert_eq!(status, expected, "{session}");
            if status == 200 {
                secrets.tokens(&session);
                let first = text(&session, "refresh_token");
                let mut last = first.clone();
                for _ in 0..2 {
                    let (status, session) =
                        server.post("/api/v1/auth/refresh", &json!({ "refresh_token": last }));
                    assert_eq!(status, 200, "{session}");
                    secrets.tokens(&session);
                    last = text(&session, "refresh_token");
                }
                // Long since replaced: whoever has it stole it.
                assert_eq!(server.post("/api/v1/auth/refresh", &json!({ "refresh_token": first })).0, 401);
            }
        }
    }
    access
}

/// Begins to add an authenticator app, and tries codes that prove nothing.
fn add_second_factor(server: &Busy, access: &str, secrets: &mut Secrets) {
    let path = "/api/v1/auth/second-factor/totp";
    let (status, begun) = server.ask("POST", path, &bearer(access), "");
    assert_eq!(status, 200, "{begun}");
    let begun: Value = serde_json::from_str(&begun).unwrap();
    secrets.add("a seed", &text(&begun["data"], "secret"));
    let wrong = json!({ "code": "12345a" }).to_string();
    assert_eq!(server.ask("POST", &format!("{path}/confirm"), &bearer(access), &wrong).0, 422);
    let guess = json!({ "password": WRONG_PASSWORD }).to_string();
    assert_eq!(server.ask("POST", "/api/v1/auth/step-up", &bearer(access), &guess).0, 403);
    let recovery = "7G2K-M4QX-T9RB-W0CZ";
    secrets.add("a recovery code", recovery);
    let guess = json!({ "recovery_code": recovery }).to_string();
    assert_eq!(server.ask("POST", "/api/v1/auth/step-up", &bearer(access), &guess).0, 403);
    let guess = json!({ "challenge": access, "recovery_code": recovery });
    assert_eq!(server.post("/api/v1/auth/token/second-factor", &guess).0, 401);
}

/// Sends what is wrong in every way, each with a secret in it.
fn send_nonsense(server: &Busy, access: &str) {
    let json = "Content-Type: application/json\r\n";
    let email = ADDRESSES[2];
    let broken = format!("{{\"email\": \"{email}\", \"password\": \"{PASSWORD}\"");
    assert_eq!(server.ask("POST", "/api/v1/auth/token", json, &broken).0, 400);
    let wrong = json!({ "email": "not an address", "password": PASSWORD, "display_name": email }).to_string();
    assert_eq!(server.ask("POST", "/api/v1/auth/register", json, &wrong).0, 422);
    assert_eq!(server.ask("POST", "/api/v1/auth/token", "Content-Type: text/plain\r\n", &wrong).0, 415);
    let query = format!("?password={}&email={email}&token={access}", WRONG_PASSWORD.replace(' ', "%20"));
    assert_eq!(
        server.ask("GET", &format!("/api/v1/auth/sessions{query}&limit=x"), &bearer(access), "").0,
        422
    );
    assert_eq!(server.ask("GET", &format!("/{email}/{access}{query}"), "", "").0, 404);
    assert_eq!(server.ask("PUT", &format!("/api/v1/auth/me{query}"), "", "").0, 405);
    let (head, signature) = access.rsplit_once('.').unwrap();
    for token in [format!("{access}x"), format!("{head}."), format!("{signature}.{head}"), API_KEY.to_owned()]
    {
        assert_eq!(server.ask("GET", "/api/v1/auth/me", &bearer(&token), "").0, 401);
    }
    assert_eq!(server.post("/api/v1/auth/refresh", &json!({ "refresh_token": access })).0, 401);
    let wrong = format!("Authorization: Bearer {METRICS_TOKEN}x\r\n");
    assert_eq!(server.ask("GET", "/metrics", &wrong, "").0, 401);
    assert_eq!(server.ask("GET", "/metrics", &bearer(METRICS_TOKEN), "").0, 200);
    // No HTTP at all, with a secret in it.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(format!("{PASSWORD} {email} {access}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// Chats with a model that is away: the run fails, and says why.
fn chat(server: &Busy, access: &str) {
    let message =
        json!({ "message": format!("my password is {PASSWORD}, I am {}", ADDRESSES[2]) }).to_string();
    for path in ["/api/v1/chat", "/api/v1/chat/stream"] {
        let (status, body) = server.ask("POST", path, &bearer(access), &message);
        assert!(status == 502 || status == 200, "{status} {body}");
    }
}

/// Breaks the storage under the server: what it writes fails, with the values in the engine's words.
async fn break_storage(place: &Place) {
    let storage = SqlStorage::open(&SqlOptions::new(place.url()).unwrap()).await.unwrap();
    let mut tx = storage.begin(Reach::Platform("a test")).await.unwrap();
    // No two users may have the same status: the next one fails.
    saas_sql::execute!(tx.conn(), "DELETE FROM saas_users WHERE email = 'grace@example.org'").unwrap();
    saas_sql::execute!(tx.conn(), "CREATE UNIQUE INDEX broken ON saas_users (status)").unwrap();
    saas_sql::execute!(tx.conn(), "ALTER TABLE saas_sessions RENAME TO saas_sessions_gone").unwrap();
    tx.commit().await.unwrap();
    storage.close().await;
}

fn the_log_of_a_busy_run_holds_no_secret_and_no_address(place: &Place) {
    let mut secrets = Secrets::default();
    for (what, secret) in [
        ("a password", PASSWORD),
        ("a wrong password", WRONG_PASSWORD),
        ("the root key", ROOT_KEY),
        ("an API key", API_KEY),
        ("the token for metrics", METRICS_TOKEN),
        ("the database's password", DATABASE_PASSWORD),
    ] {
        secrets.add(what, secret);
    }
    for address in ADDRESSES {
        secrets.address(address);
    }

    let server = Busy::start(place);
    let access = sign_in_all_over(&server, &mut secrets);
    add_second_factor(&server, &access, &mut secrets);
    send_nonsense(&server, &access);
    chat(&server, &access);
    let mut said = on_the_command_line(place);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(break_storage(place));
    let body = json!({ "email": ADDRESSES[2], "password": PASSWORD, "tenant_name": "Engines", "accept_terms": true });
    assert_eq!(server.post("/api/v1/auth/register", &body).0, 500);
    let body = json!({ "email": ADDRESSES[0], "password": PASSWORD });
    assert_eq!(server.post("/api/v1/auth/token", &body).0, 500);
    said += &server.stop(place);

    // It is the log of all that, whole, and verbose.
    for sign in ["request served", "\"level\":\"TRACE\"", "\"level\":\"ERROR\"", "the request failed"] {
        assert!(said.contains(sign), "{sign} is in none of {} lines", said.lines().count());
    }
    assert!(said.lines().count() > 200 && !said.contains("lines were lost"), "{}", said.lines().count());
    assert_eq!(leaks(&said, &secrets), Vec::<String>::new());

    // And would be found: the last line of the log, once with each secret in each form.
    for (what, form, leaked) in secrets.in_every_form() {
        let found = leaks(&format!("{{\"message\":\"request served\",\"leak\":\"{leaked}\"}}\n"), &secrets);
        assert!(found.iter().any(|found| found.starts_with(what)), "{what}, {form}, was not found");
    }
}

/// What commands of the operator's say on stderr at the most verbose level.
fn on_the_command_line(place: &Place) -> String {
    let environment = environment(place);
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let create = [
        "users",
        "create",
        ADDRESSES[2],
        "--tenant-name",
        "Test Tenant",
        "--display-name",
        "E",
        "--password-stdin",
    ];
    let chat = ["chat", "--email", ADDRESSES[0], "--password-stdin"];
    let mut said = String::new();
    for (arguments, stdin) in [
        (&["users", "list"][..], ""),
        (&create[..], "too short\n"),
        (&chat, &*format!("{WRONG_PASSWORD}\n")),
        (&chat, &*format!("{PASSWORD}\nhello\n")),
        (&["keys", "rotate"], ""),
        (&["secrets", "reencrypt"], ""),
        (&["config", "show"], ""),
        (&["jobs", "list"], ""),
        (&["migrate"], ""),
    ] {
        said += &place.run_with_input(arguments, &environment, stdin).stderr;
    }
    said
}
