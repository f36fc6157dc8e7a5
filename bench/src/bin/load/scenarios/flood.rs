//! A crowd that signs in, and somebody who only wants to know who they are.

use std::time::Duration;

use bench::{Failure, peak, reset_peak, resident};
use saas_auth::Argon2idParams;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Scenario, on_database};
use crate::{
    account::Account,
    arguments::Arguments,
    client::Connection,
    database::Database,
    drive::percentile,
    report::{Table, mebibytes, number, progress},
    server::{ALL, SERVERS, Server},
};

const COLUMNS: &[&str] = &[
    "engine",
    "server's cores",
    "signed in",
    "shed with 503 and `Retry-After`",
    "`/me` before, p50, p99",
    "`/me` meanwhile, p50, p99",
    "memory before",
    "at most",
    "before + pool × 19 MiB",
];

/// How many sign in at once.
const CROWD: usize = 200;

/// How often somebody asks who they are.
const ASKS_EVERY: Duration = Duration::from_millis(5);

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut table = Table::new(COLUMNS);
    for &engine in arguments.engines.iter().filter(|_| arguments.wants(Scenario::Flood)) {
        for (cores, pool) in [(SERVERS, 1), (ALL, 2)] {
            progress(&format!("flood on {engine}, cores {cores}"));
            let flood =
                on_database(engine, async |database| flood(arguments, database, cores, pool).await).await?;
            table.add([
                engine.to_string(),
                if cores == SERVERS { "one" } else { "two, one shared with the crowd" }.to_owned(),
                format!(
                    "{}, {}/s",
                    flood.crowd.signed_in,
                    number(f64::from(flood.crowd.signed_in) / flood.seconds)
                ),
                flood.crowd.shed.to_string(),
                latencies(&flood.before),
                latencies(&flood.meanwhile),
                mebibytes(flood.memory),
                mebibytes(flood.peak),
                mebibytes(flood.memory + pool * u64::from(Argon2idParams::default().memory_kib) * 1024),
            ]);
        }
    }
    Ok(table.show("200 clients sign in at once")?)
}

struct Flood {
    crowd: Crowd,
    seconds: f64,
    before: Vec<u32>,
    meanwhile: Vec<u32>,
    memory: u64,
    peak: u64,
}

async fn flood(arguments: &Arguments, database: &Database, cores: &str, pool: u64) -> Result<Flood, Failure> {
    let pool = pool.to_string();
    // They all come from one address, and none of them guesses.
    let many = "1000000";
    let settings = [
        ("PASSWORD_HASH_CONCURRENCY", pool.as_str()),
        ("AUTH_IP_LOCKOUT_THRESHOLD", many),
        ("AUTH_SUBNET_LOCKOUT_THRESHOLD", many),
    ];
    let server = Server::product(&arguments.server, database, cores, &settings).await?;
    let mut crowd = Account::register(&server, 0..CROWD + 1).await?;
    let asker = crowd.pop().ok_or("they have registered")?;
    let me = asker.get("/api/v1/auth/me");
    let time = arguments.seconds * 2;
    let before = ask(&server, &me, Instant::now() + time).await?;
    let connections = connect(&server, &asker.get("/health")).await?;
    let memory = resident(server.process())?;
    reset_peak(server.process())?;
    let end = Instant::now() + time;
    let tasks = storm(connections, &crowd, end);
    let meanwhile = ask(&server, &me, end).await?;
    let peak = peak(server.process())?;
    let mut crowd = Crowd::default();
    for task in tasks {
        let one = task.await??;
        crowd.signed_in += one.signed_in;
        crowd.shed += one.shed;
    }
    Ok(Flood { crowd, seconds: time.as_secs_f64(), before, meanwhile, memory, peak })
}

/// What became of those who signed in.
#[derive(Debug, Default)]
struct Crowd {
    signed_in: u32,
    shed: u32,
}

/// The crowd at the door: each of them has been answered once, so that what a connection takes is not taken for what hashing does.
async fn connect(server: &Server, request: &[u8]) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut connection = Connection::open(server.address).await?;
        connection.exchange(request).await?.success()?;
        connections.push(connection);
    }
    Ok(connections)
}

fn storm(
    connections: Vec<Connection>,
    crowd: &[Account],
    end: Instant,
) -> Vec<JoinHandle<Result<Crowd, Failure>>> {
    let one =
        |(connection, account): (_, &Account)| tokio::spawn(sign_in(connection, account.sign_in(), end));
    connections.into_iter().zip(crowd).map(one).collect()
}

/// Signs in until the end. Who is shed comes again when they were told to.
async fn sign_in(mut connection: Connection, request: Vec<u8>, end: Instant) -> Result<Crowd, Failure> {
    let mut crowd = Crowd::default();
    while Instant::now() < end {
        let answer = connection.exchange(&request).await?;
        if answer.status == 503 {
            let wait =
                answer.header("retry-after").ok_or("a 503 does not say when to come again")?.parse()?;
            crowd.shed += 1;
            sleep(Duration::from_secs(wait)).await;
        } else {
            answer.success()?;
            // Who was waiting when the time was over is not counted.
            crowd.signed_in += u32::from(Instant::now() < end);
        }
    }
    Ok(crowd)
}

/// Asks on one connection, calmly, and says how long each answer took, shortest first, in microseconds.
async fn ask(server: &Server, request: &[u8], end: Instant) -> Result<Vec<u32>, Failure> {
    let mut connection = Connection::open(server.address).await?;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let asked = Instant::now();
        connection.exchange(request).await?.success()?;
        latencies.push(u32::try_from(asked.elapsed().as_micros())?);
        sleep(ASKS_EVERY).await;
    }
    latencies.sort_unstable();
    Ok(latencies)
}

fn latencies(sorted: &[u32]) -> String {
    format!("{} ms, {} ms", number(percentile(sorted, 50)), number(percentile(sorted, 99)))
}
