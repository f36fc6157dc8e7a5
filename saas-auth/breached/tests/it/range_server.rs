//! A server that answers as the reference of Have I Been Pwned's API says that it does: <https://haveibeenpwned.com/API/v3>, "Searching by
//! range". Nothing of it was recorded from the live service.

use std::{
    fmt::Write,
    sync::{Arc, Mutex},
};

use saas_auth::conformance::breached_passwords::BreachedPasswordsSubject;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::sha1;

/// What it does instead of answering as it should.
#[derive(Debug, Clone, Default)]
pub(crate) enum Manner {
    #[default]
    Answers,
    /// That status and body.
    Says(u16, String),
    /// Nothing, for ever.
    Hangs,
    /// A body without end.
    Floods,
}

#[derive(Debug, Default)]
struct State {
    manner: Manner,
    requests: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct RangeServer {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for RangeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RangeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                open.spawn(exchanges(socket, Arc::clone(&shared)));
            }
        });
        Self { port, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// Heads of requests as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// The requests of one connection.
async fn exchanges(socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut socket = BufReader::new(socket);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if socket.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let manner = {
            let mut state = state.lock().unwrap();
            state.requests.push(head.clone());
            state.manner.clone()
        };
        let (status, body) = match manner {
            Manner::Answers => range(&head),
            Manner::Says(status, body) => (status, body),
            Manner::Hangs => std::future::pending().await,
            Manner::Floods => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                let line = format!("{}:1\r\n", "0".repeat(35));
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                while socket.write_all(chunk.as_bytes()).await.is_ok() {}
                return;
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: text/plain\r\nlocation: /range/00000\r\nretry-after: 2\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Suffixes with the same first digits, with how often each was seen, lines ended by CR and LF but the last. With `Add-Padding`, between 800
/// and 1,000 lines: those that are made up have a count of 0 ("Padding for added privacy").
fn range(head: &str) -> (u16, String) {
    let told = head.strip_prefix("GET /range/").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    if told.len() != 5 || !told.bytes().all(|c| c.is_ascii_hexdigit()) {
        return (400, "The hash prefix was not in a valid format".to_owned());
    }
    let mut lines: Vec<String> = BreachedPasswordsSubject::LISTED
        .into_iter()
        .map(sha1)
        .filter_map(|hash| Some(format!("{}:42", hash.strip_prefix(told)?)))
        .collect();
    lines.push(format!("{:035X}:7", 9));
    if head.to_lowercase().contains("add-padding: true") {
        // Some of it is what somebody looks for: a count of 0 is of nobody.
        let others = BreachedPasswordsSubject::OTHERS.into_iter().map(sha1);
        lines.extend(others.filter_map(|hash| Some(format!("{}:0", hash.strip_prefix(told)?))));
        lines.extend((lines.len()..850).map(|number| format!("{number:035X}:0")));
    }
    lines.sort();
    let mut body = String::new();
    for (number, line) in lines.iter().enumerate() {
        write!(body, "{}{line}", if number == 0 { "" } else { "\r\n" }).unwrap();
    }
    (200, body)
}
