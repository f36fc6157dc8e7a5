//! The proof: the port's public suite, and what is this adapter's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail loudly")]

use std::{fs, io::Write, process::Command, sync::Arc};

use own_store::FileEventLog;
use saas_core::{Event, EventLog, Topic, conformance::event_log::EventLogSubject};
use saas_kit::SystemClock;

/// Two logs over one folder are two processes to each other.
async fn subject() -> EventLogSubject {
    let folder = tempfile::tempdir().unwrap();
    let log = FileEventLog::open(folder.path()).unwrap();
    let elsewhere = FileEventLog::open(folder.path()).unwrap();
    EventLogSubject::new(Arc::new(log), Arc::new(elsewhere), Arc::new(SystemClock::default()), folder)
}

mod conformance {
    use super::subject;

    saas_core::event_log_conformance!(subject);
}

#[tokio::test]
async fn half_a_line_of_a_killed_process_is_no_event_and_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let log = FileEventLog::open(folder.path()).unwrap();
    let topic = Topic::new("run", "../1");
    let event = |seq| Event { seq, data: format!("line\n{seq}").into() };
    log.append(&topic, event(1)).await.unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(log.path(&topic)).unwrap();
    file.write_all(b"2 \"half a li").unwrap();
    assert_eq!(log.read(&topic, 0, 10).await.unwrap(), [event(1)]);
    log.append(&topic, event(2)).await.unwrap();
    assert_eq!(log.read(&topic, 0, 10).await.unwrap(), [event(1), event(2)]);
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["run%3a%2e%2e%2f1.log"], "a topic's name leads nowhere else");
}

#[test]
fn the_program_answers_out_of_the_file_that_it_names() {
    let temporary = tempfile::tempdir().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_own-store")).env("TMPDIR", temporary.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let (answer, file) = printed.trim_end().rsplit_once('\n').unwrap();
    assert!(answer.starts_with("That makes 42."), "{printed}");
    assert!(fs::read_to_string(file).unwrap().lines().count() > 2, "{printed}");
}
