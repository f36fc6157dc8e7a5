//! What a request cannot do without, done alone: a process of its own on the servers' core, with no HTTP and nothing of the product around.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bench::Failure;
use chrono::{DateTime, Utc};
use saas_auth::{Argon2id, Argon2idParams, Keyring, Password};
use saas_core::{Reach, Secret, Storage, TenantId, entropy::SystemEntropy};
use saas_sql::{SqlOptions, SqlStorage, execute, fetch_all, fetch_optional};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::{
    account::Account,
    database::Database,
    drive::Pace,
    server::{SERVERS, on_cores},
};

const REACH: Reach = Reach::Platform("bench");

/// What is done alone.
#[derive(Debug)]
pub(crate) enum Bare<'a> {
    /// Comparing passwords, on as many threads as there are cores to it.
    Argon2,
    /// A transaction with one conditional `UPDATE` of one row; each way has its own.
    Update(&'a Database, usize),
    /// The query of a list of 50.
    List(&'a Database, &'a Account, usize),
}

impl Bare<'_> {
    /// How often a second.
    pub(crate) fn rate(&self, pace: Pace) -> Result<f64, Failure> {
        let mut command = on_cores(SERVERS, &std::env::current_exe()?);
        let times = [pace.warm_up, pace.time].map(|time| time.as_secs_f64().to_string());
        command.arg("bare").args(times);
        match self {
            Self::Argon2 => command.arg("argon2"),
            Self::Update(database, ways) => command.args(["update", database.url(), &ways.to_string()]),
            Self::List(database, account, ways) => command.args([
                "list",
                database.url(),
                &ways.to_string(),
                &account.tenant.to_string(),
                &account.user.to_string(),
            ]),
        };
        let output = command.output()?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?.trim().parse()?);
        }
        Err(format!("what is done alone failed: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// The process: says how often a second on stdout.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [warm_up, time, what @ ..] = arguments else { return Err("bare: two times and what to do".into()) };
    let seconds = |text: &str| Ok::<_, Failure>(Duration::from_secs_f64(text.parse()?));
    let pace = Pace { warm_up: seconds(warm_up)?, time: seconds(time)? };
    let what: Vec<&str> = what.iter().map(String::as_str).collect();
    let rate = match what.as_slice() {
        ["argon2"] => argon2(pace)?,
        ["update", url, ways] => runtime()?.block_on(async {
            update(pace, SqlStorage::open(&SqlOptions::new(url)?).await?, ways.parse()?).await
        })?,
        ["list", url, ways, tenant, user] => runtime()?.block_on(async {
            let owner = (tenant.parse()?, user.parse()?);
            list(pace, SqlStorage::open(&SqlOptions::new(url)?).await?, ways.parse()?, owner).await
        })?,
        _ => return Err("bare: argon2, update or list".into()),
    };
    Ok(writeln!(std::io::stdout(), "{rate}")?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// When to begin to count, when to stop, and the count.
#[derive(Debug, Clone)]
struct Count {
    begin: Instant,
    end: Instant,
    done: Arc<AtomicU32>,
}

impl Count {
    fn new(pace: Pace) -> Self {
        let begin = Instant::now() + pace.warm_up;
        Self { begin, end: begin + pace.time, done: Arc::default() }
    }

    /// Whether to go on, after one more was done.
    fn goes_on(&self) -> bool {
        let now = Instant::now();
        if (self.begin..self.end).contains(&now) {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        now < self.end
    }

    fn rate(&self) -> f64 {
        f64::from(self.done.load(Ordering::Relaxed)) / (self.end - self.begin).as_secs_f64()
    }
}

fn argon2(pace: Pace) -> Result<f64, Failure> {
    let hasher =
        Argon2id::new(Argon2idParams::default(), Keyring::generate(&SystemEntropy), Arc::new(SystemEntropy))?;
    let password = Password::new(&Secret::new("correct horse battery".to_owned()))?;
    let hash = hasher.hash(&password)?;
    let count = Count::new(pace);
    let compare = || {
        while hasher.verify(&password, &hash)? && count.goes_on() {}
        Ok::<_, Failure>(())
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism()?.get();
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(compare)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(count.rate())
}

async fn update(pace: Pace, storage: SqlStorage, ways: usize) -> Result<f64, Failure> {
    let mut tx = storage.begin(REACH).await?;
    execute!(
        tx.conn(),
        "CREATE TABLE IF NOT EXISTS bench_rows (id bigint NOT NULL PRIMARY KEY, generation bigint NOT NULL)"
    )?;
    execute!(tx.conn(), "DELETE FROM bench_rows")?;
    for way in 0..i64::try_from(ways)? {
        execute!(tx.conn(), "INSERT INTO bench_rows (id, generation) VALUES ($1, 0)", way)?;
    }
    tx.commit().await?;
    let count = Count::new(pace);
    let tasks: Vec<_> = (0..i64::try_from(ways)?)
        .map(|way| tokio::spawn(update_one(storage.clone(), way, count.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(count.rate())
}

async fn update_one(storage: SqlStorage, id: i64, count: Count) -> Result<(), Failure> {
    let mut generation = 0_i64;
    loop {
        let mut tx = storage.begin(REACH).await?;
        let row = fetch_optional!(
            tx.conn(),
            (i64,),
            "UPDATE bench_rows SET generation = generation + 1 WHERE id = $1 AND generation = $2 RETURNING generation",
            id,
            generation,
        )?;
        tx.commit().await?;
        (generation,) = row.ok_or("a row moved on by itself")?;
        if !count.goes_on() {
            return Ok(());
        }
    }
}

/// A conversation as the product reads it.
type Row = (Uuid, Uuid, Uuid, String, Option<String>, String, i64, String, DateTime<Utc>, DateTime<Utc>);

async fn list(pace: Pace, storage: SqlStorage, ways: usize, owner: (Uuid, Uuid)) -> Result<f64, Failure> {
    let count = Count::new(pace);
    let tasks: Vec<_> =
        (0..ways).map(|_| tokio::spawn(list_again(storage.clone(), owner, count.clone()))).collect();
    sleep_until(count.end).await;
    for task in tasks {
        task.await??;
    }
    Ok(count.rate())
}

async fn list_again(storage: SqlStorage, (tenant, user): (Uuid, Uuid), count: Count) -> Result<(), Failure> {
    loop {
        let mut conn = storage.read(Reach::Tenant(TenantId::from_uuid(tenant))).await?;
        let rows = fetch_all!(
            &mut conn,
            Row,
            "SELECT id, tenant_id, user_id, key, title, agent, message_count, preview, created_at, updated_at \
             FROM saas_conversations WHERE tenant_id = $1 AND user_id = $2 AND message_count > 0 \
             ORDER BY updated_at DESC, id DESC LIMIT $3",
            tenant,
            user,
            51_i64,
        )?;
        if rows.len() != 51 {
            return Err("the list is not as long as it should be".into());
        }
        if !count.goes_on() {
            return Ok(());
        }
    }
}
