//! `saas`, the operator's command: it serves the product, migrates its database, shows and checks its settings, manages users and
//! signing keys, shows jobs and the audit log, and talks to its agents.
//!
//! It parses, calls the services of [`saas_kit::Saas`] and renders; what two front ends need lives there. Data goes to stdout, words go
//! to stderr, and `failure` alone decides which exit code an error has.

mod arguments;
mod chat;
mod commands;
mod context;
mod failure;
mod input;
mod output;
mod progress;
mod text;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use arguments::{Arguments, Command, Format};
use context::Context;
use failure::{Exit, Failure};
use output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let context = Context::new(arguments.globals);
    match run(&context, arguments.command) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            context.out().failure(&failure);
            failure.exit().into()
        }
    }
}

fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve => commands::serve::run(context),
        Command::Migrate(arguments) => commands::migrate::run(context, &arguments),
        Command::Config(command) => commands::config::run(context, &command),
        Command::Users(command) => commands::users::run(context, command),
        Command::Keys(command) => commands::keys::run(context, &command),
        Command::Secrets(command) => commands::secrets::run(context, &command),
        Command::Jobs(command) => commands::jobs::run(context, &command),
        Command::Mail(command) => commands::mail::run(context, &command),
        Command::Audit(command) => commands::audit::run(context, &command),
        Command::Work => commands::serve::work(context),
        Command::Chat(arguments) => chat::run(context, arguments),
        Command::Openapi => commands::about::openapi(),
        Command::Version => commands::about::version(context),
        Command::Completions { shell } => commands::about::completions(shell),
        Command::Man(arguments) => commands::about::man(&arguments),
    }
}

/// What clap has to say: help that was asked for goes to stdout, a refusal to stderr. A reader that has left is no failure.
fn refused(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    // Neither stream owes us a reader.
    if !error.use_stderr() {
        let _ = std::io::stdout().write_all(text.as_bytes());
        return Exit::Ok.into();
    }
    if wants_json(std::env::args_os()) {
        let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let failure = Failure::new(Exit::Usage, "usage", what).with_hint("what there is says: saas --help");
        Output::new(Format::Json).failure(&failure);
    } else {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    Exit::Usage.into()
}

/// Whether a command line that clap refused asks for JSON all the same.
fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let arguments: Vec<_> = arguments.collect();
    arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}
