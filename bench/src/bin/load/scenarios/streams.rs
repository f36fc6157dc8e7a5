//! Chat streams, by the program beside this one.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use bench::Failure;

use super::{Scenario, on_database};
use crate::{
    arguments::Arguments,
    database::{Database, Engine},
    report::progress,
    server::{ALL, on_cores},
};

/// How many, one after the other.
const COUNTS: [&str; 2] = ["20", "500"];

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    for &engine in arguments.engines.iter().filter(|_| arguments.wants(Scenario::Streams)) {
        for count in COUNTS {
            progress(&format!("{count} streams on {engine}"));
            let table =
                on_database(engine, async |database| streams(arguments, engine, database, count)).await?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "\n### {count} chat streams at once, {engine}\n\n{}", table.trim_end())?;
        }
    }
    Ok(())
}

/// Runs the program; it makes its own database where that is a file.
fn streams(
    arguments: &Arguments,
    engine: Engine,
    database: &Database,
    count: &str,
) -> Result<String, Failure> {
    let program = std::env::current_exe()?.with_file_name("streams");
    let mut command: Command = on_cores(ALL, &program);
    command.arg(&arguments.server).arg(count).stderr(Stdio::inherit()).env_remove("DATABASE_URL");
    if engine == Engine::Postgres {
        command.env("DATABASE_URL", database.url());
    }
    let output = command.output()?;
    if output.status.success() { Ok(String::from_utf8(output.stdout)?) } else { Err("streams failed".into()) }
}
