//! A closed loop: every connection sends its next request when the one before is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bench::{Cpu, Failure};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{Instant, sleep_until},
};

use crate::{
    client::{Answer, Connection},
    server::Server,
};

/// What one connection asks.
pub(crate) trait Client: Send + 'static {
    /// The next request.
    fn request(&mut self) -> &[u8];

    /// Hears its answer.
    fn hear(&mut self, answer: &Answer<'_>) -> Result<(), Failure> {
        answer.success()
    }
}

/// The same request again and again.
#[derive(Debug, Clone)]
pub(crate) struct Same(pub(crate) Vec<u8>);

impl Client for Same {
    fn request(&mut self) -> &[u8] {
        &self.0
    }
}

/// Each of many requests in turn; clones share whose turn it is.
#[derive(Debug, Clone)]
pub(crate) struct InTurn {
    requests: Arc<[Vec<u8>]>,
    next: Arc<AtomicU32>,
}

impl InTurn {
    pub(crate) fn new(requests: Vec<Vec<u8>>) -> Self {
        Self { requests: requests.into(), next: Arc::default() }
    }
}

impl Client for InTurn {
    fn request(&mut self) -> &[u8] {
        let next = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        &self.requests[next % self.requests.len()]
    }
}

/// How long to ask, and how long before that without counting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) requests: u32,
    pub(crate) elapsed: Duration,
    server_cpu: Duration,
    /// For which part of the time this program had something to do.
    pub(crate) generator: f64,
    /// In microseconds, shortest first.
    latencies: Vec<u32>,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.requests) / self.elapsed.as_secs_f64()
    }

    /// The server's processor time per request, in microseconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / f64::from(self.requests.max(1))
    }

    /// How much of a core the server used.
    pub(crate) fn busy(&self) -> f64 {
        self.server_cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// In milliseconds.
    pub(crate) fn latency(&self, percent: usize) -> f64 {
        percentile(&self.latencies, percent)
    }
}

/// Of latencies in microseconds, shortest first; in milliseconds.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).map_or(f64::NAN, |microseconds| f64::from(*microseconds) / 1e3)
}

/// Asks with all clients at once, each on a connection of its own.
pub(crate) async fn drive<C: Client>(
    server: &Server,
    clients: Vec<C>,
    pace: Pace,
) -> Result<Figures, Failure> {
    let mut connections = Vec::with_capacity(clients.len());
    for _ in &clients {
        connections.push(Connection::open(server.address).await?);
    }
    let begin = Instant::now() + pace.warm_up;
    let end = begin + pace.time;
    let answered = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = clients
        .into_iter()
        .zip(connections)
        .map(|(client, connection)| tokio::spawn(ask(client, connection, begin, end, Arc::clone(&answered))))
        .collect();
    let before = Moment::now(server, &answered, begin).await?;
    let after = Moment::now(server, &answered, end).await?;
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    let elapsed = after.at - before.at;
    Ok(Figures {
        requests: after.answered - before.answered,
        elapsed,
        server_cpu: after.server.since(&before.server),
        generator: after.own.since(&before.own).as_secs_f64() / elapsed.as_secs_f64(),
        latencies,
    })
}

struct Moment {
    at: Instant,
    answered: u32,
    server: Cpu,
    own: Cpu,
}

impl Moment {
    async fn now(server: &Server, answered: &AtomicU32, at: Instant) -> Result<Self, Failure> {
        sleep_until(at).await;
        Ok(Self {
            at: Instant::now(),
            answered: answered.load(Ordering::Relaxed),
            server: Cpu::of(server.process())?,
            own: Cpu::of(std::process::id())?,
        })
    }
}

async fn ask(
    mut client: impl Client,
    mut connection: Connection,
    begin: Instant,
    end: Instant,
    answered: Arc<AtomicU32>,
) -> Result<Vec<u32>, Failure> {
    let mut latencies = Vec::new();
    let mut now = Instant::now();
    while now < end {
        let asked = now;
        let answer = connection.exchange(client.request()).await?;
        now = Instant::now();
        answered.fetch_add(1, Ordering::Relaxed);
        if asked >= begin {
            latencies.push(u32::try_from((now - asked).as_micros())?);
        }
        client.hear(&answer)?;
    }
    Ok(latencies)
}

/// As [`drive`], and this program never sleeps meanwhile.
///
/// Who sends to a process that sleeps pays for waking it: here the server, which over a network would not, and more often the slower it is.
pub(crate) async fn drive_awake<C: Client>(
    server: &Server,
    clients: Vec<C>,
    pace: Pace,
) -> Result<Figures, Failure> {
    let awake = Awake::start();
    let figures = drive(server, clients, pace).await?;
    Ok(Figures { generator: awake.stop(), ..figures })
}

/// Keeps this program from sleeping.
struct Awake {
    task: JoinHandle<()>,
    begun: Instant,
    idle_nanoseconds: Arc<AtomicU64>,
}

/// A turn of the runtime that was shorter had nothing to do.
const IDLE_TURN: Duration = Duration::from_micros(3);

impl Awake {
    fn start() -> Self {
        let idle_nanoseconds = Arc::new(AtomicU64::new(0));
        let idle = Arc::clone(&idle_nanoseconds);
        let begun = Instant::now();
        let task = tokio::spawn(async move {
            let mut last = begun;
            loop {
                yield_now().await;
                let turn = last.elapsed();
                last += turn;
                if turn < IDLE_TURN {
                    idle.fetch_add(turn.subsec_nanos().into(), Ordering::Relaxed);
                }
            }
        });
        Self { task, begun, idle_nanoseconds }
    }

    /// Lets it sleep again, and says for which part of the time it had something to do.
    fn stop(self) -> f64 {
        self.task.abort();
        let idle = Duration::from_nanos(self.idle_nanoseconds.load(Ordering::Relaxed));
        1.0 - idle.as_secs_f64() / self.begun.elapsed().as_secs_f64()
    }
}
