//! The contract of [`JobStore`].

use std::{any::Any, collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{REACH, at_once};
use crate::{
    Storage, TenantId, Tx,
    jobs::{JobFilter, JobId, JobState, JobStore, Lease, NewJob, StoredJob},
};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`JobStore`](crate::jobs::JobStore): takes the path of an `async fn() -> JobStoreSubject`, makes a test of each line of its
    /// contract.
    job_store_conformance, saas_core, job_store, JobStoreSubject,
    [
        what_was_inserted_is_read_back_and_what_was_dropped_was_never_there,
        of_several_jobs_of_a_kind_with_one_key_one_is_inserted_until_it_is_gone,
        claim_gives_what_is_due_longest_first_and_each_job_to_one,
        a_job_whose_lease_has_ended_is_due_again_and_out_of_its_first_owners_hands,
        renew_moves_the_leases_of_an_owner_that_are_named_and_no_other,
        an_attempt_ends_by_complete_retry_or_bury_in_its_transaction,
        a_dead_job_is_not_claimed_until_it_is_revived_and_cancel_takes_what_does_not_run,
        due_names_the_kinds_that_claim_would_give_something_of,
        list_gives_each_job_once_by_id_and_counts_agree,
        of_several_that_find_a_schedule_due_one_fires_it,
    ]
}

/// A store without jobs, and the storage that it is in.
#[derive(Debug)]
pub struct JobStoreSubject {
    storage: Arc<dyn Storage>,
    jobs: Arc<dyn JobStore>,
    _kept: Box<dyn Any + Send>,
}

/// So many seconds after the beginning.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_767_225_600 + seconds)
}

fn id(number: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(number))
}

/// A job of the kind `a` that is due at once.
fn job(number: u128) -> NewJob {
    NewJob {
        id: id(number),
        kind: "a",
        version: 3,
        payload: format!("{{\"number\":{number}}}"),
        tenant: (number.is_multiple_of(2)).then(|| TenantId::from_uuid(Uuid::from_u128(77))),
        unique_key: None,
        due_at: at(0),
        max_attempts: 4,
        created_at: at(0),
    }
}

fn ids(jobs: &[StoredJob]) -> Vec<u128> {
    jobs.iter().map(|job| job.id.as_uuid().as_u128()).collect()
}

impl JobStoreSubject {
    /// A new, empty store; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(storage: Arc<dyn Storage>, jobs: Arc<dyn JobStore>, kept: impl Any + Send) -> Self {
        Self { storage, jobs, _kept: Box::new(kept) }
    }

    async fn begin(&self) -> Tx {
        self.storage.begin(REACH).await.unwrap()
    }

    async fn insert(&self, job: NewJob) -> bool {
        let mut tx = self.begin().await;
        let inserted = self.jobs.insert(&mut tx, &job).await.unwrap();
        tx.commit().await.unwrap();
        inserted
    }

    async fn find(&self, number: u128) -> Option<StoredJob> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.jobs.by_id(&mut conn, id(number)).await.unwrap()
    }

    /// Claims jobs of the kind `a` until ten seconds later.
    async fn claim(&self, owner: &str, limit: u32, now: i64) -> Vec<StoredJob> {
        let mut tx = self.begin().await;
        let claimed = self.jobs.claim(&mut tx, "a", limit, owner, at(now), at(now + 10)).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    }

    async fn list(&self, filter: &JobFilter, after: Option<JobId>, limit: u32) -> Vec<u128> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        ids(&self.jobs.list(&mut conn, filter, after, limit).await.unwrap())
    }

    async fn due(&self, kinds: &[&str], now: i64) -> BTreeSet<String> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.jobs.due(&mut conn, kinds, at(now)).await.unwrap().into_iter().collect()
    }

    /// Ends an attempt in each way; tells which of them the store did. None of it is committed unless `commit`.
    async fn end(&self, lease: &Lease<'_>, how: End, commit: bool) -> bool {
        let mut tx = self.begin().await;
        let done = match how {
            End::Complete => self.jobs.complete(&mut tx, lease).await,
            End::Retry => self.jobs.retry(&mut tx, lease, at(100), "it did not answer").await,
            End::Bury => self.jobs.bury(&mut tx, lease, "it is of no use").await,
        };
        if commit {
            tx.commit().await.unwrap();
        }
        done.unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    Retry,
    Bury,
}

const ENDS: [End; 3] = [End::Complete, End::Retry, End::Bury];

async fn what_was_inserted_is_read_back_and_what_was_dropped_was_never_there(subject: JobStoreSubject) {
    let inserted = job(2).unique("of user 7").due_at(at(5));
    assert!(subject.insert(inserted.clone()).await);
    let expected = StoredJob {
        id: inserted.id,
        kind: "a".to_owned(),
        version: 3,
        payload: inserted.payload,
        tenant: inserted.tenant,
        unique_key: inserted.unique_key,
        state: JobState::Waiting,
        attempt: 0,
        max_attempts: 4,
        due_at: at(5),
        created_at: at(0),
        owner: None,
        error: None,
    };
    assert_eq!(subject.find(2).await, Some(expected));
    let mut tx = subject.begin().await;
    assert!(subject.jobs.insert(&mut tx, &job(3)).await.unwrap());
    drop(tx);
    assert_eq!(subject.find(3).await, None, "its transaction was dropped");
    assert!(subject.claim("one", 10, 4).await.is_empty(), "none is due");
}

async fn of_several_jobs_of_a_kind_with_one_key_one_is_inserted_until_it_is_gone(subject: JobStoreSubject) {
    let inserted = at_once(8, |number| subject.insert(job(number as u128 + 1).unique("k"))).await;
    assert_eq!(inserted.iter().filter(|inserted| **inserted).count(), 1);
    assert!(
        subject.insert(NewJob { kind: "b", ..job(20).unique("k") }).await,
        "another kind has its own keys"
    );
    assert!(subject.insert(job(21).unique("l")).await && subject.insert(job(22)).await);
    assert!(subject.insert(job(23)).await, "a job without a key is like no other");
    let running = subject.claim("one", 10, 0).await;
    let first = running.iter().find(|job| job.unique_key.as_deref() == Some("k")).unwrap();
    assert!(!subject.insert(job(24).unique("k")).await, "it runs");
    assert!(subject.end(&first.lease("one"), End::Bury, true).await);
    assert!(!subject.insert(job(25).unique("k")).await, "a dead job is there");
    let mut tx = subject.begin().await;
    assert!(subject.jobs.cancel(&mut tx, first.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(subject.insert(job(26).unique("k")).await, "it is gone");
}

async fn claim_gives_what_is_due_longest_first_and_each_job_to_one(subject: JobStoreSubject) {
    for number in 1..=40_u32 {
        // The later ones have been due for longer.
        assert!(subject.insert(job(number.into()).due_at(at(100 - i64::from(number)))).await);
    }
    assert!(subject.insert(NewJob { kind: "b", ..job(50) }).await);
    assert_eq!(ids(&subject.claim("one", 3, 70).await), [38, 39, 40], "the longest due, of one kind");
    let claimed = at_once(4, |number| {
        let (subject, owner) = (&subject, format!("owner {number}"));
        async move { subject.claim(&owner, 7, 79).await }
    })
    .await;
    let all: Vec<u128> = claimed.iter().flat_map(|jobs| ids(jobs)).collect();
    let different: BTreeSet<u128> = all.iter().copied().collect();
    assert_eq!(all.len(), different.len(), "a job was given twice: {all:?}");
    assert!(different.is_subset(&(21..=37).collect()), "what is not due was given: {all:?}");
    // Who came while others held rows may have got fewer; what is left is still there.
    let rest = subject.claim("last", 40, 79).await;
    assert_eq!(all.len() + rest.len(), 17, "{all:?} {rest:?}");
    for job in claimed.iter().flatten() {
        assert_eq!((job.state, job.attempt, job.due_at), (JobState::Running, 1, at(89)));
    }
}

async fn a_job_whose_lease_has_ended_is_due_again_and_out_of_its_first_owners_hands(
    subject: JobStoreSubject,
) {
    assert!(subject.insert(job(1)).await);
    let first = subject.claim("one", 1, 0).await.remove(0);
    assert!(subject.claim("two", 1, 9).await.is_empty(), "it is leased");
    let again = subject.claim("one", 1, 10).await.remove(0);
    assert_eq!((again.id, again.attempt), (first.id, 2));
    for how in ENDS {
        assert!(!subject.end(&first.lease("one"), how, true).await, "{how:?} by the attempt before");
        assert!(!subject.end(&again.lease("two"), how, true).await, "{how:?} by another owner");
    }
    assert_eq!(subject.find(1).await.as_ref(), Some(&again));
    for attempt in 3..=5 {
        let now = (attempt - 1) * 10;
        let lost = subject.claim("one", 1, now).await.remove(0);
        assert_eq!((lost.attempt, lost.is_exhausted()), (attempt, attempt == 5));
    }
}

async fn renew_moves_the_leases_of_an_owner_that_are_named_and_no_other(subject: JobStoreSubject) {
    for number in 1..=6 {
        assert!(subject.insert(job(number)).await);
    }
    let mine = subject.claim("one", 3, 0).await;
    let others = subject.claim("two", 2, 0).await;
    let [kept @ .., forgotten] = mine.as_slice() else { panic!("three were claimed") };
    let kept: Vec<JobId> = kept.iter().map(|job| job.id).collect();
    // As many as a busy process has; of those that are there, one is another owner's and one waits.
    let named: Vec<JobId> =
        kept.iter().copied().chain([others[0].id, id(6)]).chain((100..1_300).map(id)).collect();
    let mut tx = subject.begin().await;
    let mut renewed = subject.jobs.renew(&mut tx, "one", &named, at(30)).await.unwrap();
    assert!(subject.jobs.renew(&mut tx, "one", &[], at(99)).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    renewed.sort_unstable();
    assert_eq!(renewed, kept);
    // The one that waits, and those whose leases have ended.
    let mut taken = ids(&subject.claim("three", 10, 29).await);
    taken.sort_unstable();
    let mut expected = [ids(&others), ids(std::slice::from_ref(forgotten)), vec![6]].concat();
    expected.sort_unstable();
    assert_eq!(taken, expected);
}

async fn an_attempt_ends_by_complete_retry_or_bury_in_its_transaction(subject: JobStoreSubject) {
    for (number, how) in (1..).zip(ENDS) {
        assert!(subject.insert(job(number)).await);
        let running = subject.claim("one", 1, 0).await.remove(0);
        let lease = running.lease("one");
        assert!(subject.end(&lease, how, false).await);
        assert_eq!(
            subject.find(number).await.as_ref(),
            Some(&running),
            "{how:?}: its transaction was dropped"
        );
        assert!(subject.end(&lease, how, true).await);
        let ended = StoredJob { owner: None, ..running.clone() };
        let error = |text: &str| Some(text.to_owned());
        let expected = match how {
            End::Complete => None,
            End::Retry => Some(StoredJob {
                state: JobState::Waiting,
                due_at: at(100),
                error: error("it did not answer"),
                ..ended
            }),
            End::Bury => Some(StoredJob { state: JobState::Dead, error: error("it is of no use"), ..ended }),
        };
        assert_eq!(subject.find(number).await, expected, "{how:?}");
        for again in ENDS {
            assert!(!subject.end(&lease, again, true).await, "{again:?} after {how:?}");
        }
    }
    assert_eq!(ids(&subject.claim("two", 10, 100).await), [2], "the one that is tried again");
}

async fn a_dead_job_is_not_claimed_until_it_is_revived_and_cancel_takes_what_does_not_run(
    subject: JobStoreSubject,
) {
    for number in 1..=3 {
        assert!(subject.insert(job(number)).await);
    }
    let running = subject.claim("one", 2, 0).await;
    assert!(subject.end(&running[0].lease("one"), End::Bury, true).await);
    assert_eq!(ids(&subject.claim("two", 10, 5).await), [3], "a dead job was claimed");
    let revive = async |number| {
        let mut tx = subject.begin().await;
        let revived = subject.jobs.revive(&mut tx, id(number), at(6)).await.unwrap();
        tx.commit().await.unwrap();
        revived
    };
    assert!(!revive(2).await && !revive(9).await, "one runs, one is not there");
    assert!(revive(1).await);
    let revived = subject.claim("two", 10, 6).await;
    assert_eq!((ids(&revived), revived[0].attempt), (vec![1], 1));
    assert!(subject.insert(job(4)).await);
    for (number, cancelled) in [(1, false), (4, true), (4, false)] {
        let mut tx = subject.begin().await;
        assert_eq!(subject.jobs.cancel(&mut tx, id(number)).await.unwrap(), cancelled, "{number}");
        tx.commit().await.unwrap();
    }
    assert_eq!(subject.find(4).await, None);
    assert!(subject.find(1).await.is_some());
}

async fn due_names_the_kinds_that_claim_would_give_something_of(subject: JobStoreSubject) {
    assert!(subject.insert(job(1)).await);
    assert!(subject.insert(NewJob { kind: "b", ..job(2).due_at(at(50)) }).await);
    assert!(subject.insert(NewJob { kind: "c", ..job(3) }).await);
    let kinds = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(subject.due(&["a", "b", "d"], 0).await, kinds(&["a"]));
    assert_eq!(subject.due(&["a", "b", "d"], 50).await, kinds(&["a", "b"]));
    assert_eq!(subject.due(&[], 50).await, kinds(&[]));
    let running = subject.claim("one", 1, 0).await.remove(0);
    assert_eq!(subject.due(&["a"], 9).await, kinds(&[]), "it is leased");
    assert_eq!(subject.due(&["a"], 10).await, kinds(&["a"]), "its lease has ended");
    assert!(subject.end(&running.lease("one"), End::Bury, true).await);
    assert_eq!(subject.due(&["a"], 10).await, kinds(&[]), "it is dead");
}

async fn list_gives_each_job_once_by_id_and_counts_agree(subject: JobStoreSubject) {
    for number in 1..=5 {
        assert!(subject.insert(job(number)).await);
    }
    assert!(subject.insert(NewJob { kind: "b", ..job(6) }).await);
    let running = subject.claim("one", 2, 0).await;
    assert!(subject.end(&running[1].lease("one"), End::Bury, true).await);
    let all = JobFilter::default();
    assert_eq!(subject.list(&all, None, 4).await, [1, 2, 3, 4]);
    assert_eq!(subject.list(&all, Some(id(4)), 4).await, [5, 6]);
    let of = |state, kind: Option<&str>| JobFilter { state, kind: kind.map(str::to_owned) };
    for (filter, there) in [
        (of(Some(JobState::Running), None), vec![1]),
        (of(Some(JobState::Dead), None), vec![2]),
        (of(Some(JobState::Waiting), Some("a")), vec![3, 4, 5]),
        (of(None, Some("b")), vec![6]),
    ] {
        assert_eq!(subject.list(&filter, None, 10).await, there, "{filter:?}");
    }
    let mut conn = subject.storage.read(REACH).await.unwrap();
    let mut counts = subject.jobs.counts(&mut conn, u32::MAX).await.unwrap();
    counts.sort_by_key(|(kind, state, _)| (kind.clone(), state.as_str()));
    let counted = |kind: &str, state, count| (kind.to_owned(), state, count);
    assert_eq!(
        counts,
        [
            counted("a", JobState::Dead, 1),
            counted("a", JobState::Running, 1),
            counted("a", JobState::Waiting, 3),
            counted("b", JobState::Waiting, 1),
        ]
    );
    let some = subject.jobs.counts(&mut conn, 2).await.unwrap();
    let of_state =
        |wanted| some.iter().filter(|(_, state, _)| *state == wanted).map(|(.., count)| count).sum();
    let counted: [i64; 3] = JobState::ALL.map(of_state);
    assert_eq!(counted, [2, 1, 1], "of four that wait two are counted");
}

async fn of_several_that_find_a_schedule_due_one_fires_it(subject: JobStoreSubject) {
    let schedule = async |first| {
        let mut tx = subject.begin().await;
        subject.jobs.schedule(&mut tx, "nightly", at(first)).await.unwrap();
        tx.commit().await.unwrap();
    };
    let fire = async |name: &str, now, next, commit| {
        let mut tx = subject.begin().await;
        let fired = subject.jobs.fire(&mut tx, name, at(now), at(next)).await.unwrap();
        if commit {
            tx.commit().await.unwrap();
        }
        fired
    };
    schedule(10).await;
    // Another process starts.
    schedule(99).await;
    assert!(!fire("nightly", 9, 20, true).await && !fire("daily", 10, 20, true).await, "none is due");
    assert!(fire("nightly", 10, 20, false).await, "it is due");
    let fired = at_once(8, |_| fire("nightly", 11, 20, true)).await;
    assert_eq!(fired.iter().filter(|fired| **fired).count(), 1, "nobody had committed before");
    assert!(!fire("nightly", 19, 30, true).await);
    assert!(fire("nightly", 20, 30, true).await);
}
