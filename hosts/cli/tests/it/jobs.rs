//! `saas jobs` on both engines, and `saas work`.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Stdio},
    time::Duration,
};

use chrono::{DateTime, Utc};
use saas_agents::{ConversationKey, RunStatus, StartRun};
use saas_auth::SignIn;
use saas_core::{
    Actor, Client, Email, Reach, Secret, Storage,
    jobs::{Job, JobId, JobStore, NewJob},
};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
};
use saas_sql::{SqlJobs, SqlOptions, SqlStorage};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::harness::{PASSWORD, Place, on_both_engines, signal, snapshots};

on_both_engines! {
    jobs_are_listed_shown_retried_and_cancelled,
    a_drain_sends_the_welcome_that_a_registration_left,
    a_run_of_work_that_is_killed_is_interrupted_by_the_next,
}

#[derive(Debug, Serialize, Deserialize)]
struct Greet {
    user_id: u32,
}

impl Job for Greet {
    const KIND: &'static str = "mail.greet";
    const MAX_ATTEMPTS: i64 = 3;
}

fn id(number: u128) -> JobId {
    format!("01890a5d-ac96-774b-bcce-{number:012x}").parse().unwrap()
}

/// Job 1 is dead, 2 runs, and 3 and 4 wait.
async fn leave_jobs(url: &str) {
    let now: DateTime<Utc> = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    let storage = SqlStorage::open(&SqlOptions::new(url).unwrap()).await.unwrap();
    let mut tx = storage.begin(Reach::Platform("test")).await.unwrap();
    for number in 1..=4 {
        let mut job = NewJob::new(id(number), &Greet { user_id: 7 }, now).unwrap();
        if number == 4 {
            job.kind = "mail.other";
            job = job.unique("of 7");
        }
        assert!(SqlJobs.insert(&mut tx, &job).await.unwrap());
        if number == 2 {
            let until = now + Duration::from_hours(1_000_000);
            let taken = SqlJobs.claim(&mut tx, Greet::KIND, 2, "a worker", now, until).await.unwrap();
            assert!(SqlJobs.bury(&mut tx, &taken[0].lease("a worker"), "no such user").await.unwrap());
        }
    }
    tx.commit().await.unwrap();
    storage.close().await;
}

fn jobs_are_listed_shown_retried_and_cancelled(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(leave_jobs(place.url()));
    let snapshot = |name: &str, arguments: &[&str]| {
        let done = place.run(arguments);
        assert_eq!(done.code, 0, "{done}");
        snapshots().bind(|| insta::assert_snapshot!(name, done.stdout));
    };
    snapshot("jobs_listed", &["jobs", "list"]);
    snapshot("jobs_dead_json", &["jobs", "list", "--state", "dead", "--output", "json"]);
    let page = place.run(&["jobs", "list", "--limit", "3"]);
    assert!(page.stderr.starts_with("there are more: saas jobs list --after "), "{page}");
    let page = place.run(&["jobs", "list", "--limit", "3", "--output", "json"]).json();
    let next = page["next"].as_str().unwrap();
    let rest = place.run(&["jobs", "list", "--after", next, "--output", "json"]).json();
    assert_eq!((rest["jobs"][0]["id"].clone(), rest["next"].clone()), (json!(id(4)), json!(null)));
    let other = place.run(&["jobs", "list", "--state", "dead", "--after", next, "--output", "json"]);
    assert_eq!(other.error()["code"], "invalid_cursor", "{other}");

    let [dead, running, waiting, other] = [1, 2, 3, 4].map(|number| id(number).to_string());
    snapshot("jobs_shown", &["jobs", "show", &dead]);
    for (command, which, code) in [
        ("retry", &running, "job_not_dead"),
        ("retry", &waiting, "job_not_dead"),
        ("cancel", &running, "job_runs"),
        ("show", &id(9).to_string(), "job_not_found"),
    ] {
        let refused = place.run(&["jobs", command, which, "--output", "json"]);
        assert_eq!((refused.code, refused.error()["code"].clone()), (1, json!(code)), "{refused}");
    }
    let retried = place.run(&["jobs", "retry", &dead, "--output", "json"]).json();
    assert_eq!(
        (retried["job"]["state"].clone(), retried["job"]["attempt"].clone()),
        (json!("waiting"), json!(0))
    );
    snapshot("jobs_cancelled", &["jobs", "cancel", &other]);
    let gone = place.run(&["jobs", "cancel", &other, "--output", "json"]);
    assert_eq!(gone.error()["code"], "job_not_found", "{gone}");
    assert_eq!(place.run(&["jobs", "show", "yesterday's"]).code, 2);
}

fn a_drain_sends_the_welcome_that_a_registration_left(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    let create =
        ["users", "create", "ada@example.com", "--tenant-name", "Analytical Engines", "--password-stdin"];
    let created = place.run_on(&create, "correct horse battery staple\n");
    assert_eq!(created.code, 0, "{created}");
    let drained = place.run(&["jobs", "drain", "--output", "json"]);
    assert_eq!(drained.code, 0, "{drained}");
    let drained = drained.json();
    assert_eq!(
        [&drained["attempts"], &drained["waiting"], &drained["running"], &drained["dead"]],
        [1, 0, 0, 0]
    );

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(leave_jobs(place.url()));
    let left = place.run(&["jobs", "drain", "--output", "json"]);
    assert_eq!((left.code, left.error()["code"].clone()), (3, json!("dead_jobs")), "{left}");
}

#[cfg(feature = "sqlite")]
#[test]
fn work_goes_on_until_it_is_told_to_stop() {
    let place = Place::empty();
    let mut child = place.command(&["work", "--set", "LOG_FORMAT=json"]).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("\"message\":\"working\"") {
        assert!(log.read_line(&mut heard).unwrap() > 0, "{heard}");
    }
    signal(&child, "TERM");
    log.read_to_string(&mut heard).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{heard}");
    assert!(heard.contains("\"message\":\"stopped\""), "{heard}");
}

const EMAIL: &str = "ada@example.com";

/// `saas work`, until it is killed or told to stop.
struct Worker {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Worker {
    fn start(place: &Place) -> Self {
        let mut command =
            place.command(&["work", "--set", "LOG_FORMAT=json", "--set", "JOB_LEASE_SECONDS=2"]);
        let mut child = command.stdout(Stdio::null()).spawn().expect("the program starts");
        let mut worker = Self { log: BufReader::new(child.stderr.take().unwrap()), child };
        let mut heard = String::new();
        while !heard.contains("\"message\":\"working\"") {
            assert!(worker.log.read_line(&mut heard).unwrap() > 0, "{heard}");
        }
        worker
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success(), "it had ended before");
    }

    fn stop(mut self) -> String {
        signal(&self.child, "TERM");
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{log}");
        log
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has ended already in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The product on the place's database, without workers: what it enqueues, others do.
async fn without_workers(place: &Place) -> (Saas, Actor) {
    let data = place.path().join("var");
    let flags = [
        ("DATABASE_URL", place.url()),
        ("DATA_DIR", data.to_str().unwrap()),
        ("PASSWORD_HASH_MEMORY_KIB", "64"),
        ("PASSWORD_HASH_ITERATIONS", "1"),
    ];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).unwrap();
    let saas = Saas::builder(settings).build().unwrap().open().await.unwrap();
    let sign_in = SignIn::new(Email::parse(EMAIL).unwrap(), Secret::new(PASSWORD.to_owned()));
    let anonymous = Actor::anonymous(None, Client::default());
    let tokens = saas.auth().sign_in(&anonymous, sign_in).await.unwrap();
    let authenticated = saas.auth().authenticate(tokens.access_token.expose(), None, Client::default()).await;
    (saas, authenticated.unwrap().actor)
}

fn ask(message: &str) -> StartRun {
    StartRun::new(message).in_conversation(Some(ConversationKey::parse("homework").unwrap()))
}

fn a_run_of_work_that_is_killed_is_interrupted_by_the_next(place: &Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    place.register(EMAIL);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (saas, ada) = without_workers(place).await;
        let worker = Worker::start(place);
        let agents = saas.agents();
        let run =
            agents.start(&ada, ask("Tell me a long story about everything that you know")).await.unwrap();
        let mut events = agents.follow(&ada, run.id, 0).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(events.next().await.unwrap().unwrap());
        }
        let listed = place.run(&["jobs", "list", "--kind", "agents.run", "--output", "json"]).json();
        let [job] = listed["jobs"].as_array().unwrap().as_slice() else { panic!("{listed}") };
        assert_eq!(
            (&job["state"], &job["attempt"], &job["max_attempts"]),
            (&json!("running"), &json!(1), &json!(1))
        );
        assert_eq!(job["payload"], json!({ "run": run.id }));
        assert_eq!((&job["unique_key"], &job["tenant_id"]), (&json!(run.id), &json!(run.tenant)));
        worker.kill();

        let [one, other] = [Worker::start(place), Worker::start(place)];
        while let Some(event) = events.next().await.unwrap() {
            seen.push(event);
        }
        let last = seen.last().unwrap();
        assert!(last.terminal && last.data.contains(r#""status":"interrupted""#), "{last:?}");
        let interrupted = agents.run(&ada, run.id).await.unwrap();
        let transcript = agents.transcript(&ada, ask("").conversation.as_ref().unwrap(), 0, 9).await.unwrap();
        let kept = transcript.messages.last().unwrap();
        assert_eq!((kept.text.as_str(), kept.partial), (interrupted.answer.as_str(), true));
        assert!(!kept.text.is_empty());

        // Two workers share what comes next, and none of it twice.
        let mut runs = Vec::new();
        for number in 0..6 {
            let question = if number < 3 { ask("And now?") } else { StartRun::new("What is 6 * 7?") };
            runs.push(agents.start(&ada, question).await.unwrap().id);
        }
        for id in &runs {
            let mut events = agents.follow(&ada, *id, 0).await.unwrap();
            while events.next().await.unwrap().is_some() {}
            let run = agents.run(&ada, *id).await.unwrap();
            assert_eq!((run.status, run.attempt), (RunStatus::Completed, 1));
        }
        let log = one.stop() + &other.stop();
        for id in runs {
            let ends =
                log.lines().filter(|line| line.contains("\"run ended\"") && line.contains(&id.to_string()));
            assert_eq!(ends.count(), 1, "{log}");
        }
        let left = place.run(&["jobs", "list", "--kind", "agents.run", "--output", "json"]).json();
        assert_eq!(left["jobs"], json!([]), "the run says how it ended: nothing is left to be retried");
        saas.close().await;
    });
}
