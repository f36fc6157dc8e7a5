//! The log sink of the server. Only hosts install one.

use std::io::{self, IsTerminal};

use saas_kit::settings::{LogFormat, Settings};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

mod json_lines;
mod sink;

use json_lines::JsonLines;
use sink::{Flusher, Sink};

/// The sink. Dropping it writes what waits: keep it to the end of the program.
#[derive(Debug)]
#[must_use = "what waits is lost when it is dropped at once"]
pub struct Log(#[expect(dead_code, reason = "held for its Drop")] Option<Flusher>);

/// Sends the log to stderr: for people on a terminal, one JSON object a line elsewhere, unless `LOG_FORMAT` says which.
///
/// Objects are written by a thread of their own when some have gathered, after 50 ms at the latest; warnings and errors at once. A log
/// that cannot be written holds nobody up: lines are lost then, and counted. A sink that somebody else installed stays.
pub fn install(settings: &Settings) -> Log {
    let filter = EnvFilter::new(settings.log_level.directives());
    let pretty = match settings.log_format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        _ => io::stderr().is_terminal(),
    };
    // The only failure of installing is a sink that is there already.
    if pretty {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            // A log that cannot be written (a full disk, a closed pipe) must not be what ends the server.
            .log_internal_errors(false);
        drop(builder.with_target(false).compact().try_init());
        return Log(None);
    }
    let sink = Sink::default();
    let Ok(flusher) = sink.start(io::stderr()) else {
        // Without a thread to write them, lines are written as they come.
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        let builder = builder.log_internal_errors(false).json().flatten_event(true);
        drop(builder.with_current_span(true).with_span_list(false).try_init());
        return Log(None);
    };
    drop(tracing_subscriber::registry().with(filter).with(JsonLines(sink)).try_init());
    Log(Some(flusher))
}
