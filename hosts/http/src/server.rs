//! The server: hyper, HTTP/1.1 and HTTP/2 without TLS, until it is told to stop.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use saas_kit::Saas;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

mod activity;
mod connection;
mod connections;
mod exchange;
mod limits;
mod notices;
mod socket;

use crate::{
    metrics::MetricsHandle,
    router::{private_operations, tracked},
    stopping::Stopping,
};
use activity::Wish;
use connection::Common;
use connections::Connections;
use limits::Limits;
use notices::{Notice, Notices};

/// How long streams get to say how the runs ended that this process interrupts at half of the deadline.
const LAST_FRAMES: Duration = Duration::from_secs(1);

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
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
        Self::bind_to(address, "HOST and PORT", saas).await
    }

    /// Listens on `METRICS_ADDRESS`, where one is set, to serve the operations alone: the routes of [`crate::ops_router_with_metrics`].
    pub async fn bind_operations(saas: &Saas, metrics: MetricsHandle) -> Result<Option<Self>, ServeError> {
        let Some(address) = saas.settings().metrics_address else { return Ok(None) };
        let server = Self::bind_to(address, "METRICS_ADDRESS", saas).await?;
        Ok(Some(Self { operations_alone: true, ..server.with_metrics(metrics) }))
    }

    async fn bind_to(address: SocketAddr, settings: &'static str, saas: &Saas) -> Result<Self, ServeError> {
        let failed = |source| ServeError { address, settings, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = Limits::of(saas.settings());
        Ok(Self { listener, address, limits, metrics: None, operations_alone: false })
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

    /// Serves until `shutdown` ends. Then idle connections close at once, requests get `SHUTDOWN_DEADLINE_SECONDS` to finish, and streams
    /// half of it until they tell their clients to resume elsewhere; what is left after that is cut off.
    pub async fn run(self, saas: &Saas, shutdown: impl Future<Output = ()>) {
        let commands = TaskTracker::new();
        let connections = Connections::new(&self.limits);
        let common = Arc::new(Common {
            app: match self.metrics {
                Some(metrics) if self.operations_alone => private_operations(saas, metrics),
                metrics => tracked(saas, commands.clone(), metrics),
            },
            limits: self.limits,
            notices: Arc::new(Notices::new()),
            stopping: Stopping::default(),
        });
        tokio::select! {
            () = shutdown => {}
            never = accept(&self.listener, &connections, &common) => match never {},
        }
        drop(self.listener);
        drain(&connections, &commands, &common.stopping, saas.settings().shutdown_deadline.duration()).await;
    }
}

/// Opens a connection for every client that comes, as far as the limits allow.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>, common: &Arc<Common>) -> Infallible {
    loop {
        connections.room(&common.notices).await;
        match listener.accept().await {
            Ok((stream, peer)) => match connections.enter(peer.ip()) {
                Some(place) => {
                    tokio::spawn(connection::serve(stream, peer, place, Arc::clone(common)));
                }
                // Closed at once: an answer would cost what the limit saves.
                None => common.notices.say_of(Notice::AddressFull, Some(peer.ip())),
            },
            Err(error) => {
                // Out of descriptors, mostly: those in use will be given back.
                tracing::debug!(error = %error, "accepting failed");
                common.notices.say(Notice::NotAccepted);
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Lets what is in work finish until the deadline.
async fn drain(connections: &Connections, commands: &TaskTracker, stopping: &Stopping, deadline: Duration) {
    stopping.begin();
    connections.ask(Wish::Finish);
    commands.close();
    let drained = async {
        connections.closed().await;
        commands.wait().await;
    };
    let streams = async {
        sleep(deadline / 2 + LAST_FRAMES.min(deadline / 4)).await;
        stopping.end_streams();
    };
    let both = async {
        tokio::pin!(drained);
        tokio::select! {
            () = &mut drained => return,
            () = streams => {}
        }
        drained.await;
    };
    if timeout(deadline, both).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            commands = commands.len(),
            "the deadline for stopping has passed: leaving requests unfinished"
        );
        connections.ask(Wish::End);
    }
}
