//! Many chat streams at once: do all complete in order, what does one cost in memory, and how much later does a word arrive than from
//! a bare hyper server that sends the same frames at the same pace?
//!
//! ```text
//! cargo build --release -p saas-http -p bench
//! target/release/streams target/release/saas-server [streams, 500 without it]
//! ```
//!
//! The server keeps its data in a temporary SQLite file, or where `DATABASE_URL` says. Its model is the scripted one.

use std::{
    convert::Infallible,
    io::Write,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bench::{Cpu, Failure, resident};
use futures_util::{Stream, future::join_all, stream};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    client, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::Barrier,
};

/// The scripted model's pace, and the echo's.
const PACE: Duration = Duration::from_millis(60);
/// How many frames with words the echo sends, and one more: the scripted answer to the message has as many.
const WORDS: u64 = 53;
const MESSAGE: &str = "Why does the sum of the angles of a triangle on a ball exceed two right ones?";

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--echo") => runtime.block_on(echo()),
        Some(server) => {
            let count = arguments.next().map_or(Ok(500), |count| count.parse())?;
            runtime.block_on(measure(server, count))
        }
        None => Err("usage: streams <path of saas-server> [streams]".into()),
    }
}

/// One server's figures.
struct Figures {
    name: &'static str,
    streams: usize,
    /// Bytes before there were streams.
    before: u64,
    /// Bytes for each stream, at the peak.
    memory: u64,
    /// From the request to the first word, shortest first.
    first_word: Vec<Duration>,
    /// How much longer than the pace the next word took, shortest first.
    late: Vec<Duration>,
    /// The server's processor time for each word.
    cpu: Duration,
    all: Duration,
}

async fn measure(program: &str, count: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut server = Command::new(std::path::absolute(program)?);
    server
        .current_dir(folder.path())
        .env_clear()
        .env("PORT", "0")
        .env("MAX_CONNECTIONS_PER_ADDRESS", "0")
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(url) = std::env::var_os("DATABASE_URL") {
        server.env("DATABASE_URL", url);
    }
    let mut server = server.spawn()?;
    let log = server.stderr.take().ok_or("stderr is piped")?;
    let address = listening(log, |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["message"] == "listening").then(|| event["address"].as_str().map(str::to_owned))?
    })
    .await?;
    let product = Target { address, token: None }.registered().await?;
    let product = drive("saas-server", product, &server, count).await?;
    server.kill().await?;

    let mut bare = Command::new(std::env::current_exe()?);
    let mut bare = bare.arg("--echo").stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let log = bare.stderr.take().ok_or("stderr is piped")?;
    let address = listening(log, |line| line.strip_prefix("listening on ").map(str::to_owned)).await?;
    let echo = drive("bare hyper", Target { address, token: None }, &bare, count).await?;
    bare.kill().await?;
    Ok(show(&[product, echo])?)
}

/// Waits until a server says where it listens, and goes on reading its log so that it can go on writing.
async fn listening(
    log: impl AsyncRead + Unpin + Send + 'static,
    address: impl Fn(&str) -> Option<String>,
) -> Result<String, Failure> {
    let mut lines = BufReader::new(log).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = address(&line) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
    }
    Err("the server does not listen".into())
}

/// Where to ask, and as whom.
#[derive(Clone)]
struct Target {
    address: String,
    token: Option<String>,
}

impl Target {
    async fn send(&self, path: &str, body: &Value) -> Result<Response<Incoming>, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request =
            Request::post(path).header(header::HOST, "x").header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body.to_string())))?).await?;
        if response.status().is_success() { Ok(response) } else { Err(response.status().to_string().into()) }
    }

    async fn registered(self) -> Result<Self, Failure> {
        let body = json!({
            "email": "ada@example.com", "password": "correct horse battery", "tenant_name": "Engines", "accept_terms": true,
        });
        let response = self.send("/api/v1/auth/register", &body).await?;
        let session: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        let token = session["access_token"].as_str().ok_or("there is a token")?;
        Ok(Self { token: Some(token.to_owned()), ..self })
    }

    /// Reads one stream to its end: when it was asked for, and when each word came.
    async fn listen(self) -> Result<(Instant, Vec<Instant>), Failure> {
        let asked = Instant::now();
        let mut body = self.send("/api/v1/chat/stream", &json!({ "message": MESSAGE })).await?.into_body();
        let (mut buffer, mut words, mut seq) = (Vec::new(), Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let now = Instant::now();
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.windows(2).position(|bytes| bytes == b"\n\n") {
                let event: Vec<u8> = buffer.drain(..end + 2).collect();
                let event = String::from_utf8(event)?;
                let Some((id, data)) =
                    event.strip_prefix("id: 1.").and_then(|event| event.split_once("\ndata: "))
                else {
                    continue;
                };
                seq += 1;
                if id != seq.to_string() {
                    return Err(format!("event {id} came where {seq} should").into());
                }
                let frame: Value = serde_json::from_str(data)?;
                if frame["is_complete"] == true {
                    return match frame["status"].as_str() {
                        Some("completed") => Ok((asked, words)),
                        status => Err(format!("a stream ended as {status:?}").into()),
                    };
                }
                if frame["chunk"] != "" {
                    words.push(now);
                }
            }
        }
        Err("a stream broke off".into())
    }
}

async fn drive(name: &'static str, target: Target, server: &Child, count: usize) -> Result<Figures, Failure> {
    let process = server.id().ok_or("the server runs")?;
    // What the first requests allocate for all is not the streams'.
    join_all((0..8).map(|_| target.clone().listen())).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (before, cpu, begun) = (resident(process)?, Cpu::of(process)?, Instant::now());
    let peak = Arc::new(AtomicU64::new(before));
    let watch = tokio::spawn(watch(process, Arc::clone(&peak)));
    let start = Arc::new(Barrier::new(count));
    let clients = (0..count).map(|_| {
        let (target, start) = (target.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            target.listen().await
        })
    });
    let (mut first_word, mut late) = (Vec::new(), Vec::new());
    for client in join_all(clients).await {
        let (asked, words) = client??;
        first_word.extend(words.first().map(|first| *first - asked));
        late.extend(words.windows(2).map(|two| (two[1] - two[0]).saturating_sub(PACE)));
    }
    watch.abort();
    let words = first_word.len() + late.len();
    let cpu = Cpu::of(process)?.since(&cpu) / u32::try_from(words)?;
    first_word.sort();
    late.sort();
    let memory = (peak.load(Ordering::Relaxed) - before) / count as u64;
    Ok(Figures { name, streams: count, before, memory, first_word, late, cpu, all: begun.elapsed() })
}

/// Looks at a process's memory again and again, until it is aborted or the process has ended.
async fn watch(process: u32, peak: Arc<AtomicU64>) {
    while let Ok(now) = resident(process) {
        peak.fetch_max(now, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn show([product, bare]: &[Figures; 2]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| server | streams | at rest | memory per stream | first word p50, p99 | later than the pace p50, p95, p99, most | CPU per word | all in |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for figures in [product, bare] {
        let Figures { name, streams, before, memory, first_word, late, cpu, all } = figures;
        writeln!(
            out,
            "| {name} | {streams} | {} MiB | {} KiB | {}, {} | {}, {}, {}, {} | {:.0} µs | {} |",
            before / 1024 / 1024,
            memory / 1024,
            millis(at(first_word, 50)),
            millis(at(first_word, 99)),
            millis(at(late, 50)),
            millis(at(late, 95)),
            millis(at(late, 99)),
            millis(at(late, 100)),
            cpu.as_secs_f64() * 1e6,
            millis(*all),
        )?;
    }
    let times = |part: fn(&Figures) -> Duration| part(product).as_secs_f64() / part(bare).as_secs_f64();
    writeln!(
        out,
        "| the former, of the latter | | | | {:.2}×, {:.2}× | {:.2}×, {:.2}×, {:.2}×, {:.2}× | {:.2}× | {:.2}× |",
        times(|figures| at(&figures.first_word, 50)),
        times(|figures| at(&figures.first_word, 99)),
        times(|figures| at(&figures.late, 50)),
        times(|figures| at(&figures.late, 95)),
        times(|figures| at(&figures.late, 99)),
        times(|figures| at(&figures.late, 100)),
        times(|figures| figures.cpu),
        times(|figures| figures.all),
    )
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// A bare server: the frames of a chat stream at the scripted model's pace, and nothing else.
async fn echo() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stderr(), "listening on {}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await?;
                Ok::<_, hyper::Error>(Response::new(StreamBody::new(frames())))
            });
            server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

fn frames() -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::unfold(1, |seq| async move {
        let (chunk, is_complete) = match seq {
            1 => ("", false),
            2..=WORDS => ("word ", false),
            _ => ("", true),
        };
        if seq > WORDS + 1 {
            return None;
        }
        if !chunk.is_empty() {
            tokio::time::sleep(PACE).await;
        }
        let status = is_complete.then_some("completed");
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let frame = json!({
            "chunk": chunk, "conversation_id": id, "is_complete": is_complete, "agent_used": "triage", "run_id": id, "status": status,
        });
        let event = format!("id: 1.{seq}\ndata: {frame}\n\n");
        Some((Ok(Frame::data(Bytes::from(event))), seq + 1))
    })
}
