//! Requests that have something to do, against that alone: how much of what the machine could do is left of it through the product.

use bench::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use saas_core::{Reach, Storage};
use saas_sql::execute;
use uuid::Uuid;

use super::{Scenario, on_database};
use crate::{
    account::{Account, CHEAP_HASHES},
    arguments::Arguments,
    bare::Bare,
    database::{Database, Engine},
    drive::{Figures, Same, drive},
    report::{Table, median, number, percent, progress},
    server::{SERVERS, Server},
};

const COLUMNS: &[&str] = &[
    "request",
    "against",
    "engine",
    "clients",
    "requests/s",
    "alone",
    "part (rounds)",
    "p50, p99",
    "server CPU per request",
];

/// How many ask at once where many do.
const CROWD: usize = 16;

/// One round: what was measured, and how often a second it can be done alone.
type Round = (Figures, f64);

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut table = Table::new(COLUMNS);
    let cases = [
        (Scenario::SignIn, CROWD),
        (Scenario::Refresh, 1),
        (Scenario::Refresh, CROWD),
        (Scenario::List, CROWD),
    ];
    for (scenario, clients) in cases.into_iter().filter(|(scenario, _)| arguments.wants(*scenario)) {
        for &engine in &arguments.engines {
            progress(&format!("{} on {engine}, clients: {clients}", scenario.name()));
            let rounds = on_database(engine, async |database| match scenario {
                Scenario::SignIn => sign_in(arguments, database, clients).await,
                Scenario::Refresh => refresh(arguments, database, clients).await,
                _ => list(arguments, database, clients).await,
            })
            .await?;
            table.add(row(scenario, engine, clients, &rounds));
        }
    }
    Ok(table.show("Requests with work to do, against that work alone")?)
}

async fn sign_in(arguments: &Arguments, database: &Database, clients: usize) -> Result<Vec<Round>, Failure> {
    let server = Server::product(&arguments.server, database, SERVERS, &[]).await?;
    let accounts = Account::register(&server, 0..clients).await?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let alone = Bare::Argon2.rate(arguments.pace())?;
        let clients = accounts.iter().map(|account| Same(account.sign_in())).collect();
        rounds.push((drive(&server, clients, arguments.pace()).await?, alone));
    }
    Ok(rounds)
}

async fn refresh(arguments: &Arguments, database: &Database, clients: usize) -> Result<Vec<Round>, Failure> {
    let server = Server::product(&arguments.server, database, SERVERS, CHEAP_HASHES).await?;
    let mut rounds = Vec::new();
    for round in 0..arguments.rounds {
        let alone = Bare::Update(database, clients).rate(arguments.pace())?;
        let accounts = Account::register(&server, round * clients..(round + 1) * clients).await?;
        let clients = accounts.iter().map(Account::refreshing).collect();
        rounds.push((drive(&server, clients, arguments.pace()).await?, alone));
    }
    Ok(rounds)
}

async fn list(arguments: &Arguments, database: &Database, clients: usize) -> Result<Vec<Round>, Failure> {
    let server = Server::product(&arguments.server, database, SERVERS, CHEAP_HASHES).await?;
    let mut accounts = Account::register(&server, 0..1).await?;
    let account = accounts.pop().ok_or("one has registered")?;
    insert_conversations(database, &account).await?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let alone = Bare::List(database, &account, clients).rate(arguments.pace())?;
        let clients = vec![Same(account.get("/api/v1/conversations?limit=50")); clients];
        rounds.push((drive(&server, clients, arguments.pace()).await?, alone));
    }
    Ok(rounds)
}

/// A thousand, as if they had been talked.
async fn insert_conversations(database: &Database, owner: &Account) -> Result<(), Failure> {
    let storage = database.storage().await?;
    let mut tx = storage.begin(Reach::Platform("bench")).await?;
    for number in 0..1000_u32 {
        let at = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + i64::from(number));
        execute!(
            tx.conn(),
            "INSERT INTO saas_conversations \
             (id, tenant_id, user_id, key, title, agent, message_count, preview, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, 'triage', 2, $6, $7, $7)",
            Uuid::from_u128(u128::from(number)),
            owner.tenant,
            owner.user,
            format!("homework-{number}"),
            Some("Homework"),
            "The sum of the angles of a triangle on a ball exceeds two right ones, by its area over the square of the radius.",
            at,
        )?;
    }
    tx.commit().await?;
    storage.close().await;
    Ok(())
}

fn row(scenario: Scenario, engine: Engine, clients: usize, rounds: &[Round]) -> [String; 9] {
    let it = |figure: fn(&Figures) -> f64| median(rounds.iter().map(|(it, _)| figure(it)).collect());
    let mut parts: Vec<f64> = rounds.iter().map(|(it, alone)| it.rate() / alone).collect();
    parts.sort_by(f64::total_cmp);
    let spread = parts.iter().map(|part| percent(*part)).collect::<Vec<_>>().join(", ");
    let (request, against) = match scenario {
        Scenario::SignIn => ("`/token`", "Argon2id alone"),
        Scenario::Refresh => ("`/refresh`", "one conditional `UPDATE` in a transaction"),
        _ => ("50 of 1,000 conversations", "the query alone"),
    };
    [
        request.to_owned(),
        against.to_owned(),
        engine.to_string(),
        clients.to_string(),
        number(it(Figures::rate)),
        number(median(rounds.iter().map(|(_, alone)| *alone).collect())),
        format!("**{}** ({spread})", percent(median(parts))),
        format!("{} ms, {} ms", number(it(|it| it.latency(50))), number(it(|it| it.latency(99)))),
        format!("{} µs", number(it(Figures::cpu))),
    ]
}
