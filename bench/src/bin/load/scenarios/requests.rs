//! Small requests, against a bare server that does nothing for them.

use bench::Failure;

use super::{Scenario, on_database};
use crate::{
    account::{Account, CHEAP_HASHES},
    arguments::Arguments,
    client::get,
    database::{Database, Engine},
    drive::{Figures, InTurn, Same, drive_awake},
    report::{Table, median, number, percent, progress},
    server::{SERVERS, Server},
};

const COLUMNS: &[&str] = &[
    "request",
    "engine",
    "requests/s (hello's)",
    "part of hello's",
    "server CPU per request (hello's)",
    "hello's CPU ÷ its (rounds)",
    "p50, p99",
    "cores in use: server, generator",
    "with hello",
];

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut table = Table::new(COLUMNS);
    let folder = tempfile::tempdir()?;
    let hello = Server::hello(folder.path()).await?;
    for scenario in [Scenario::Health, Scenario::Me, Scenario::MeInTurn] {
        for &engine in arguments.engines.iter().filter(|_| arguments.wants(scenario)) {
            progress(&format!("{} on {engine}, {} rounds", scenario.name(), arguments.rounds));
            let rounds =
                on_database(engine, async |database| compare(arguments, scenario, &hello, database).await)
                    .await?;
            table.add(row(scenario, engine, &rounds));
        }
    }
    Ok(table.show("Requests, against a bare server")?)
}

/// Rounds of both, the bare one first.
async fn compare(
    arguments: &Arguments,
    scenario: Scenario,
    hello: &Server,
    database: &Database,
) -> Result<Vec<(Figures, Figures)>, Failure> {
    let server = Server::product(&arguments.server, database, SERVERS, CHEAP_HASHES).await?;
    let people = match scenario {
        Scenario::Health => 0,
        Scenario::MeInTurn => 1000,
        _ => 1,
    };
    let mut requests = Vec::new();
    for account in Account::register(&server, 0..people).await? {
        requests.push(account.get("/api/v1/auth/me"));
    }
    if requests.is_empty() {
        requests.push(get("/health", None));
    }
    let clients = vec![InTurn::new(requests); arguments.connections];
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let bare =
            drive_awake(hello, vec![Same(get("/", None)); arguments.connections], arguments.pace()).await?;
        let ours = drive_awake(&server, clients.clone(), arguments.pace()).await?;
        server.cut_log()?;
        rounds.push((bare, ours));
    }
    Ok(rounds)
}

fn row(scenario: Scenario, engine: Engine, rounds: &[(Figures, Figures)]) -> [String; 9] {
    let hello = |figure: fn(&Figures) -> f64| median(rounds.iter().map(|(hello, _)| figure(hello)).collect());
    let it = |figure: fn(&Figures) -> f64| median(rounds.iter().map(|(_, it)| figure(it)).collect());
    let mut ratios: Vec<f64> = rounds.iter().map(|(hello, it)| hello.cpu() / it.cpu()).collect();
    ratios.sort_by(f64::total_cmp);
    let spread = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect::<Vec<_>>().join(", ");
    let rates = median(rounds.iter().map(|(hello, it)| it.rate() / hello.rate()).collect());
    let request = match scenario {
        Scenario::Health => "`/health`",
        Scenario::MeInTurn => "`/me`, 1,000 tokens in turn",
        _ => "`/me`, one token",
    };
    [
        request.to_owned(),
        engine.to_string(),
        format!("{} ({})", number(it(Figures::rate)), number(hello(Figures::rate))),
        percent(rates),
        format!("{} µs ({} µs)", number(it(Figures::cpu)), number(hello(Figures::cpu))),
        format!("**{:.3}** ({spread})", median(ratios)),
        format!("{} ms, {} ms", number(it(|it| it.latency(50))), number(it(|it| it.latency(99)))),
        format!("{:.2}, {:.2}", it(Figures::busy), it(|it| it.generator)),
        format!("{:.2}, {:.2}", hello(Figures::busy), hello(|hello| hello.generator)),
    ]
}
