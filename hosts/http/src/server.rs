//! The server: hyper, HTTP/1.1 and HTTP/2 without TLS, until it is told to stop.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use saas_kit::Saas;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{
    metrics::{self, MetricsHandle},
    router::{private_operations, tracked},
};

/// How long a client may take to send a request's head, and to begin at all.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How many requests one HTTP/2 connection may have open.
const HTTP2_STREAMS: u32 = 100;

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<MetricsHandle>,
    operations_alone: bool,
}

/// Why the server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: set {settings} to an address that is free")]
pub struct ServeError {
    address: SocketAddr,
    settings: &'static str,
    #[source]
    source: io::Error,
}

impl Server {
    /// Listens where the settings say; port 0 takes a free one.
    pub async fn bind(saas: &Saas) -> Result<Self, ServeError> {
        let address = SocketAddr::new(saas.settings().host, saas.settings().port);
        Self::bind_to(address, "HOST and PORT").await
    }

    /// Listens on `METRICS_ADDRESS`, where one is set, to serve the operations alone: the routes of [`crate::ops_router_with_metrics`].
    pub async fn bind_operations(saas: &Saas, metrics: MetricsHandle) -> Result<Option<Self>, ServeError> {
        let Some(address) = saas.settings().metrics_address else { return Ok(None) };
        let server = Self::bind_to(address, "METRICS_ADDRESS").await?;
        Ok(Some(Self { operations_alone: true, ..server.with_metrics(metrics) }))
    }

    async fn bind_to(address: SocketAddr, settings: &'static str) -> Result<Self, ServeError> {
        let failed = |source| ServeError { address, settings, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, metrics: None, operations_alone: false })
    }

    /// With what was counted and measured at `/metrics`, as [`crate::app_with_metrics`] has it.
    #[must_use]
    pub fn with_metrics(self, metrics: MetricsHandle) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, then lets requests finish within `SHUTDOWN_DEADLINE_SECONDS`.
    pub async fn run(self, saas: &Saas, shutdown: impl Future<Output = ()>) {
        let commands = TaskTracker::new();
        let app = match self.metrics {
            Some(metrics) if self.operations_alone => private_operations(saas, metrics),
            metrics => tracked(saas, commands.clone(), metrics),
        };
        let connections = TaskTracker::new();
        let graceful = GracefulShutdown::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (app, watcher) = (app.clone(), graceful.watcher());
                        connections.spawn(async move { connection(stream, peer, app, watcher).await });
                    }
                    Err(error) => {
                        // Out of descriptors, mostly: those in use will be given back.
                        tracing::warn!(error = %error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                () = &mut shutdown => break,
            }
        }
        drop(self.listener);
        commands.close();
        let deadline = saas.settings().shutdown_deadline.duration();
        let drained = async {
            graceful.shutdown().await;
            commands.wait().await;
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::warn!(
                commands = commands.len(),
                "the deadline for stopping has passed: leaving requests unfinished"
            );
        }
    }
}

/// Waits until the client has said enough to tell HTTP/2 from HTTP/1: while hyper finds out, it has no time-out of its own.
async fn spoken(stream: &TcpStream) {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut said = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut said).await {
            // What was said may still become the preface; looking again at once would find the same.
            Ok(length @ 1..24) if PREFACE.starts_with(&said[..length]) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => return,
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let _open = metrics::connection_opened();
    if tokio::time::timeout(HEAD_DEADLINE, spoken(&stream)).await.is_err() {
        return;
    }
    // Answers are small: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service =
        TowerToHyperService::new(app.map_request(move |request: http::Request<hyper::body::Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        }));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .max_concurrent_streams(HTTP2_STREAMS);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = %error, "a connection ended early");
    }
}
