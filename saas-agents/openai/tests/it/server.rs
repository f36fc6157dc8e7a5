//! An HTTP/1.1 server that says what a test tells it to say, each piece as a chunk of its own.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    chunks: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The body is whole.
    Whole,
    /// The connection closes in the middle of the body.
    Broken,
    /// The connection closes before there is any answer.
    Dropped,
    /// The server says no more and waits until the client goes.
    Held,
    /// The server does not even begin to answer and waits until the client goes.
    Silent,
}

impl Reply {
    /// A stream of events, cut where the test wants it cut.
    pub(crate) fn stream<C: AsRef<[u8]>>(chunks: impl IntoIterator<Item = C>) -> Self {
        let chunks = chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect();
        let headers = vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
        Self { status: 200, headers, chunks, end: End::Whole }
    }

    /// A status with a body of JSON.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, chunks: vec![body.as_bytes().to_vec()], end: End::Whole }
    }

    /// An error with a code.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::json(
            status,
            &format!(r#"{{"error":{{"message":"the vendor's words","type":"x","code":"{code}"}}}}"#),
        )
    }

    pub(crate) fn dropped() -> Self {
        Self { end: End::Dropped, ..Self::stream([""; 0]) }
    }

    pub(crate) fn silent() -> Self {
        Self { end: End::Silent, ..Self::stream([""; 0]) }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn broken(mut self) -> Self {
        self.end = End::Broken;
        self
    }

    pub(crate) fn held(mut self) -> Self {
        self.end = End::Held;
        self
    }
}

/// What the server has seen.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Heads with bodies, in order.
    requests: Vec<(String, String)>,
    /// Clients that went while the server held the connection.
    left: usize,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    replies: Arc<Mutex<Vec<Reply>>>,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers the first request with the first reply and so on, and all that follow with the last one.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<Vec<Reply>>()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (sender, seen) = watch::channel(Seen::default());
        let sender = Arc::new(sender);
        let serving = Arc::clone(&replies);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, Arc::clone(&serving), Arc::clone(&sender)));
            }
        });
        Self { url, replies, seen, task }
    }

    /// Answers every request with this reply from now on.
    pub(crate) fn answer(&self, reply: Reply) {
        *self.replies.lock().unwrap() = vec![reply];
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.borrow().requests.len()
    }

    /// The head and the body of the n-th request.
    pub(crate) fn request(&self, n: usize) -> (String, String) {
        self.seen.borrow().requests[n].clone()
    }

    pub(crate) async fn has_requests(&self, n: usize) {
        self.seen.clone().wait_for(|seen| seen.requests.len() >= n).await.unwrap();
    }

    pub(crate) async fn client_left(&self) {
        self.seen.clone().wait_for(|seen| seen.left > 0).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request on each connection.
async fn serve(socket: TcpStream, replies: Arc<Mutex<Vec<Reply>>>, seen: Arc<watch::Sender<Seen>>) {
    socket.set_nodelay(true).unwrap();
    let mut socket = BufReader::new(socket);
    let Some(request) = read_request(&mut socket).await else { return };
    let mut n = 0;
    seen.send_modify(|seen| {
        n = seen.requests.len();
        seen.requests.push(request);
    });
    let reply = {
        let replies = replies.lock().unwrap();
        replies[n.min(replies.len() - 1)].clone()
    };
    // A client that has left is no fault of the server's.
    let _ = write_reply(&mut socket, &reply).await;
    if matches!(reply.end, End::Held | End::Silent) {
        while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
        seen.send_modify(|seen| seen.left += 1);
    }
}

async fn read_request(socket: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

async fn write_reply(socket: &mut BufReader<TcpStream>, reply: &Reply) -> std::io::Result<()> {
    if matches!(reply.end, End::Dropped | End::Silent) {
        return Ok(());
    }
    let mut head =
        format!("HTTP/1.1 {} x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    socket.write_all(format!("{head}\r\n").as_bytes()).await?;
    for chunk in reply.chunks.iter().filter(|chunk| !chunk.is_empty()) {
        socket.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        socket.write_all(chunk).await?;
        socket.write_all(b"\r\n").await?;
        socket.flush().await?;
        tokio::task::yield_now().await;
    }
    if reply.end == End::Whole {
        socket.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}
