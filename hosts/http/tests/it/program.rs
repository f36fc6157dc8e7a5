//! The program `saas-server`: started, stopped, started again.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use saas_kit::testing::{TestDatabase, TestEngine};
use serde_json::Value;

use crate::harness::{credentials, on_both_engines, registration};

on_both_engines! {
    a_restart_on_the_same_data_keeps_the_account,
}

/// The program in a folder of its own, with nothing set but what is given.
pub(crate) fn program<const N: usize>(folder: &Path, environment: [(&str, &str); N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saas-server"));
    command
        .current_dir(folder)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running program; dropping it kills it.
pub(crate) struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) address: String,
    heard: String,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut program = Self { child, log, address: String::new(), heard: String::new() };
        while program.address.is_empty() {
            let line = program.line().unwrap_or_else(|| panic!("it listens:\n{}", program.heard));
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "listening" {
                event["address"].as_str().expect("it says where").clone_into(&mut program.address);
            }
        }
        program
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.log.read_line(&mut line).expect("the log is text");
        self.heard += &line;
        (read > 0).then_some(line)
    }

    /// Asks over a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("the program listens");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("the connection takes bytes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).expect("the body is JSON"))
    }

    /// Sends SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the program runs");
        self.child.wait().expect("the program ends");
    }

    /// Sends SIGTERM.
    fn signal(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
    }

    /// Sends SIGTERM; the exit code and everything that it said on stderr.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        self.signal();
        while self.line().is_some() {}
        (self.child.wait().expect("the program ends").code(), std::mem::take(&mut self.heard))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn a_restart_on_the_same_data_keeps_the_account(engine: TestEngine) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let database = TestDatabase::create(engine).await;
    let start = || Program::start(program(folder.path(), [("PORT", "0"), ("DATABASE_URL", database.url())]));

    let first = start();
    let (status, registered) =
        first.ask("POST", "/api/v1/auth/register", &registration("ada@example.com").to_string());
    assert_eq!(status, 201, "{registered}");
    let (_, keys) = first.ask("GET", "/.well-known/jwks.json", "");
    let (code, log) = first.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"message\":\"stopped\""), "{log}");

    let second = start();
    let (status, session) =
        second.ask("POST", "/api/v1/auth/token", &credentials("ada@example.com").to_string());
    assert_eq!(status, 200, "{session}");
    assert_eq!(session["user_id"], registered["user_id"]);
    let refresh = serde_json::json!({ "refresh_token": registered["refresh_token"] }).to_string();
    assert_eq!(second.ask("POST", "/api/v1/auth/refresh", &refresh).0, 200);
    assert_eq!(second.ask("GET", "/.well-known/jwks.json", "").1, keys);
    let (code, log) = second.terminate();
    assert_eq!(code, Some(0), "{log}");
    // The log does not tell who signed in, or with what. (What is shown to people names an example.)
    let events: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(events.iter().any(|event| event.contains("signed in")), "{log}");
    for secret in ["ada@example.com", "correct horse battery staple", "saas_rt_", "eyJ"] {
        assert!(!events.concat().contains(secret), "{log}");
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn with_nothing_set_it_says_where_it_listens_where_its_data_is_and_what_to_try() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let program = Program::start(program(folder.path(), [("PORT", "0")]));
    let address = program.address.clone();
    assert_eq!(program.ask("GET", "/health/ready", "").0, 200);
    let (code, said) = program.terminate();
    assert_eq!(code, Some(0), "{said}");
    let data = folder.path().canonicalize().expect("the folder is there").join("var/saas.db");
    for part in [
        format!("http://{address}"),
        data.display().to_string(),
        format!("curl -s http://{address}/api/v1/auth/register"),
    ] {
        assert!(said.contains(&part), "{part} is missing in\n{said}");
    }
    assert!(data.exists());
}

#[cfg(feature = "sqlite")]
#[test]
fn a_second_signal_stops_it_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // Without it, the request would hold the program for an hour.
    let patient = [
        ("PORT", "0"),
        ("SHUTDOWN_DEADLINE_SECONDS", "3600"),
        ("REQUEST_BODY_TIMEOUT_SECONDS", "3600"),
        ("REQUEST_TIMEOUT_SECONDS", "3600"),
    ];
    let mut program = Program::start(program(folder.path(), patient));
    let mut stalled = TcpStream::connect(&program.address).expect("the program listens");
    let head = "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\
                Expect: 100-continue\r\n\r\n";
    stalled.write_all(head.as_bytes()).expect("the connection takes bytes");
    stalled.read_exact(&mut [0; 25]).expect("it asks for the body");
    program.signal();
    while !program.heard.contains("\"message\":\"stopping\"") {
        program.line().unwrap_or_else(|| panic!("it waits for the request:\n{}", program.heard));
    }
    let (code, said) = program.terminate();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("told to stop a second time"), "{said}");
}

/// Log lines go to a pipe that nobody reads any more.
#[test]
fn a_log_that_cannot_be_written_ends_neither_a_request_nor_the_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut running = Program::start(program(folder.path(), [("PORT", "0")]));
    // The read end goes; from here on writing to stderr fails.
    let nobody = Command::new("true").stderr(Stdio::piped()).spawn().expect("true runs").stderr;
    running.log = BufReader::new(nobody.expect("stderr is piped"));
    for _ in 0..3 {
        assert_eq!(running.ask("GET", "/health", "").0, 200);
    }
    let (code, _) = running.terminate();
    assert_eq!(code, Some(0));
}

fn output<const N: usize>(environment: [(&str, &str); N]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    program(folder.path(), environment).output().expect("the program starts")
}

#[test]
fn a_production_with_nothing_set_exits_2_and_lists_everything_missing() {
    let output = output([("ENVIRONMENT", "production")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r"
    the settings are not fit for production (problems: 4):
    - SAAS_APP_PUBLIC_URL is not set; set the address that users open, for example https://app.example.com
    - SAAS_DATABASE_URL is not set; set postgres://user:password@host/name or sqlite:<path>, special characters of the password percent-encoded
    - SAAS_ROOT_KEY is not set, which only SQLite can do without (it generates one); set 32 random bytes in base64, for example from: openssl rand -base64 32
    - SAAS_MAIL_TRANSPORT is not set, and mails would stay in a folder; set RESEND_API_KEY, or SMTP_HOST, or folder if mails shall stay in files on this machine
    ");
}

/// What the refusal above asks for is all that there is to set.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_production_with_what_was_missing_starts_without_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let database = TestDatabase::create(TestEngine::Postgres).await;
    let set = [
        ("ENVIRONMENT", "production"),
        ("PORT", "0"),
        ("APP_PUBLIC_URL", "https://app.example.com"),
        ("DATABASE_URL", database.url()),
        ("ROOT_KEY", "q3xJ0l1B8mVYc2Zt5nRw7eKd4uHs6gPa9fXoTiUyWbM="),
        ("MAIL_TRANSPORT", "folder"),
    ];
    // A hardened server does not change the schema by itself: that is the one step that is left, and it says so.
    let refused = program(folder.path(), set).output().expect("the program starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("AUTO_RUN_MIGRATIONS=true"), "{said}");
    let mut command = program(folder.path(), set);
    command.env("AUTO_RUN_MIGRATIONS", "true");
    let program = Program::start(command);
    assert_eq!(program.ask("GET", "/health/ready", "").0, 200);
    let (code, said) = program.terminate();
    assert_eq!(code, Some(0), "{said}");
    let loud: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("\"level\":\"INFO\""))
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(loud, Vec::<&str>::new());
}

#[cfg(feature = "sqlite")]
#[test]
fn a_port_that_is_taken_exits_1_and_says_which() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port is there");
    let port = taken.local_addr().expect("it has an address").port().to_string();
    let output = output([("PORT", &port)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
}
