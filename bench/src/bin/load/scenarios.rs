//! What is measured.

use bench::Failure;

use crate::{
    arguments::Arguments,
    database::{Database, Engine},
};

mod flood;
mod footprint;
mod necessary;
mod requests;
mod streams;

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// `GET /health`.
    Health,
    /// `GET /api/v1/auth/me` with one token.
    Me,
    /// The same with the tokens of 1,000 people in turn.
    MeInTurn,
    /// `POST /api/v1/auth/token`.
    SignIn,
    /// `POST /api/v1/auth/refresh`.
    Refresh,
    /// `GET /api/v1/conversations`, 50 of 1,000.
    List,
    /// Chat streams.
    Streams,
    /// The memory of a server that nobody asks.
    Memory,
    /// How long a start takes.
    Start,
    /// How large the program is.
    Size,
    /// Sign-ins in a crowd, and what the others feel of it.
    Flood,
}

impl Scenario {
    pub(crate) const ALL: [Self; 11] = [
        Self::Health,
        Self::Me,
        Self::MeInTurn,
        Self::SignIn,
        Self::Refresh,
        Self::List,
        Self::Streams,
        Self::Memory,
        Self::Start,
        Self::Size,
        Self::Flood,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Me => "me",
            Self::MeInTurn => "me-1000",
            Self::SignIn => "sign-in",
            Self::Refresh => "refresh",
            Self::List => "list",
            Self::Streams => "streams",
            Self::Memory => "memory",
            Self::Start => "start",
            Self::Size => "size",
            Self::Flood => "flood",
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self, Failure> {
        let known = Self::ALL.into_iter().find(|scenario| scenario.name() == word);
        known.ok_or_else(|| format!("--only takes {}", Self::ALL.map(Self::name).join(", ")).into())
    }
}

/// Runs what was asked for, table by table.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    requests::run(arguments).await?;
    necessary::run(arguments).await?;
    streams::run(arguments).await?;
    footprint::run(arguments).await?;
    flood::run(arguments).await
}

impl Arguments {
    fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }
}

/// Measures on a database that is gone afterwards, whatever came of it.
async fn on_database<T>(
    engine: Engine,
    measure: impl AsyncFnOnce(&Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let database = Database::create(engine).await?;
    let measured = measure(&database).await;
    database.remove().await?;
    measured
}
