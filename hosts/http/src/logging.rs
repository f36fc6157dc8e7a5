//! The log sink of the server. Only hosts install one.

use std::io::{self, IsTerminal};

use saas_kit::settings::{LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// Sends the log to stderr: for people on a terminal, one JSON object a line elsewhere, unless `LOG_FORMAT` says which.
///
/// A sink that somebody else installed stays.
pub fn install(settings: &Settings) {
    let filter = EnvFilter::new(settings.log_level.directives());
    let pretty = match settings.log_format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        _ => io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A log that cannot be written (a full disk, a closed pipe) must not be what ends the server.
        .log_internal_errors(false);
    let installed = if pretty {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    // The only failure is a sink that is there already.
    drop(installed);
}
