//! A server that answers as Resend's API reference says that Resend does. Every exchange names its page under
//! <https://resend.com/docs>; none of them was recorded from the live service.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saas_core::conformance::{
    mail_service::{MailService, Manner},
    mailer::{Inbox, ReceivedMail},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const KEY: &str = "re_the_key_of_the_test";

/// A status, headers and a body of JSON.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// api-reference/errors.
    pub(crate) fn error(status: u16, name: &str, message: &str) -> Self {
        Self::new(status, format!(r#"{{"statusCode":{status},"name":"{name}","message":"{message}"}}"#))
    }

    /// api-reference/emails/send-email.
    fn taken(id: &str) -> Self {
        Self::new(200, format!(r#"{{"id":"{id}"}}"#))
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    /// What to answer next, whatever is asked.
    next: Vec<Answer>,
    requests: Vec<Request>,
    /// By idempotency key, of the last 24 hours (dashboard/emails/idempotency-keys).
    taken: Vec<(String, Value)>,
}

#[derive(Debug)]
pub(crate) struct ResendServer {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    /// While it listens.
    serving: Mutex<Option<Serving>>,
}

#[derive(Debug)]
struct Serving {
    task: JoinHandle<()>,
    _alive: oneshot::Sender<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ResendServer {
    pub(crate) async fn start() -> Self {
        let state =
            State { manner: Manner::TakesMails, next: Vec::new(), requests: Vec::new(), taken: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = Mutex::new(Some(serve(listener, Arc::clone(&state))));
        Self { port, state, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers the next request so.
    pub(crate) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().next.push(answer);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn serve(listener: TcpListener, state: Arc<Mutex<State>>) -> Serving {
    let (alive, gone) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        // What it has open goes with it.
        let mut open = tokio::task::JoinSet::new();
        let mut gone = gone;
        loop {
            tokio::select! {
                _ = &mut gone => return,
                accepted = listener.accept() => {
                    let (socket, _) = accepted.unwrap();
                    open.spawn(exchange(socket, Arc::clone(&state)));
                }
            }
        }
    });
    Serving { task, _alive: alive }
}

/// One request on each connection.
async fn exchange(socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut socket = BufReader::new(socket);
    let Some(request) = read(&mut socket).await else { return };
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        answered(&mut state, &request)
    };
    let Some(answer) = answer else { return };
    let mut text =
        format!("HTTP/1.1 {} x\r\ncontent-type: application/json\r\nconnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    write!(text, "content-length: {}\r\n\r\n{}", answer.body.len(), answer.body).unwrap();
    // A client that has left is no fault of the server's.
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.shutdown().await;
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    socket.read_exact(&mut body).await.ok()?;
    Some(Request { line, headers, body: serde_json::from_slice(&body).unwrap() })
}

/// What Resend says to that; nothing where it breaks off.
fn answered(state: &mut State, request: &Request) -> Option<Answer> {
    if !state.next.is_empty() {
        return Some(state.next.remove(0));
    }
    // api-reference/introduction.
    if !request.headers.contains_key("user-agent") {
        return Some(Answer::new(403, "error code: 1010"));
    }
    let known = request.headers.get("authorization").is_some_and(|value| value == &format!("Bearer {KEY}"));
    let to = request.body["to"][0].as_str().unwrap().to_owned();
    let text =
        request.body["text"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    Some(match state.manner {
        Manner::BreaksOff | Manner::Away => return None,
        // api-reference/errors: the sending endpoints answer so for a key that does not exist.
        Manner::RefusesUs => Answer::error(401, "validation_error", &format!("API key is invalid: {KEY}")),
        _ if !known => Answer::error(401, "validation_error", "API key is invalid"),
        Manner::RefusesTheRecipient => Answer::error(
            422,
            "validation_error",
            &format!(
                "Invalid `to` field: {to}. The email address needs to follow the `email@example.com` format."
            ),
        ),
        Manner::RefusesTheMail => Answer::error(
            451,
            "security_error",
            &format!("We may have found a security issue with the request: {text}"),
        ),
        // api-reference/rate-limit.
        Manner::Later(wait) => rate_limited(wait, &to),
        Manner::TakesMails => {
            let key = request.headers["idempotency-key"].clone();
            match state.taken.iter().find(|(known, _)| *known == key) {
                Some((_, body)) if *body != request.body => Answer::error(
                    409,
                    "invalid_idempotent_request",
                    "Same idempotency key used with a different request payload.",
                ),
                Some(_) => Answer::taken(&key),
                None => {
                    state.taken.push((key.clone(), request.body.clone()));
                    Answer::taken(&key)
                }
            }
        }
    })
}

/// api-reference/rate-limit.
pub(crate) fn rate_limited(wait: Duration, to: &str) -> Answer {
    let message = format!("Too many requests. You can only make 5 requests per second. ({to})");
    Answer::error(429, "rate_limit_exceeded", &message)
        .with("ratelimit-limit", "5")
        .with("ratelimit-remaining", "0")
        .with("ratelimit-reset", wait.as_secs().to_string())
        .with("retry-after", wait.as_secs().to_string())
}

/// `"Lovelace, Ada" <ada@example.com>`, read as RFC 5322, section 3.4 has it.
fn mailbox(text: &str) -> (Option<String>, String) {
    let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once(" <")) else {
        return (None, text.to_owned());
    };
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => {
            let mut plain = String::new();
            let mut chars = quoted.chars();
            while let Some(c) = chars.next() {
                plain.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            plain
        }
        None => name.to_owned(),
    };
    (Some(name), address.to_owned())
}

#[async_trait]
impl Inbox for ResendServer {
    async fn received(&self) -> Vec<ReceivedMail> {
        let state = self.state.lock().unwrap();
        let mails = state.taken.iter().map(|(key, body)| {
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            let to = body["to"].as_array().unwrap().iter().map(|to| mailbox(to.as_str().unwrap()));
            let to: Vec<_> = to.collect();
            ReceivedMail {
                identity: key.clone(),
                from: mailbox(body["from"].as_str().unwrap()),
                to_name: to[0].0.clone(),
                recipients: to.into_iter().map(|(_, address)| address).collect(),
                subject: text("subject"),
                text: text("text"),
                html: text("html"),
            }
        });
        mails.collect()
    }
}

#[async_trait]
impl MailService for ResendServer {
    async fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
        let listens = self.serving.lock().unwrap().is_some();
        if manner == Manner::Away {
            let serving = self.serving.lock().unwrap().take();
            if let Some(mut serving) = serving {
                serving.task.abort();
                // Until it is gone, somebody could still connect.
                let _ = (&mut serving.task).await;
            }
        } else if !listens {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
            *self.serving.lock().unwrap() = Some(serve(listener, Arc::clone(&self.state)));
        }
    }

    fn tells_waits(&self) -> bool {
        true
    }
}
