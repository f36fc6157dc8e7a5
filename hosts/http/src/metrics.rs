//! What the product counts and measures, through the `metrics` facade, and the text in which Prometheus reads it.
//!
//! A program that serves the product calls [`install`] before it opens it, and gives the handle to its server or its router; see
//! `docs/operations/metrics.md` for what there is. Nothing is counted, at next to no cost, where no recorder is installed.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let metrics = saas_http::metrics::install()?;
//! let blueprint = saas_kit::Saas::from_env()?.background(metrics.upkeep()).build()?;
//! let saas = blueprint.open().await?;
//! let router = saas_http::ops_router_with_metrics(&saas, metrics);
//! # let _: axum::Router = router;
//! # Ok(())
//! # }
//! ```
//!
//! Your own exporter serves as well: [`describe`] tells it what the product's metrics mean, and [`MetricsHandle::rendered_by`] makes a
//! handle of it.

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Gauge, Recorder, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use saas_core::Background;
use saas_kit::Saas;

mod catalogue;
mod process;
mod requests;
mod route;
mod samples;

pub use catalogue::{CATALOGUE, Kind, Label, Metric, Values};
pub(crate) use requests::Requests;
pub(crate) use route::{Exposition, is_on_the_main_address, routes};

/// How often samples of histograms are put into their buckets; until then each takes eight bytes.
const UPKEEP: Duration = Duration::from_secs(5);

/// What was counted and measured, to be read at `/metrics`. Cloning shares it.
#[derive(Clone)]
pub struct MetricsHandle {
    source: Source,
    private: bool,
}

#[derive(Clone)]
enum Source {
    Ours(PrometheusHandle),
    Theirs(Arc<dyn Fn() -> String + Send + Sync>),
}

/// This process has a recorder already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process has a recorder of metrics already: make a handle of it with MetricsHandle::rendered_by")]
pub struct AlreadyInstalled;

/// Makes this process count and measure; once, by the program, before it opens the product.
pub fn install() -> Result<MetricsHandle, AlreadyInstalled> {
    let (recorder, handle) = recorder();
    metrics::set_global_recorder(recorder).map_err(|_| AlreadyInstalled)?;
    Ok(handle)
}

/// A recorder that is not installed, and what it records; for a program that puts layers around it, and for tests.
pub fn recorder() -> (impl Recorder + Send + Sync + 'static, MetricsHandle) {
    let builder = CATALOGUE.iter().fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => with_buckets(builder, metric.name, buckets),
        Kind::Counter | Kind::Gauge => builder,
    });
    let recorder = builder.build_recorder();
    metrics::with_local_recorder(&recorder, describe);
    let handle = MetricsHandle { source: Source::Ours(recorder.handle()), private: false };
    (recorder, handle)
}

#[expect(clippy::expect_used, reason = "the catalogue's lists of buckets are not empty, which a test holds")]
fn with_buckets(builder: PrometheusBuilder, name: &str, buckets: &[f64]) -> PrometheusBuilder {
    let name = Matcher::Full(name.to_owned());
    builder.set_buckets_for_metric(name, buckets).expect("a histogram has buckets")
}

/// Tells the installed recorder what the product's metrics mean, and begins at zero what can be named before it happens.
pub fn describe() {
    catalogue::describe();
}

impl MetricsHandle {
    /// What `render` gives, which is called for every scrape: for an exporter of your own. It says nothing of the process (`process_*`),
    /// which is yours.
    pub fn rendered_by(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { source: Source::Theirs(Arc::new(render)), private: false }
    }

    /// For a router that the operator alone can reach: it asks for a token only where `METRICS_TOKEN` is set.
    #[must_use]
    pub fn on_private_address(self) -> Self {
        Self { private: true, ..self }
    }

    /// The loop that keeps histograms small; [`Saas::run_workers`] drives it once the builder has it. Without it they are put in order at
    /// each scrape alone.
    pub fn upkeep(&self) -> Background {
        let source = self.source.clone();
        Background::new("metrics", async move {
            let Source::Ours(prometheus) = source else { return std::future::pending().await };
            loop {
                tokio::time::sleep(UPKEEP).await;
                prometheus.run_upkeep();
            }
        })
    }

    /// The text for a scrape (Prometheus' text format 0.0.4), with what only a look at the product tells.
    pub fn render(&self, saas: &Saas) -> String {
        samples::take(saas);
        match &self.source {
            Source::Ours(prometheus) => {
                let mut text = prometheus.render();
                process::write(&mut text);
                text
            }
            Source::Theirs(render) => render(),
        }
    }
}

impl fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsHandle").field("private", &self.private).finish_non_exhaustive()
    }
}

/// One more in a gauge, as long as this lives.
#[derive(Debug)]
#[must_use = "it counts as long as it lives"]
pub struct Open(Gauge);

impl Open {
    fn in_gauge(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Counts a connection as open; for a server, to be kept as long as the connection.
pub fn connection_opened() -> Open {
    Open::in_gauge(gauge!("saas_http_connections_open"))
}

/// Counts a stream of events as open.
pub(crate) fn stream_opened() -> Open {
    Open::in_gauge(gauge!("saas_http_streams_open"))
}
