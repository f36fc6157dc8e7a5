//! How many jobs a process does, from the commit that leaves one behind to the one that removes it, against what the same storage does of
//! the least that this could be: a row that is inserted in a transaction and deleted in another. `scripts/soak jobs` makes the report.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bench::Failure;
use saas_core::{Entropy, Reach, Storage, entropy::SystemEntropy, jobs::Job};
use saas_kit::{
    Saas,
    jobs::{Attempt, JobError, handler},
    settings::{Settings, Sources},
    testing::{TestDatabase, TestEngine, TestWorkers},
};
use saas_sql::{RootKey, SqlStorage, execute, fetch_one};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const REACH: Reach = Reach::Platform("bench");
/// How many enqueue at once, and how many jobs are done at once.
const AT_ONCE: u64 = SHARES as u64;
const SHARES: usize = 16;
const TURNS: usize = 5;
/// How many a turn has.
const JOBS: u64 = 2_000;

/// Nothing to do but to be done.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    number: u64,
}

impl Job for Note {
    const KIND: &'static str = "bench.note";
}

/// Writes its number into a table, in the transaction that completes it.
#[derive(Debug, Serialize, Deserialize)]
struct Leave {
    number: u64,
}

impl Job for Leave {
    const KIND: &'static str = "bench.leave";
}

async fn leave(job: Leave, attempt: Attempt) -> Result<(), JobError> {
    let number = i64::try_from(job.number).map_err(|_| JobError::Hopeless("too many".to_owned()))?;
    let mut tx = attempt.begin().await?;
    execute!(tx.conn(), "INSERT INTO effects (number) VALUES ($1)", number)
        .map_err(saas_core::StoreError::from)?;
    attempt.complete_in(&mut tx).await?;
    Ok(tx.commit().await?)
}

fn main() -> Result<(), Failure> {
    // `cargo test --benches` only looks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    say("| engine | what | a second | to inserting and deleting |");
    say("| --- | --- | --- | --- |");
    for (engine, name) in [(TestEngine::Postgres, "PostgreSQL"), (TestEngine::Sqlite, "SQLite")] {
        runtime.block_on(measure(engine, name))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what it measures is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

async fn measure(engine: TestEngine, name: &str) -> Result<(), Failure> {
    let database = TestDatabase::create(engine).await;
    let done = Arc::new(AtomicU64::new(0));
    let saas = open(&database, &done).await?;
    let workers = TestWorkers::start(&saas);
    let (mut bare, mut plain, mut effects) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let rates = [
            insert_and_delete(saas.storage()).await?,
            jobs(&saas, |number| Note { number }).await?,
            jobs(&saas, |number| Leave { number }).await?,
        ];
        // The first one warms up, and is not counted.
        if turn > 0 {
            bare.push(rates[0]);
            plain.push(rates[1]);
            effects.push(rates[2]);
        }
    }
    workers.stop().await;
    let all = JOBS * (TURNS as u64 + 1);
    let mut conn = saas.storage().read(REACH).await?;
    let query = "SELECT COUNT(*), COUNT(DISTINCT number) FROM effects";
    let effects_left = fetch_one!(&mut conn, (i64, i64), query)?;
    drop(conn);
    let once = i64::try_from(all)? == effects_left.0 && i64::try_from(JOBS)? == effects_left.1;
    if done.load(Ordering::SeqCst) != all || !once {
        return Err("a job was not done, or was done twice".into());
    }
    let without = median(bare);
    let line = |what: &str, rate: f64| {
        say(&format!("| {name} | {what} | {rate:.0} | {:.0} % |", rate / without * 100.0));
    };
    line("a row inserted, a row deleted", without);
    line("a job enqueued and done", median(plain));
    line("the same with an effect in its transaction", median(effects));
    saas.close().await;
    Ok(())
}

async fn open(database: &TestDatabase, done: &Arc<AtomicU64>) -> Result<Saas, Failure> {
    let flags = [
        ("ENVIRONMENT", "test"),
        ("DATABASE_URL", database.url()),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
        ("DATABASE_WRITE_TIMEOUT", "30"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags))?;
    let done = Arc::clone(done);
    let count = move |_: Note, _: Attempt| {
        done.fetch_add(1, Ordering::SeqCst);
        async { Ok::<(), JobError>(()) }
    };
    let at_once = usize::try_from(AT_ONCE)?;
    let builder = Saas::builder(settings).root_key(RootKey::new(&[7; 32])?);
    let builder = builder.job_handler(at_once, handler(count)).job_handler(at_once, handler(leave));
    let blueprint = builder.build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    let mut tx = saas.storage().begin(REACH).await?;
    execute!(tx.conn(), "CREATE TABLE effects (number bigint NOT NULL)")?;
    execute!(
        tx.conn(),
        "CREATE TABLE bare (id uuid PRIMARY KEY, kind text NOT NULL, payload text NOT NULL, due_at bigint NOT NULL)"
    )?;
    tx.commit().await?;
    Ok(saas)
}

/// Runs `one` for each number, a share of them in each of [`AT_ONCE`] tasks.
async fn shared_out<F>(one: impl Fn(u64) -> F + Clone + Send + 'static) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send,
{
    let task = |first| {
        let one = one.clone();
        tokio::spawn(async move {
            for number in (first..JOBS).step_by(SHARES) {
                one(number).await?;
            }
            Ok::<_, Failure>(())
        })
    };
    for task in (0..AT_ONCE).map(task).collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}

/// What no queue that keeps its jobs in this storage can do without: how many a second.
async fn insert_and_delete(storage: &SqlStorage) -> Result<f64, Failure> {
    let storage = storage.clone();
    let began = Instant::now();
    shared_out(move |number| {
        let storage = storage.clone();
        async move {
            let mut bytes = [0; 16];
            SystemEntropy.fill(&mut bytes);
            let id = Uuid::from_bytes(bytes);
            let mut tx = storage.begin(REACH).await?;
            execute!(
                tx.conn(),
                "INSERT INTO bare (id, kind, payload, due_at) VALUES ($1, 'bench.note', $2, 0)",
                id,
                format!("{{\"number\":{number}}}"),
            )?;
            tx.commit().await?;
            let mut tx = storage.begin(REACH).await?;
            execute!(tx.conn(), "DELETE FROM bare WHERE id = $1", id)?;
            tx.commit().await?;
            Ok(())
        }
    })
    .await?;
    Ok(rate(began))
}

/// Jobs, each enqueued in a transaction of its own while the workers do them: how many a second, until none is left.
async fn jobs<J: Job + Sync>(saas: &Saas, job: fn(u64) -> J) -> Result<f64, Failure> {
    let began = Instant::now();
    let enqueuing = saas.clone();
    shared_out(move |number| {
        let (saas, job) = (enqueuing.clone(), job(number));
        async move {
            let mut tx = saas.storage().begin(REACH).await?;
            saas.jobs().enqueue(&mut tx, &job).await?;
            tx.commit().await?;
            Ok(())
        }
    })
    .await?;
    loop {
        let mut conn = saas.storage().read(REACH).await?;
        let query = "SELECT COUNT(*) FROM saas_jobs WHERE kind LIKE 'bench.%'";
        let (left,) = fetch_one!(&mut conn, (i64,), query)?;
        drop(conn);
        if left == 0 {
            return Ok(rate(began));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn rate(began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a turn has no 2^53 jobs")]
    let jobs = JOBS as f64;
    jobs / began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
