//! Jobs as a program has them: enqueued in its transactions, done by the workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    Reach, Storage, Tx,
    jobs::{Job, JobFilter, JobId, JobState, StoredJob},
};
use saas_kit::{
    Saas,
    jobs::{Attempt, JobError, JobHandler},
    testing::{TestEngine, TestSaas, TestWorkers},
};
use saas_sql::{execute, fetch_one};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

const REACH: Reach = Reach::Platform("test");

/// Adds one to a count in the database.
#[derive(Debug, Serialize, Deserialize)]
struct Increase {
    by: i64,
}

impl Job for Increase {
    const KIND: &'static str = "test.increase";
    const MAX_ATTEMPTS: i64 = 3;
}

/// What the handler does with an attempt, by its number.
type Plan = fn(i64) -> Fate;

enum Fate {
    /// All of it, in one transaction.
    Effect,
    /// All of it, and then the transaction is dropped.
    UndoneEffect,
    Fails,
    Hopeless,
    Panics,
}

#[derive(Debug)]
struct Increases {
    plan: Plan,
    attempts: mpsc::UnboundedSender<i64>,
}

#[async_trait]
impl JobHandler<Increase> for Increases {
    async fn run(&self, job: Increase, attempt: &Attempt) -> Result<(), JobError> {
        self.attempts.send(attempt.number()).unwrap();
        let fate = (self.plan)(attempt.number());
        match fate {
            Fate::Effect | Fate::UndoneEffect => {
                let mut tx = attempt.begin().await?;
                add(&mut tx, job.by).await;
                attempt.complete_in(&mut tx).await?;
                if matches!(fate, Fate::UndoneEffect) {
                    return Err(JobError::Retry("the transaction was dropped".to_owned()));
                }
                Ok(tx.commit().await?)
            }
            Fate::Fails => Err(JobError::Retry("not now".to_owned())),
            Fate::Hopeless => Err(JobError::Hopeless("never".to_owned())),
            Fate::Panics => panic!("as a test wants it"),
        }
    }

    async fn given_up(&self, _: Increase, tx: &mut Tx) -> Result<(), JobError> {
        add(tx, -1000).await;
        Ok(())
    }
}

async fn add(tx: &mut Tx, by: i64) {
    execute!(tx.conn(), "UPDATE counts SET count = count + $1", by).unwrap();
}

/// The product with that job, and the attempts as they begin.
struct Stage {
    test: TestSaas,
    attempts: mpsc::UnboundedReceiver<i64>,
}

impl Stage {
    async fn new(engine: saas_kit::testing::TestEngine, plan: Plan) -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        let handler = Increases { plan, attempts: sender };
        let test = TestSaas::with_ports(engine, [], |builder| builder.job_handler(4, handler)).await;
        let mut tx = test.begin().await;
        execute!(tx.conn(), "CREATE TABLE counts (count bigint NOT NULL)").unwrap();
        execute!(tx.conn(), "INSERT INTO counts (count) VALUES (0)").unwrap();
        tx.commit().await.unwrap();
        Self { test, attempts }
    }

    async fn enqueue(&self, by: i64) -> JobId {
        let mut tx = self.test.begin().await;
        let id = self.test.saas.jobs().enqueue(&mut tx, &Increase { by }).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn count(&self) -> i64 {
        let mut conn = self.test.saas.storage().read(REACH).await.unwrap();
        let (count,): (i64,) = fetch_one!(&mut conn, (i64,), "SELECT count FROM counts").unwrap();
        count
    }

    /// Waits for the next attempt, with the time moving on as far as any retry is away.
    async fn attempt(&mut self) -> i64 {
        loop {
            tokio::select! {
                Some(attempt) = self.attempts.recv() => return attempt,
                () = tokio::time::sleep(Duration::from_millis(20)) => self.test.clock.advance(Duration::from_secs(2)),
            }
        }
    }

    /// Waits until the jobs are as wanted.
    async fn until(&self, wanted: impl Fn(&[StoredJob]) -> bool) -> Vec<StoredJob> {
        loop {
            let jobs = jobs(&self.test.saas).await;
            if wanted(&jobs) {
                return jobs;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn jobs(saas: &Saas) -> Vec<StoredJob> {
    let mut conn = saas.storage().read(REACH).await.unwrap();
    saas.jobs().store().list(&mut conn, &JobFilter::default(), None, 100).await.unwrap()
}

/// Waits until it is let go, and tells how many do so at once.
#[derive(Debug, Serialize, Deserialize)]
struct Wait;

impl Job for Wait {
    const KIND: &'static str = "test.wait";
}

#[derive(Debug, Clone)]
struct Waits {
    go_on: Arc<Semaphore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    began: mpsc::UnboundedSender<()>,
}

impl Waits {
    fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let go_on = Arc::new(Semaphore::new(0));
        (Self { go_on, now: Arc::default(), most: Arc::default(), began: sender }, receiver)
    }
}

#[async_trait]
impl JobHandler<Wait> for Waits {
    async fn run(&self, _: Wait, _: &Attempt) -> Result<(), JobError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let _ = self.began.send(());
        self.go_on.acquire().await.unwrap().forget();
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

on_both_engines! {
    async fn a_job_is_done_when_its_transaction_commits_and_never_when_it_does_not(engine: TestEngine) {
        let mut stage = Stage::new(engine, |_| Fate::Effect).await;
        let mut tx = stage.test.begin().await;
        stage.test.saas.jobs().enqueue(&mut tx, &Increase { by: 100 }).await.unwrap();
        drop(tx);
        stage.enqueue(5).await;
        assert_eq!(stage.attempt().await, 1);
        stage.until(<[_]>::is_empty).await;
        assert_eq!(stage.count().await, 5);
        stage.test.drain_jobs().await;
    }

    async fn an_effect_and_the_jobs_end_are_there_together_once(engine: TestEngine) {
        let mut stage = Stage::new(engine, |attempt| if attempt == 1 { Fate::UndoneEffect } else { Fate::Effect }).await;
        stage.enqueue(5).await;
        assert_eq!(stage.attempt().await, 1);
        let waiting = stage.until(|jobs| jobs[0].state == JobState::Waiting).await;
        assert_eq!((stage.count().await, waiting[0].error.as_deref()), (0, Some("the transaction was dropped")));
        assert_eq!(stage.attempt().await, 2);
        stage.until(<[_]>::is_empty).await;
        assert_eq!(stage.count().await, 5);
        stage.test.drain_jobs().await;
    }

    async fn a_job_that_keeps_failing_is_dead_and_its_handler_hears_of_it_once(engine: TestEngine) {
        let mut stage = Stage::new(engine, |attempt| if attempt == 2 { Fate::Panics } else { Fate::Fails }).await;
        let id = stage.enqueue(5).await;
        for number in 1..=3 {
            assert_eq!(stage.attempt().await, number);
        }
        let dead = stage.until(|jobs| jobs[0].state == JobState::Dead).await;
        assert_eq!((dead[0].id, dead[0].attempt, dead[0].error.as_deref()), (id, 3, Some("not now")));
        assert_eq!(stage.count().await, -1000);
        stage.test.drain_jobs().await;
    }

    async fn a_hopeless_job_is_given_up_at_once(engine: TestEngine) {
        let mut stage = Stage::new(engine, |_| Fate::Hopeless).await;
        stage.enqueue(5).await;
        assert_eq!(stage.attempt().await, 1);
        let dead = stage.until(|jobs| jobs[0].state == JobState::Dead).await;
        assert_eq!(dead[0].error.as_deref(), Some("never"));
        assert_eq!(stage.count().await, -1000);
        stage.test.drain_jobs().await;
    }

    async fn what_a_lost_worker_had_is_done_by_another_and_given_up_when_every_worker_is_lost(engine: TestEngine) {
        let mut stage = Stage::new(engine, |_| Fate::Effect).await;
        let saas = stage.test.saas.clone();
        // Before the worker hears of them: it is woken by commits of `Jobs` alone, and looks every second of a clock that stands still.
        let mut tx = stage.test.begin().await;
        for attempts in [3, 1] {
            let mut job = saas.jobs().prepare(&Increase { by: attempts }).unwrap();
            job.max_attempts = attempts;
            assert!(saas.jobs().store().insert(&mut tx, &job).await.unwrap());
        }
        let now = saas_core::clock::stored_now(&**saas.clock());
        let until = now + Duration::from_secs(30);
        let taken = saas.jobs().store().claim(&mut tx, Increase::KIND, 2, "lost", now, until).await.unwrap();
        assert_eq!(taken.len(), 2);
        tx.commit().await.unwrap();
        assert_eq!(stage.attempt().await, 2, "the lease has ended");
        let left = stage.until(|jobs| jobs.iter().all(|job| job.state == JobState::Dead)).await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].error.as_deref(), Some("its last worker was lost"));
        assert_eq!(stage.count().await, 3 - 1000);
        stage.test.drain_jobs().await;
    }

    async fn a_process_does_so_many_of_a_kind_at_once_and_no_more(engine: TestEngine) {
        let (waits, mut begun) = Waits::new();
        let handler = waits.clone();
        let test = TestSaas::with_ports(engine, [], |builder| builder.job_handler(2, handler)).await;
        for _ in 0..5 {
            let mut tx = test.begin().await;
            test.saas.jobs().enqueue(&mut tx, &Wait).await.unwrap();
            tx.commit().await.unwrap();
        }
        for _ in 0..5 {
            begun.recv().await.unwrap();
            waits.go_on.add_permits(1);
        }
        assert!(waits.most.load(Ordering::SeqCst) <= 2);
        while !jobs(&test.saas).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test.drain_jobs().await;
    }

    async fn a_job_that_takes_longer_than_its_lease_is_kept_however_short_that_is(engine: TestEngine) {
        let (waits, mut begun) = Waits::new();
        let handler = waits.clone();
        let lease = [("JOB_LEASE_SECONDS", "1")];
        let test = TestSaas::with_ports(engine, lease, |builder| builder.job_handler(2, handler)).await;
        let mut tx = test.begin().await;
        test.saas.jobs().enqueue(&mut tx, &Wait).await.unwrap();
        tx.commit().await.unwrap();
        begun.recv().await.unwrap();
        for _ in 0..10 {
            test.clock.advance(Duration::from_millis(350));
            let renewed = saas_core::Clock::now(&*test.clock) + Duration::from_millis(900);
            while jobs(&test.saas).await[0].due_at < renewed {
                tokio::time::sleep(Duration::from_millis(5)).await;
                // It may not have slept yet when the time moved.
                test.clock.advance(Duration::from_millis(1));
            }
        }
        assert_eq!(jobs(&test.saas).await[0].attempt, 1);
        waits.go_on.add_permits(1);
        while !jobs(&test.saas).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test.drain_jobs().await;
    }

    async fn a_stop_lets_a_job_end(engine: TestEngine) {
        let (waits, mut begun) = Waits::new();
        let handler = waits.clone();
        let test = TestSaas::with_ports(engine, [], |builder| builder.job_handler(1, handler)).await;
        let mut tx = test.begin().await;
        for _ in 0..2 {
            test.saas.jobs().enqueue(&mut tx, &Wait).await.unwrap();
        }
        tx.commit().await.unwrap();
        test.leave_jobs();
        begun.recv().await.unwrap();
        let stopping = tokio::spawn(test.workers.stop());
        // The worker has to know before the job ends: else it may have begun the other one.
        tokio::time::sleep(Duration::from_millis(200)).await;
        waits.go_on.add_permits(2);
        stopping.await.unwrap();
        let left = jobs(&test.saas).await;
        assert_eq!(left.len(), 1, "the other one waits for another worker");
        assert_eq!(left[0].attempt, 0);
    }

    async fn a_periodic_job_is_enqueued_at_once_and_again_and_does_not_pile_up(engine: TestEngine) {
        let (waits, mut begun) = Waits::new();
        let handler = waits.clone();
        let hour = Duration::from_hours(1);
        let ports = |builder: saas_kit::SaasBuilder| builder.job_handler(4, handler).periodic("hourly", hour, Wait);
        let test = TestSaas::with_ports(engine, [], ports).await;
        let mut next = async |advance: Duration| {
            loop {
                tokio::select! {
                    Some(()) = begun.recv() => return,
                    () = tokio::time::sleep(Duration::from_millis(20)) => test.clock.advance(advance),
                }
            }
        };
        next(Duration::from_secs(1)).await;
        test.clock.advance(hour);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(jobs(&test.saas).await.len(), 1, "the first one is not done");
        waits.go_on.add_permits(10);
        while !jobs(&test.saas).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        next(Duration::from_mins(1)).await;
        test.drain_jobs().await;
    }
}

/// No worker runs: what is done, the drain does.
#[tokio::test]
async fn a_drain_does_what_is_due_and_leaves_the_rest() {
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let plan: Plan = |attempt| if attempt == 1 { Fate::Fails } else { Fate::Effect };
    let handler = Increases { plan, attempts: sender };
    let test = TestSaas::with_ports(TestEngine::Sqlite, [], |builder| builder.job_handler(2, handler)).await;
    // Those that fail, and are tried again.
    test.leave_jobs();
    test.workers.stop().await;
    let mut tx = test.saas.storage().begin(REACH).await.unwrap();
    execute!(tx.conn(), "CREATE TABLE counts (count bigint NOT NULL)").unwrap();
    execute!(tx.conn(), "INSERT INTO counts (count) VALUES (0)").unwrap();
    let queue = test.saas.jobs();
    for by in 1..=5 {
        queue.enqueue(&mut tx, &Increase { by }).await.unwrap();
    }
    let mut later = queue.prepare(&Increase { by: 100 }).unwrap();
    later.due_at += Duration::from_hours(1);
    queue.insert(&mut tx, &later).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(test.saas.drain_jobs().await.unwrap(), 5, "each failed once, and is due again in a moment");
    test.clock.advance(Duration::from_secs(2));
    assert_eq!(test.saas.drain_jobs().await.unwrap(), 5);
    assert_eq!(test.saas.drain_jobs().await.unwrap(), 0);
    let left = jobs(&test.saas).await;
    assert_eq!(left.iter().map(|job| (job.id, job.attempt)).collect::<Vec<_>>(), [(later.id, 0)]);
    let mut begun = Vec::new();
    while let Ok(attempt) = attempts.try_recv() {
        begun.push(attempt);
    }
    begun.sort_unstable();
    assert_eq!(begun, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
}

/// The clock stands still: nobody polls.
#[tokio::test]
async fn on_postgres_what_another_process_enqueues_is_done_at_once() {
    let (waits, mut begun) = Waits::new();
    let test = TestSaas::with_ports(TestEngine::Postgres, [], |builder| builder.job_handler(1, waits)).await;
    let other = test.replica(2).await;
    let _workers = TestWorkers::start(&other);
    // The worker's first looks have found nothing.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut tx = test.begin().await;
    other.jobs().enqueue(&mut tx, &Wait).await.unwrap();
    tx.commit().await.unwrap();
    begun.recv().await.unwrap();
    // It is begun, and never let go on.
    test.leave_jobs();
}
