//! The reference server: the whole product on one port, with nothing to set up.

use std::{error::Error, io::Write, process::ExitCode};

use saas_http::{logging, program};
use saas_kit::settings::Settings;

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
    let settings = match Settings::load(&program::sources()) {
        Ok(settings) => settings,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    let _log = logging::install(&settings);
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(program::serve(settings)).map_err(Into::into),
        Err(error) => Err(Box::<dyn Error>::from(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("saas-server: {}", program::causes(&*error).join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}
