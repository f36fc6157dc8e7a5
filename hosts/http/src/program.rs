//! The program that serves the product: what `saas-server` and `saas serve` are both made of.

use std::{
    error::Error,
    io::{self, Write},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use saas_kit::{
    BuildError, MigrateError, OpenError, Saas, SaasBuilder,
    settings::{Settings, Sources},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{ServeError, Server, metrics};

/// Why the product did not open, or was not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The settings do not fit each other.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The schema was not brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The product did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server could not listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Nothing can be counted.
    #[error(transparent)]
    Metrics(#[from] metrics::AlreadyInstalled),
    /// The signals that stop it could not be listened to.
    #[error("the signals that stop the program cannot be listened to")]
    Signals(#[source] io::Error),
    /// It was told to stop a second time.
    #[error("told to stop a second time: requests and runs were left unfinished")]
    StoppedAtOnce,
}

/// Where a program whose environment is the product's own reads its settings: the environment, the bare names too, and the files
/// `.env` and `.env.local` of the folder it starts in.
pub fn sources() -> Sources {
    Sources::from_process_env()
        .accept_bare_names(true)
        .with_env_file_if_present(".env")
        .with_env_file_if_present(".env.local")
}

/// Opens the product, its schema brought up to date where `AUTO_RUN_MIGRATIONS` says so.
pub async fn open(settings: Settings) -> Result<Saas, ProgramError> {
    open_with(settings, |builder| builder).await
}

async fn open_with(
    settings: Settings,
    with: impl FnOnce(SaasBuilder) -> SaasBuilder,
) -> Result<Saas, ProgramError> {
    let migrate = settings.auto_run_migrations();
    let blueprint = with(Saas::builder(settings)).build()?;
    if migrate {
        blueprint.migrate().await?;
    }
    Ok(blueprint.open().await?)
}

/// Opens the product and serves it, its workers beside it, until SIGTERM or Ctrl-C; a second one stops it at once.
///
/// The process's soft limit on open files is raised to the hard one.
pub async fn serve(settings: Settings) -> Result<(), ProgramError> {
    raise_descriptor_limit();
    let metrics = metrics::install()?;
    let saas = open_with(settings, |builder| builder.background(metrics.upkeep())).await?;
    let server = Server::bind(&saas).await?.with_metrics(metrics.clone());
    let operations = Server::bind_operations(&saas, metrics).await?;
    let (stop, stop_now) = stops()?;
    announce(&saas, &server, operations.as_ref());
    let serve_operations = async {
        if let Some(operations) = operations {
            operations.run(&saas, stop.cancelled()).await;
        }
    };
    let work = async {
        tokio::join!(
            server.run(&saas, stop.cancelled()),
            serve_operations,
            saas.run_workers(stop.cancelled())
        );
        saas.close().await;
    };
    unless_cut_short(work, &stop_now).await
}

/// Opens the product and does the work that goes on beside requests, jobs and agents' runs, until SIGTERM or Ctrl-C.
pub async fn work(settings: Settings) -> Result<(), ProgramError> {
    let saas = open(settings).await?;
    let (stop, stop_now) = stops()?;
    tracing::info!("working");
    let work = async {
        saas.run_workers(stop.cancelled()).await;
        saas.close().await;
    };
    unless_cut_short(work, &stop_now).await
}

/// What the first signal and the second one do.
fn stops() -> Result<(CancellationToken, CancellationToken), ProgramError> {
    let mut signals = Signals::listen().map_err(ProgramError::Signals)?;
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let (told, told_again) = (stop.clone(), stop_now.clone());
    tokio::spawn(async move {
        signals.next().await;
        told.cancel();
        tracing::info!("stopping");
        signals.next().await;
        told_again.cancel();
    });
    Ok((stop, stop_now))
}

async fn unless_cut_short(
    work: impl Future<Output = ()>,
    stop_now: &CancellationToken,
) -> Result<(), ProgramError> {
    tokio::select! {
        () = work => {
            tracing::info!("stopped");
            Ok(())
        }
        () = stop_now.cancelled() => Err(ProgramError::StoppedAtOnce),
    }
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// As many files and connections as the process may have: the soft limit is often 1024, for programs that still use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(error = %error, "the limit on open files stays as it is");
    }
}

/// What an error and its causes say, the error first and nothing twice in a row.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // A transparent error repeats its cause's words.
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        source = cause.source();
    }
    texts
}

/// Where it listens, where its data is, what to try next.
fn announce(saas: &Saas, server: &Server, operations: Option<&Server>) {
    let settings = saas.settings();
    let address = server.address();
    tracing::info!(address = %address, environment = settings.environment.as_str(), "listening");
    if let Some(operations) = operations {
        tracing::info!(address = %operations.address(), "listening for operations: /metrics is here");
    } else if !metrics::is_on_the_main_address(settings) {
        tracing::info!("metrics are served nowhere: set METRICS_ADDRESS or METRICS_TOKEN");
    }
    if settings.environment.is_hardened() {
        return;
    }
    let file = settings.database_url.sqlite_path();
    let data = file.map_or_else(
        || settings.database_url.shown().to_owned(),
        |path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string(),
    );
    // A terminal that has gone is no reason to stop.
    let _ = writeln!(
        io::stderr(),
        "
  {name} is running.

    listens on   http://{address}
    keeps data   {data}

  Try:

    curl -s http://{address}/api/v1/auth/register -H 'Content-Type: application/json' \\
      -d '{{\"email\":\"ada@example.com\",\"password\":\"correct horse battery\",\"tenant_name\":\"Analytical Engines\",\"accept_terms\":true}}'

  Ctrl-C stops it; the data stays.
",
        name = settings.app_name,
    );
}
