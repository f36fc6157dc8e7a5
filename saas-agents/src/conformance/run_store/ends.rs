//! How runs end: by their owner, without one, and when nobody wants them.

use saas_core::conformance::at_once;

use super::{RunStoreSubject, ids, outcome, run, shown};
use crate::{Run, RunStatus, conformance::at};

pub(super) async fn a_running_run_is_finished_by_its_owner_alone(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 2, 1)]).await;
    subject.begun(&[1], "a", at(15)).await;
    subject.begun(&[3], "b", at(15)).await;
    let (running, other) = (subject.found(1).await, subject.shown(3).await);
    let done = outcome(RunStatus::Failed);
    assert!(!subject.finish(1, "b", &done, at(5)).await, "it is another one's");
    assert!(!subject.finish(2, "a", &done, at(5)).await, "it does not run");
    assert!(!subject.finish(9, "a", &done, at(5)).await, "it is not there");
    assert_eq!(subject.shown(1).await, shown(&running));
    assert_eq!(subject.shown(2).await, shown(&run(2, 1, 2)));
    assert!(subject.finish(1, "a", &done, at(5)).await);
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

pub(super) async fn a_lease_is_renewed_for_the_running_runs_of_an_owner_alone(subject: RunStoreSubject) {
    // As many as a busy process has.
    let many: Vec<u128> = (10..1_210).collect();
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 2, 1)]).await;
    subject.begun(&[1], "a", at(15)).await;
    subject.begun(&[3], "b", at(15)).await;
    subject.renew("a", &[many.as_slice(), &[1, 2, 3]].concat(), at(30)).await;
    assert_eq!(subject.expired(at(29)).await, ids(&[3]), "the lease of another's run ends");
    assert_eq!(subject.expired(at(30)).await, ids(&[1, 3]));
    assert_eq!(subject.shown(2).await, shown(&run(2, 1, 2)), "a waiting run still waits");
    subject.renew("b", &many, at(30)).await;
    assert_eq!(subject.expired(at(29)).await, ids(&[3]), "what is not named is not kept");
}

pub(super) async fn a_run_is_interrupted_when_its_lease_is_over_and_not_before(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 2, 1)]).await;
    subject.begun(&[1], "a", at(15)).await;
    subject.begun(&[3], "b", at(20)).await;
    let (running, lost) = (subject.found(1).await, outcome(RunStatus::Interrupted));
    assert_eq!(subject.expired(at(14)).await, ids(&[]));
    assert!(!subject.interrupt(1, &lost, at(14)).await, "its lease is not over");
    assert!(!subject.interrupt(2, &lost, at(99)).await, "it does not run");
    assert_eq!(subject.shown(1).await, shown(&running));
    assert_eq!(subject.expired(at(15)).await, ids(&[1]));
    assert_eq!(subject.runs.expired(&mut subject.read().await, at(20), 1).await.unwrap().len(), 1);
    let interrupted = at_once(4, |_| subject.interrupt(1, &lost, at(15))).await;
    assert_eq!(interrupted.iter().filter(|done| **done).count(), 1, "it ends once");
    let ended = subject.found(1).await;
    assert_eq!(
        (ended.status, ended.answer, ended.final_seq),
        (lost.status, lost.answer, Some(lost.final_seq))
    );
    assert_eq!((ended.error.as_deref(), ended.finished_at), (lost.error, Some(at(15))));
    assert_eq!(subject.expired(at(20)).await, ids(&[3]), "it is not lost again");
}

pub(super) async fn a_waiting_run_is_cancelled_at_once_and_a_running_one_is_to_stop(
    subject: RunStoreSubject,
) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3), run(4, 2, 1)]).await;
    subject.begun(&[1, 4], "a", at(15)).await;
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
    assert!(subject.finish(4, "a", &outcome(RunStatus::Completed), at(6)).await);
    assert_eq!(to_go_on().await, ids(&[3]), "what is over does not go on");
}

pub(super) async fn a_final_run_never_changes(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3)]).await;
    subject.begun(&[1], "a", at(15)).await;
    assert!(subject.finish(1, "a", &outcome(RunStatus::Completed), at(1)).await);
    subject.begun(&[2], "a", at(15)).await;
    assert!(subject.interrupt(2, &outcome(RunStatus::Interrupted), at(15)).await);
    assert!(subject.cancel(3, at(16)).await);
    for number in [1, 2, 3] {
        let ended = subject.shown(number).await;
        assert!(subject.claim(number, "a", at(30)).await.is_none());
        assert!(!subject.finish(number, "a", &outcome(RunStatus::Failed), at(20)).await);
        assert!(!subject.interrupt(number, &outcome(RunStatus::Failed), at(99)).await);
        assert!(!subject.cancel(number, at(20)).await);
        subject.renew("a", &[number], at(30)).await;
        assert_eq!(subject.shown(number).await, ended);
    }
    assert_eq!((subject.expired(at(99)).await, subject.due().await), (ids(&[]), ids(&[])));
}
