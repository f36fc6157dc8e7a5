//! What was asked for.

use std::{path::PathBuf, time::Duration};

use bench::Failure;

use crate::{database::Engine, drive::Pace, scenarios::Scenario};

/// How to call it.
const USAGE: &str = "\
usage: load [--only SCENARIO[,SCENARIO…]] [--engine sqlite|postgres] [--seconds N] [--rounds N] [--connections N] [--server PATH]

Without --only every scenario is run, without --engine on both engines; --seconds (10) is how long one measurement takes, --rounds (3)
how often each is taken, --connections (32) how many ask at once, --server the program instead of the one beside this.";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) engines: Vec<Engine>,
    pub(crate) seconds: Duration,
    pub(crate) rounds: usize,
    pub(crate) connections: usize,
    pub(crate) server: PathBuf,
}

impl Arguments {
    pub(crate) fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut arguments = Self {
            scenarios: Scenario::ALL.to_vec(),
            engines: vec![Engine::Sqlite, Engine::Postgres],
            seconds: Duration::from_secs(10),
            rounds: 3,
            connections: 32,
            server: std::env::current_exe()?.with_file_name("saas-server"),
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(USAGE.into()) };
            match name.as_str() {
                "--only" => {
                    arguments.scenarios = value.split(',').map(Scenario::parse).collect::<Result<_, _>>()?;
                }
                "--engine" => arguments.engines = vec![Engine::parse(value)?],
                "--seconds" => arguments.seconds = Duration::from_secs(at_least_one(value)?),
                "--rounds" => arguments.rounds = usize::try_from(at_least_one(value)?)?,
                "--connections" => arguments.connections = usize::try_from(at_least_one(value)?)?,
                "--server" => arguments.server = std::path::absolute(value)?,
                _ => return Err(USAGE.into()),
            }
        }
        if !arguments.server.exists() {
            let server = arguments.server.display();
            return Err(format!("{server} is not there: cargo build --release -p saas-http -p bench").into());
        }
        Ok(arguments)
    }

    /// How long a measurement takes, a fifth of it before it counts.
    pub(crate) fn pace(&self) -> Pace {
        Pace { warm_up: self.seconds / 5, time: self.seconds }
    }
}

fn at_least_one(text: &str) -> Result<u64, Failure> {
    text.parse().ok().filter(|number| *number >= 1).ok_or_else(|| USAGE.into())
}
