//! When, how and on what it was measured.

use std::{fs, io::Write};

use bench::Failure;
use chrono::{SecondsFormat, Utc};

use crate::{arguments::Arguments, database::Engine, report::progress};

/// Another process on more than this much of a core spoils the figures.
const QUIET: f64 = 0.3;

/// Says it on stdout; on stderr that the machine is not quiet.
pub(crate) async fn show(arguments: &Arguments, words: &[String]) -> Result<(), Failure> {
    let command = ["load"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let how = format!(
        "{} rounds of {} s, {} connections",
        arguments.rounds,
        arguments.seconds.as_secs(),
        arguments.connections
    );
    show_for(&arguments.engines, &command, &how).await
}

/// The same for what is measured otherwise.
pub(crate) async fn show_for(measured: &[Engine], command: &str, how: &str) -> Result<(), Failure> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let quiet = load.parse::<f64>()? <= QUIET;
    if !quiet {
        progress(&format!("this machine is not quiet (load {load}): the figures will not be worth much"));
    }
    let cpu = field("/proc/cpuinfo", "model name")?;
    let memory = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse::<u64>()? >> 20;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut engines = Vec::new();
    for engine in measured {
        engines.push(engine.described().await?);
    }
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Taken {now} by `{}`: {how}. {cpu}, {memory} GiB, Linux {}, load {load} before it began. {}.",
        command.trim(),
        kernel.trim(),
        engines.join("; "),
    )?;
    if !quiet {
        writeln!(
            out,
            "\n**The machine was not quiet: these figures show that the programs work, and not much more.**"
        )?;
    }
    Ok(())
}

fn field(file: &str, name: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(file)?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) =
        fields.find(|(field, _)| field.trim() == name).ok_or("the system does not say what it is")?;
    Ok(value.trim().to_owned())
}
