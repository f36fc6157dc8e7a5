//! The cheapest client that does: HTTP/1.1 over a kept connection, requests written beforehand, answers read by their `Content-Length`.

use std::net::SocketAddr;

use bench::Failure;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection; a request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    pub(crate) fn json(&self) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(self.body)?)
    }

    /// An error unless it is a success.
    pub(crate) fn success(&self) -> Result<(), Failure> {
        if (200..300).contains(&self.status) {
            return Ok(());
        }
        Err(format!("a request was answered {}: {}", self.status, String::from_utf8_lossy(self.body)).into())
    }
}

/// A request without a body.
pub(crate) fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n").into_bytes()
}

/// A request with JSON.
pub(crate) fn post(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 64 * 1024] })
    }

    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        self.stream.write_all(request).await?;
        let (mut filled, mut frame) = (0, None);
        let (head, end) = loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err("the server closed a connection".into());
            }
            filled += read;
            if frame.is_none() {
                frame = measured(&self.buffer[..filled])?;
            }
            match frame {
                Some((head, end)) if filled == end => break (head, end),
                Some((_, end)) if filled > end => return Err("more was answered than was asked for".into()),
                _ => {}
            }
        };
        let (head, body) = self.buffer[..end].split_at(head);
        let head = std::str::from_utf8(head)?;
        let status = head.get(9..12).ok_or("the answer has no status")?.parse()?;
        Ok(Answer { status, head, body })
    }
}

/// How long an answer's head is, and how long all of it, once the head is there.
fn measured(bytes: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = head + 4;
    let length: usize = header(std::str::from_utf8(&bytes[..head])?, "content-length")
        .ok_or("the answer has no Content-Length")?
        .parse()?;
    Ok(Some((head, head + length)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
