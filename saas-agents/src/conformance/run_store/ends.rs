//! How runs end: by their owner, without one, and when nobody wants them.

use saas_core::conformance::at_once;

use super::{RunStoreSubject, ids, outcome, run, shown};
use crate::{Run, RunStatus, conformance::at};

pub(super) async fn a_running_run_is_finished_once_and_no_other(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 2, 1)]).await;
    subject.begun(&[1, 3]).await;
    let (running, other) = (subject.found(1).await, subject.shown(3).await);
    let done = outcome(RunStatus::Failed);
    assert!(!subject.finish(2, &done, at(5)).await, "it does not run");
    assert!(!subject.finish(9, &done, at(5)).await, "it is not there");
    assert_eq!(subject.shown(1).await, shown(&running));
    assert_eq!(subject.shown(2).await, shown(&run(2, 1, 2)));
    let finished = at_once(4, |_| subject.finish(1, &done, at(5))).await;
    assert_eq!(finished.iter().filter(|done| **done).count(), 1, "it ends once");
    let expected = Run {
        status: done.status,
        answer: done.answer,
        error: done.error.map(str::to_owned),
        final_seq: Some(done.final_seq),
        usage: done.usage,
        finished_at: Some(at(5)),
        ..running
    };
    assert_eq!(subject.shown(1).await, shown(&expected));
    assert_eq!(subject.shown(3).await, other, "no other one ends");
}

pub(super) async fn a_waiting_run_is_cancelled_at_once_and_a_running_one_is_to_stop(
    subject: RunStoreSubject,
) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3), run(4, 2, 1)]).await;
    subject.begun(&[1, 4]).await;
    let to_go_on = async || {
        let mut go_on =
            subject.runs.to_go_on(&mut subject.read().await, &ids(&[1, 2, 3, 4, 9])).await.unwrap();
        go_on.sort_unstable();
        go_on
    };
    assert_eq!(to_go_on().await, ids(&[1, 2, 3, 4]));
    assert!(subject.cancel(2, at(5)).await, "it waited");
    assert!(!subject.cancel(1, at(5)).await, "it runs");
    assert!(!subject.cancel(9, at(5)).await, "it is not there");
    let (stopped, ended) = (subject.found(1).await, subject.found(2).await);
    assert_eq!((stopped.status, stopped.cancel_requested), (RunStatus::Running, true));
    assert_eq!((ended.status, ended.final_seq), (RunStatus::Cancelled, Some(1)));
    assert_eq!((ended.finished_at, ended.attempt), (Some(at(5)), 0));
    assert_eq!(to_go_on().await, ids(&[3, 4]));
    assert!(subject.finish(4, &outcome(RunStatus::Completed), at(6)).await);
    assert_eq!(to_go_on().await, ids(&[3]), "what is over does not go on");
}

pub(super) async fn a_final_run_never_changes(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3)]).await;
    for (number, status) in [(1, RunStatus::Completed), (2, RunStatus::Interrupted)] {
        subject.begun(&[number]).await;
        assert!(subject.finish(number, &outcome(status), at(1)).await);
    }
    assert!(subject.cancel(3, at(16)).await);
    for number in [1, 2, 3] {
        let ended = subject.shown(number).await;
        assert!(subject.claim(number).await.is_none());
        assert!(!subject.finish(number, &outcome(RunStatus::Failed), at(20)).await);
        assert!(!subject.cancel(number, at(20)).await);
        assert_eq!(subject.shown(number).await, ended);
    }
    assert_eq!(subject.under_way(9).await, []);
}
