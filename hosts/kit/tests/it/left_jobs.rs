//! A test that leaves jobs behind fails, and is told which; periodic and later ones do not count.

use std::time::Duration;

use saas_core::{
    Actor, Email, Secret, TenantName,
    jobs::{Job, NewJob},
};
use saas_kit::{
    jobs::{Attempt, JobError, handler},
    testing::{PASSWORD, TestEngine, TestSaas},
};
use saas_tenancy::Register;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Greet {}

impl Job for Greet {
    const KIND: &'static str = "test.greet";
}

/// It takes the kinds of jobs that nobody handles.
#[derive(Debug, Serialize, Deserialize)]
struct Unheard {}

impl Job for Unheard {
    const KIND: &'static str = "test.unheard";
}

async fn greet(_: Greet, _: Attempt) -> Result<(), JobError> {
    Ok(())
}

async fn start(engine: TestEngine) -> TestSaas {
    let hour = Duration::from_hours(1);
    let ports = |builder: saas_kit::SaasBuilder| {
        builder.job_handler(1, handler(greet)).periodic("greetings", hour, Greet {})
    };
    TestSaas::with_ports(engine, [], ports).await
}

async fn insert(test: &TestSaas, job: &NewJob) {
    let mut tx = test.begin().await;
    assert!(test.saas.jobs().insert(&mut tx, job).await.unwrap());
    tx.commit().await.unwrap();
}

async fn register(test: &TestSaas) {
    let email = Email::parse("ada@example.com").unwrap();
    let command =
        Register::new(email, Secret::new(PASSWORD.to_owned()), TenantName::parse("Engines").unwrap());
    test.saas.tenancy().register(&Actor::system("test"), command).await.unwrap();
}

mod fails {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "the test left jobs: mail.send")]
    async fn a_test_that_leaves_a_mail_to_be_sent() {
        register(&start(TestEngine::Sqlite).await).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the test left jobs: mail.send. End it with `drain_jobs().await`")]
    async fn a_test_on_postgres_that_leaves_a_mail_to_be_sent() {
        register(&start(TestEngine::Postgres).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[should_panic(expected = "the test left jobs: test.greet. End it with `drain_jobs().await`")]
    async fn a_test_whose_jobs_the_workers_happened_to_do() {
        let test = start(TestEngine::Sqlite).await;
        let job = test.saas.jobs().prepare(&Greet {}).unwrap();
        insert(&test, &job).await;
        let store = test.saas.jobs().store();
        let mut conn =
            saas_core::Storage::read(test.saas.storage(), saas_core::Reach::Platform("test")).await.unwrap();
        while store.by_id(&mut conn, job.id).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    #[should_panic(expected = "the test left jobs: test.unheard")]
    async fn a_test_whose_jobs_nobody_handles() {
        let test = start(TestEngine::Sqlite).await;
        insert(&test, &test.saas.jobs().prepare(&Unheard {}).unwrap()).await;
        test.drain_jobs().await;
    }

    #[tokio::test]
    #[should_panic(expected = "the test left jobs: test.greet")]
    async fn a_test_that_leaves_jobs_of_a_replica() {
        let test = start(TestEngine::Sqlite).await;
        let replica = test.replica(2).await;
        let mut tx = test.begin().await;
        replica.jobs().enqueue(&mut tx, &Greet {}).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "what it is about")]
    async fn a_test_that_fails_already_by_what_it_says_itself() {
        let test = start(TestEngine::Sqlite).await;
        register(&test).await;
        panic!("what it is about");
    }
}

on_both_engines! {
    async fn a_test_that_drains_its_jobs_does_not_fail(engine: TestEngine) {
        let test = start(engine).await;
        register(&test).await;
        test.drain_jobs().await;
        assert_eq!(test.mail.mails().len(), 1, "it waited for the mail, whoever sent it");
    }

    async fn a_test_that_says_so_may_leave_jobs(engine: TestEngine) {
        let test = start(engine).await;
        test.leave_jobs();
        register(&test).await;
    }

    async fn what_is_due_later_was_dropped_or_is_periodic_does_not_count(engine: TestEngine) {
        let test = start(engine).await;
        let jobs = test.saas.jobs();
        let later = jobs.prepare(&Greet {}).unwrap();
        let later = later.clone().due_at(later.due_at + Duration::from_secs(1));
        insert(&test, &later).await;
        let mut tx = test.begin().await;
        jobs.enqueue(&mut tx, &Greet {}).await.unwrap();
        drop(tx);
        // The schedule has fired by now.
        test.clock.advance(Duration::from_hours(2));
        let mut fired = false;
        while !fired {
            tokio::task::yield_now().await;
            let mut conn = saas_core::Storage::read(test.saas.storage(), saas_core::Reach::Platform("test")).await.unwrap();
            let query = "SELECT COUNT(*) FROM saas_schedules WHERE name = 'greetings'";
            let (schedules,) = saas_sql::fetch_one!(&mut conn, (i64,), query).unwrap();
            fired = schedules == 1;
        }
    }

    async fn what_was_cancelled_does_not_count(engine: TestEngine) {
        let test = start(engine).await;
        let job = test.saas.jobs().prepare(&Unheard {}).unwrap();
        insert(&test, &job).await;
        test.saas.jobs().cancel(&Actor::system("test"), job.id).await.unwrap();
    }
}
