//! The reference server: the whole product on one port, with nothing to set up.

use std::{error::Error, io::Write, process::ExitCode};

use saas_http::{Server, logging};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const HELP: &str = "\
Runs the whole product on one port.

Usage: saas-server [--help | --version]

It takes no other argument: settings come from the environment (SAAS_<NAME>, or the bare <NAME>) and from the files
.env and .env.local of the folder it starts in. With nothing set it listens on 127.0.0.1:8000 and keeps its data in ./var.
";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => start(),
        Some("--help" | "-h") => print(HELP),
        Some("--version" | "-V") => print(concat!("saas-server ", env!("CARGO_PKG_VERSION"), "\n")),
        Some(_) => {
            eprint!("saas-server: unknown argument\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// What was asked for goes to stdout; a reader that has left is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn start() -> ExitCode {
    let sources = Sources::from_process_env()
        .accept_bare_names(true)
        .with_env_file_if_present(".env")
        .with_env_file_if_present(".env.local");
    let settings = match Settings::load(&sources) {
        Ok(settings) => settings,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    logging::install(&settings);
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(settings)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let migrate = settings.auto_run_migrations();
    let blueprint = Saas::builder(settings).build()?;
    if migrate {
        blueprint.migrate().await?;
    }
    let saas = blueprint.open().await?;
    let server = Server::bind(&saas).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let signals = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
        signals.cancel();
    });
    announce(&saas, &server);
    tokio::join!(server.run(&saas, stop.cancelled()), saas.run_workers(stop.cancelled()));
    saas.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Where it listens, where its data is, what to try next.
fn announce(saas: &Saas, server: &Server) {
    let settings = saas.settings();
    let address = server.address();
    tracing::info!(address = %address, environment = settings.environment.as_str(), "listening");
    if settings.environment.is_hardened() {
        return;
    }
    let file = settings.database_url.sqlite_path();
    let data = file.map_or_else(
        || settings.database_url.shown().to_owned(),
        |path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string(),
    );
    eprintln!(
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

/// The error and what caused it, a line each.
fn explain(error: &dyn Error) {
    eprintln!("saas-server: {error}");
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if text != last {
            eprintln!("  because: {text}");
        }
        last = text;
        source = cause.source();
    }
}
