//! A closed loop: every connection sends its next request when the one before is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bench::{Cpu, Failure};
use tokio::time::{Instant, sleep_until};

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
    own_cpu: Duration,
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

    /// How much of a core the server used, and this program.
    pub(crate) fn busy(&self) -> (f64, f64) {
        let elapsed = self.elapsed.as_secs_f64();
        (self.server_cpu.as_secs_f64() / elapsed, self.own_cpu.as_secs_f64() / elapsed)
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
    Ok(Figures {
        requests: after.answered - before.answered,
        elapsed: after.at - before.at,
        server_cpu: after.server.since(&before.server),
        own_cpu: after.own.since(&before.own),
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
