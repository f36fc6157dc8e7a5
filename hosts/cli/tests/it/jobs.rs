//! `saas jobs` on both engines, and `saas work`.

use std::{
    io::{BufRead, BufReader, Read},
    time::Duration,
};

use chrono::{DateTime, Utc};
use saas_core::{
    Reach, Storage,
    jobs::{Job, JobId, JobStore, NewJob},
};
use saas_sql::{SqlJobs, SqlOptions, SqlStorage};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::harness::{Place, on_both_engines, signal, snapshots};

on_both_engines! { jobs_are_listed_shown_retried_and_cancelled, a_drain_sends_the_welcome_that_a_registration_left }

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
