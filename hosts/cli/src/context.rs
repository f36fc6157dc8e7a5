//! What commands begin with: settings, a log, a runtime. Nothing here happens before a command asks for it.

use std::{
    env,
    io::{self, IsTerminal},
};

use saas_http::program;
use saas_kit::{
    Blueprint, Saas,
    settings::{LogFormat, Setting, Settings, SettingsErrors, Sources},
};
use tokio::runtime;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    arguments::Globals,
    failure::{Exit, Failure},
    output::{self, Output},
};

/// What is logged to whoever runs a command, unless `LOG_LEVEL` is set.
const QUIET: &str = "warn,saas_kit=info";

/// The widest that text gets, however wide the terminal is.
const WIDTH: usize = 80;

/// The arguments that every command has.
#[derive(Debug)]
pub(crate) struct Context {
    globals: Globals,
}

impl Context {
    pub(crate) const fn new(globals: Globals) -> Self {
        Self { globals }
    }

    pub(crate) const fn out(&self) -> Output {
        Output::new(self.globals.output)
    }

    /// How wide text may be.
    pub(crate) fn width() -> usize {
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        columns.filter(|columns| (20..WIDTH).contains(columns)).unwrap_or(WIDTH)
    }

    /// Flags, then the environment, then the files.
    pub(crate) fn sources(&self) -> Result<Sources, Failure> {
        let flags = self.globals.set.iter().map(|flag| setting(flag)).collect::<Result<Vec<_>, _>>()?;
        let files = self.globals.env_file.iter();
        Ok(files.fold(program::sources(), Sources::with_env_file).with_flags(flags))
    }

    /// What the settings are, or everything that is wrong with them.
    pub(crate) fn load(&self) -> Result<Result<Settings, SettingsErrors>, Failure> {
        Ok(Settings::load(&self.sources()?))
    }

    /// The settings, what has no effect told.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let settings = self.load()??;
        for warning in settings.warnings() {
            output::say(&format!("saas: {warning}"));
        }
        Ok(settings)
    }

    /// What would be opened, and a log for whoever runs the command.
    pub(crate) fn blueprint(&self) -> Result<Blueprint, Failure> {
        let settings = self.settings()?;
        log(&settings);
        Ok(Saas::builder(settings).build()?)
    }

    /// Opens the product, migrated where the settings say so, does the work, and closes it.
    pub(crate) fn with_saas<T>(
        &self,
        work: impl AsyncFnOnce(&Saas) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let settings = self.settings()?;
        log(&settings);
        block_on(or_interrupted(async {
            let saas = program::open(settings).await?;
            let done = work(&saas).await;
            saas.close().await;
            done
        }))
    }
}

/// Runs it to its end. What still reads from the terminal then is left behind.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the program's threads could not be started", &error))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// The work, or Ctrl-C, whichever comes first.
pub(crate) async fn or_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    }
}

/// Sends warnings and errors to stderr, or whatever `LOG_LEVEL` asks for.
pub(crate) fn log(settings: &Settings) {
    let asked = settings.effective().any(|it| it.setting.name == "LOG_LEVEL" && it.origin.is_set());
    let directives = if asked { settings.log_level.directives() } else { QUIET };
    let registry = tracing_subscriber::registry().with(directives.parse::<Targets>().unwrap_or_default());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    // The only failure is a sink that is there already.
    let _ = if settings.log_format == LogFormat::Json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        let lines = lines.with_ansi(io::stderr().is_terminal()).without_time().with_target(false).compact();
        registry.with(lines).try_init()
    };
}

/// One `NAME=VALUE`. What is refused is not repeated: it may be a secret.
fn setting(flag: &str) -> Result<(String, String), Failure> {
    let refused = |text: String| Failure::new(Exit::Usage, "invalid_set", text);
    let (name, value) = flag.split_once('=').ok_or_else(|| refused("--set takes NAME=VALUE".to_owned()))?;
    let known = Setting::named(name).ok_or_else(|| {
        refused("--set names no setting".to_owned()).with_hint("they are listed by: saas config schema")
    })?;
    if known.secret {
        let text = format!("--set does not take {}: others can see the command line", known.full_name());
        return Err(refused(text).with_hint("set it in the environment or in a file, with --env-file"));
    }
    Ok((name.to_owned(), value.to_owned()))
}
