//! Killing processes that do jobs, again and again: every effect is there once, and none is lost.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use saas_core::{
    Reach, Storage,
    entropy::{SystemEntropy, random},
    jobs::{Job, JobFilter},
};
use saas_kit::{
    Blueprint, Saas,
    jobs::{Attempt, JobError, handler},
    settings::{Settings, Sources},
    testing::TestDatabase,
};
use saas_sql::{RootKey, SqlStorage, execute, fetch_one};
use serde::{Deserialize, Serialize};

/// How many jobs; `scripts/soak jobs` asks for ten times as many.
const JOBS: &str = "SAAS_TEST_JOBS";
const JOBS_USUALLY: i64 = 1_000;
const PROCESSES: usize = 2;
const WORKERS: usize = 4;
/// Names the child's database; without it the child's test has nothing to do.
const DATABASE: &str = "SAAS_TEST_JOBS_DATABASE_URL";
const REACH: Reach = Reach::Platform("test");

/// Writes its number into a table that takes it twice.
#[derive(Debug, Serialize, Deserialize)]
struct Leave {
    number: i64,
}

impl Job for Leave {
    const KIND: &'static str = "test.leave";
    // A worker that is killed takes an attempt with it.
    const MAX_ATTEMPTS: i64 = 1_000;
}

async fn leave(job: Leave, attempt: Attempt) -> Result<(), JobError> {
    // A moment in which to be killed.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut tx = attempt.begin().await?;
    execute!(tx.conn(), "INSERT INTO left_behind (number) VALUES ($1)", job.number).unwrap();
    attempt.complete_in(&mut tx).await?;
    Ok(tx.commit().await?)
}

fn blueprint(url: &str, works: bool) -> Blueprint {
    let flags = [("DATABASE_URL", url), ("ENVIRONMENT", "test"), ("JOB_LEASE_SECONDS", "1")];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).expect("the settings are valid");
    let root_key = RootKey::new(&[7; 32]).expect("32 bytes are a root key");
    let builder = Saas::builder(settings).root_key(root_key);
    let builder = if works { builder.job_handler(WORKERS, handler(leave)) } else { builder };
    builder.build().expect("the settings fit")
}

async fn count(storage: &SqlStorage, query: &'static str) -> i64 {
    let mut conn = storage.read(REACH).await.expect("the database answers");
    let (count,): (i64,) = fetch_one!(&mut conn, (i64,), query).expect("the database answers");
    count
}

/// Leaves jobs behind, in transactions of a hundred.
async fn enqueue(saas: &Saas, jobs: i64) {
    let numbers: Vec<i64> = (0..jobs).collect();
    for some in numbers.chunks(100) {
        let mut tx = saas.storage().begin(REACH).await.expect("the database answers");
        for number in some {
            let job = Leave { number: *number };
            saas.jobs().enqueue(&mut tx, &job).await.expect("the database answers");
        }
        tx.commit().await.expect("the database answers");
    }
}

on_both_engines! {
    async fn jobs_of_processes_that_are_killed_have_effect_once(engine: TestEngine) {
        let jobs: i64 = std::env::var(JOBS).map_or(JOBS_USUALLY, |jobs| jobs.parse().expect("it is a number"));
        let database = TestDatabase::create(engine).await;
        let blueprint = blueprint(database.url(), false);
        blueprint.migrate().await.expect("a new database migrates");
        let saas = blueprint.open().await.expect("a migrated database opens");
        let storage = saas.storage().clone();
        let mut tx = storage.begin(REACH).await.unwrap();
        execute!(tx.conn(), "CREATE TABLE left_behind (number bigint NOT NULL)").unwrap();
        tx.commit().await.unwrap();
        enqueue(&saas, jobs).await;

        let begun = Instant::now();
        let mut children: Vec<Running> = (0..PROCESSES).map(|_| Running::start(database.url())).collect();
        let (mut kills, mut done) = (0, 0);
        let mut still = Instant::now();
        while count(&storage, "SELECT COUNT(*) FROM saas_jobs").await > 0 {
            // Whenever something was done since the last time, one of them dies at some moment.
            let now = count(&storage, "SELECT COUNT(*) FROM left_behind").await;
            if now > done {
                (done, still) = (now, Instant::now());
                let pause = u64::from(u16::from_be_bytes(random(&SystemEntropy)) % 200);
                tokio::time::sleep(Duration::from_millis(100 + pause)).await;
                children[kills % PROCESSES] = Running::start(database.url());
                kills += 1;
            }
            assert!(still.elapsed() < Duration::from_mins(1), "nothing is done any more: {done} of {jobs}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        drop(children);
        assert!(kills >= 3, "the jobs were done before anybody was killed often enough: {kills}");
        assert_eq!(count(&storage, "SELECT COUNT(*) FROM left_behind").await, jobs, "effects, in all");
        assert_eq!(count(&storage, "SELECT COUNT(DISTINCT number) FROM left_behind").await, jobs, "different effects");
        let mut conn = storage.read(REACH).await.unwrap();
        assert!(saas.jobs().store().list(&mut conn, &JobFilter::default(), None, 1).await.unwrap().is_empty());
        drop(conn);
        // For the soak's report.
        writeln!(std::io::stdout(), "jobs: {engine:?}: {jobs} in {seconds:.1} s, {kills} processes killed").expect("somebody listens");
        saas.close().await;
    }
}

/// The process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_works() {
    let Ok(url) = std::env::var(DATABASE) else { return };
    let saas = blueprint(&url, true).open().await.expect("a migrated database opens");
    saas.run_workers(std::future::pending()).await;
}

/// This program again, doing jobs. Dropping it kills it.
struct Running(Child);

impl Running {
    fn start(url: &str) -> Self {
        let process = Command::new(std::env::current_exe().expect("this program is a file"))
            .args(["--exact", "job_crash::child_works", "--nocapture"])
            .env(DATABASE, url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program starts again");
        Self(process)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL; it is only gone already when it failed by itself, which the effects show.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
