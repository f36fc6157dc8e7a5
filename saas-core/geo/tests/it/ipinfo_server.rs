//! A server that answers as IPinfo's reference says that IPinfo does (<https://ipinfo.io/developers>, "Responses", "Authentication",
//! "Rate limits", "Errors"); nothing was recorded from the live service.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use saas_core::conformance::geo_service::{GeoService, Manner};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) const TOKEN: &str = "the-token-of-the-test";

#[derive(Debug)]
pub(crate) struct IpInfoServer {
    pub(crate) url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    asked: Mutex<Vec<String>>,
}

impl Drop for IpInfoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl IpInfoServer {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State { manner: Mutex::new(Manner::Answers), asked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(exchange(socket, Arc::clone(&serving)));
            }
        });
        Self { url, state, task }
    }

    /// The request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

async fn exchange(socket: TcpStream, state: Arc<State>) {
    let mut socket = BufReader::new(socket);
    let (mut line, mut header, mut authorized) = (String::new(), String::new(), false);
    socket.read_line(&mut line).await.unwrap();
    loop {
        header.clear();
        if socket.read_line(&mut header).await.unwrap() == 0 {
            return;
        }
        authorized |= header.trim_end().eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}"));
        if header.trim().is_empty() {
            break;
        }
    }
    state.asked.lock().unwrap().push(line.trim().to_owned());
    let address = line.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
    let manner = *state.manner.lock().unwrap();
    let (status, extra, body) = match manner {
        Manner::Answers if !authorized => {
            (403, String::new(), r#"{"status":403,"error":{"title":"Unknown token"}}"#.to_owned())
        }
        Manner::Answers => (200, String::new(), known(&address)),
        Manner::RefusesUs => (
            403,
            String::new(),
            format!(r#"{{"status":403,"error":{{"title":"Unknown token","message":"{TOKEN} {address}"}}}}"#),
        ),
        Manner::Later(wait) => (
            429,
            format!("retry-after: {}\r\n", wait.as_secs()),
            format!(r#"{{"status":429,"error":{{"title":"Rate limit exceeded","message":"{address}"}}}}"#),
        ),
        Manner::Fails => (500, String::new(), format!("oops {address}")),
        Manner::Rambles => (200, String::new(), format!("<html>{address}</html>")),
        Manner::BreaksOff => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"ip\":").await;
            return;
        }
    };
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n{extra}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn known(address: &str) -> String {
    match address {
        "8.8.8.8" => r#"{"ip":"8.8.8.8","hostname":"dns.google","anycast":true,"city":"Mountain View","region":"California","country":"US","loc":"37.4056,-122.0775","org":"AS15169 Google LLC","postal":"94043","timezone":"America/Los_Angeles"}"#.to_owned(),
        "89.160.20.112" => r#"{"ip":"89.160.20.112","city":"Linköping","region":"Östergötland","country":"SE","loc":"58.4109,15.6216"}"#.to_owned(),
        "1.2.3.4" => r#"{"ip":"4.3.2.1","city":"Elsewhere","country":"US"}"#.to_owned(),
        other => format!(r#"{{"ip":"{other}","bogon":true}}"#),
    }
}

#[async_trait]
impl GeoService for IpInfoServer {
    async fn behave(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }
}
