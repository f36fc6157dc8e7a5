//! The log sink of the server. Only hosts install one.

use std::io::{self, IsTerminal};

use saas_kit::settings::{LogFormat, Settings};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

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
    // Directives were parsed with the settings.
    let filter: Targets = settings.log_level.directives().parse().unwrap_or_default();
    let registry = tracing_subscriber::registry().with(filter);
    let lines = || {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            // A log that cannot be written (a full disk, a closed pipe) must not be what ends the server.
            .log_internal_errors(false)
    };
    let pretty = match settings.log_format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        _ => io::stderr().is_terminal(),
    };
    // The only failure of installing is a sink that is there already.
    if pretty {
        drop(registry.with(lines().with_target(false).compact()).try_init());
        return Log(None);
    }
    let sink = Sink::default();
    let Ok(flusher) = sink.start(io::stderr()) else {
        // Without a thread to write them, lines are written as they come.
        let lines = lines().json().flatten_event(true).with_current_span(true).with_span_list(false);
        drop(registry.with(lines).try_init());
        return Log(None);
    };
    drop(registry.with(JsonLines(sink)).try_init());
    Log(Some(flusher))
}
