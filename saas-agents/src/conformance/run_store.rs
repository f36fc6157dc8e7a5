//! The contract of [`RunStore`].

mod ends;

use std::{any::Any, sync::Arc};

use chrono::{DateTime, Utc};
use saas_core::{Conn, Storage, StoreError, TenantId, Tx, conformance::at_once};

use self::ends::{
    a_final_run_never_changes, a_running_run_is_finished_once_and_no_other,
    a_waiting_run_is_cancelled_at_once_and_a_running_one_is_to_stop,
};
use super::{REACH, at, conversation, conversation_id, conversation_key, run_id, tenant_id, user_id};
use crate::{AgentName, ConversationStore, IdempotencyKey, Outcome, Run, RunId, RunStatus, RunStore, Usage};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`RunStore`](crate::RunStore): takes the path of an `async fn() -> RunStoreSubject`, makes a test of each line of its
    /// contract.
    run_store_conformance, saas_agents, run_store, RunStoreSubject,
    [
        what_was_inserted_is_read_back_by_id_and_by_the_key_of_its_user,
        of_several_inserts_under_a_key_of_a_user_one_succeeds,
        the_queue_is_what_waits_and_the_highest_position,
        of_several_claims_of_a_run_one_gets_it,
        only_the_run_whose_turn_it_is_is_claimed_or_next,
        what_runs_or_has_its_turn_is_under_way_with_its_tenant,
        a_running_run_is_finished_once_and_no_other,
        a_waiting_run_is_cancelled_at_once_and_a_running_one_is_to_stop,
        a_final_run_never_changes,
        the_runs_of_a_conversation_are_read_in_their_order_from_any_position_on,
        the_runs_of_a_conversation_that_is_removed_go_with_it,
    ]
}

/// A store without runs, the store of the conversations that they are of, and the storage that both are in.
#[derive(Debug)]
pub struct RunStoreSubject {
    storage: Arc<dyn Storage>,
    conversations: Arc<dyn ConversationStore>,
    runs: Arc<dyn RunStore>,
    _kept: Box<dyn Any + Send>,
}

impl RunStoreSubject {
    /// New, empty stores; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        conversations: Arc<dyn ConversationStore>,
        runs: Arc<dyn RunStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, conversations, runs, _kept: Box::new(kept) }
    }

    async fn begin(&self) -> Tx {
        self.storage.begin(REACH).await.unwrap()
    }

    async fn read(&self) -> Conn {
        self.storage.read(REACH).await.unwrap()
    }

    async fn insert(&self, run: &Run) -> Result<(), StoreError> {
        let mut tx = self.begin().await;
        self.runs.insert(&mut tx, run).await?;
        tx.commit().await
    }

    /// Conversations 1 and 2, and these runs.
    async fn seed(&self, runs: &[Run]) {
        let mut tx = self.begin().await;
        for number in [1, 2] {
            self.conversations.hold_or_insert(&mut tx, &conversation(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
        for run in runs {
            self.insert(run).await.unwrap();
        }
    }

    async fn found(&self, number: u128) -> Run {
        self.runs.find(&mut self.read().await, run_id(number)).await.unwrap().expect("the run is there")
    }

    /// All that is stored of a run, in words.
    async fn shown(&self, number: u128) -> String {
        shown(&self.found(number).await)
    }

    async fn claim(&self, number: u128) -> Option<Run> {
        let mut tx = self.begin().await;
        let claimed = self.runs.claim(&mut tx, run_id(number), "a model").await.unwrap();
        tx.commit().await.unwrap();
        claimed
    }

    /// Claims runs whose turn it is.
    async fn begun(&self, numbers: &[u128]) {
        for number in numbers {
            assert!(self.claim(*number).await.is_some(), "it is the turn of run {number}");
        }
    }

    async fn finish(&self, number: u128, outcome: &Outcome, now: DateTime<Utc>) -> bool {
        let mut tx = self.begin().await;
        let done = self.runs.finish(&mut tx, run_id(number), outcome, now).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    async fn cancel(&self, number: u128, now: DateTime<Utc>) -> bool {
        let mut tx = self.begin().await;
        let done = self.runs.cancel(&mut tx, run_id(number), now).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    /// Those that run or whose turn it is, so many at a time.
    async fn under_way(&self, limit: u32) -> Vec<(RunId, TenantId)> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let round = self.runs.under_way(&mut self.read().await, after, limit).await.unwrap();
            assert!(round.len() <= limit as usize);
            let Some((last, _)) = round.last() else { return all };
            after = Some(*last);
            all.extend(round);
        }
    }

    async fn next(&self, conversation: u128) -> Option<RunId> {
        self.runs.next(&mut self.read().await, conversation_id(conversation)).await.unwrap()
    }

    async fn queue(&self, conversation: u128) -> (i64, i64) {
        self.runs.queue(&mut self.begin().await, conversation_id(conversation)).await.unwrap()
    }
}

/// A run that waits in a conversation of user 1.
fn run(number: u128, conversation: u128, position: i64) -> Run {
    Run {
        id: run_id(number),
        tenant: tenant_id(1),
        user: user_id(1),
        conversation: conversation_id(conversation),
        conversation_key: conversation_key(conversation),
        position,
        agent: AgentName::TRIAGE,
        model: None,
        status: RunStatus::Queued,
        input: format!("What is\n{number} * 7? ✈"),
        idempotency_key: None,
        request_hash: vec![0, 200, 7],
        attempt: 0,
        cancel_requested: false,
        answer: String::new(),
        error: None,
        final_seq: None,
        usage: Usage::default(),
        created_at: at(0),
        finished_at: None,
    }
}

fn outcome(status: RunStatus) -> Outcome {
    let usage = Usage { input: 11, cached_input: 3, output: 7, reasoning: 2 };
    Outcome { status, answer: "42 ✈".into(), error: Some("a_code"), usage, final_seq: 9 }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn ids(numbers: &[u128]) -> Vec<RunId> {
    numbers.iter().copied().map(run_id).collect()
}

/// Every field: what `Debug` leaves out, too.
fn shown(run: &Run) -> String {
    let of =
        (run.id, run.tenant, run.user, run.conversation, &run.conversation_key, run.position, &run.agent);
    let asked = (&run.input, &run.idempotency_key, &run.request_hash, run.created_at);
    let stands = (&run.model, run.status, run.attempt, run.cancel_requested);
    let ended = (&run.answer, &run.error, run.final_seq, run.usage, run.finished_at);
    format!("{of:?} {asked:?} {stands:?} {ended:?}")
}

async fn what_was_inserted_is_read_back_by_id_and_by_the_key_of_its_user(subject: RunStoreSubject) {
    let inserted = Run { idempotency_key: Some(key("a key")), ..run(1, 1, 1) };
    subject.seed(&[inserted.clone(), run(2, 1, 2)]).await;
    let (runs, mut conn, expected) = (&subject.runs, subject.read().await, Some(shown(&inserted)));
    let found = runs.find(&mut conn, run_id(1)).await.unwrap();
    assert_eq!(found.as_ref().map(shown), expected);
    assert!(runs.find(&mut conn, run_id(3)).await.unwrap().is_none(), "none has that id");
    for (tenant, user, text) in [(1, 1, "a key"), (2, 1, "a key"), (1, 2, "a key"), (1, 1, "another key")] {
        let (tenant, user) = (tenant_id(tenant), user_id(user));
        let found = runs.by_key(&mut conn, tenant, user, &key(text)).await.unwrap();
        let ours = (tenant, user, text) == (inserted.tenant, inserted.user, "a key");
        assert_eq!(found.as_ref().map(shown), expected.clone().filter(|_| ours), "{tenant} {user} {text}");
    }
    let found = runs.by_id(&mut conn, tenant_id(1), run_id(1)).await.unwrap();
    assert_eq!(found.as_ref().map(shown), expected);
    let found = runs.by_id(&mut conn, tenant_id(2), run_id(1)).await.unwrap();
    assert!(found.is_none(), "a run of another tenant is not there");
}

async fn of_several_inserts_under_a_key_of_a_user_one_succeeds(subject: RunStoreSubject) {
    subject.seed(&[]).await;
    let keyed = |number: u128| Run {
        idempotency_key: Some(key("a key")),
        ..run(number, 1, i64::try_from(number).unwrap())
    };
    let inserted = at_once(8, |number| {
        let (subject, run) = (&subject, keyed(number as u128 + 1));
        async move { subject.insert(&run).await }
    })
    .await;
    let won = inserted.iter().filter(|done| done.is_ok()).count();
    let lost = inserted.iter().filter(|done| matches!(done, Err(StoreError::Backend(_)))).count();
    assert_eq!((won, lost), (1, 7), "one succeeds, the others hear that they can look for it: {inserted:?}");
    let theirs = Run { user: user_id(2), ..keyed(20) };
    subject.insert(&theirs).await.expect("it is no key of another user's");
    for number in [30, 31] {
        subject.insert(&Run { idempotency_key: None, ..keyed(number) }).await.expect("none is no key");
    }
}

async fn the_queue_is_what_waits_and_the_highest_position(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3), run(4, 2, 1)]).await;
    assert_eq!(subject.queue(1).await, (3, 3));
    subject.begun(&[1]).await;
    assert_eq!(subject.queue(1).await, (2, 3), "what runs does not wait");
    assert!(subject.cancel(3, at(1)).await);
    assert_eq!(subject.queue(1).await, (1, 3), "a place is given once");
    assert_eq!((subject.queue(2).await, subject.queue(3).await), ((1, 1), (0, 0)));
}

async fn of_several_claims_of_a_run_one_gets_it(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1)]).await;
    let claimed = at_once(8, |_| subject.claim(1)).await;
    let won: Vec<&Run> = claimed.iter().flatten().collect();
    assert_eq!(won.len(), 1, "one of eight gets it");
    let expected =
        Run { status: RunStatus::Running, attempt: 1, model: Some("a model".into()), ..run(1, 1, 1) };
    assert_eq!(shown(won[0]), shown(&expected));
    assert_eq!(subject.shown(1).await, shown(&expected));
}

async fn only_the_run_whose_turn_it_is_is_claimed_or_next(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3), run(4, 2, 1)]).await;
    assert_eq!((subject.next(1).await, subject.next(2).await), (Some(run_id(1)), Some(run_id(4))));
    assert!(subject.claim(2).await.is_none(), "one before it waits");
    subject.begun(&[1]).await;
    assert_eq!(subject.next(1).await, None);
    assert!(subject.claim(2).await.is_none(), "one of its conversation runs");
    assert!(subject.finish(1, &outcome(RunStatus::Completed), at(1)).await);
    assert_eq!(subject.next(1).await, Some(run_id(2)));
    assert!(subject.cancel(2, at(2)).await);
    assert!(subject.claim(2).await.is_none(), "it is not wanted any more");
    assert_eq!(subject.next(1).await, Some(run_id(3)));
    subject.begun(&[3, 4]).await;
    assert_eq!((subject.next(1).await, subject.next(2).await, subject.next(3).await), (None, None, None));
}

async fn what_runs_or_has_its_turn_is_under_way_with_its_tenant(subject: RunStoreSubject) {
    let theirs = Run { tenant: tenant_id(2), ..run(4, 2, 1) };
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 1, 3), theirs]).await;
    let (first, other) = ((run_id(1), tenant_id(1)), (run_id(4), tenant_id(2)));
    for limit in [1, 2, 9] {
        assert_eq!(subject.under_way(limit).await, [first, other], "{limit} at a time");
    }
    subject.begun(&[1]).await;
    assert_eq!(subject.under_way(1).await, [first, other], "one of them runs");
    assert!(subject.finish(1, &outcome(RunStatus::Completed), at(1)).await);
    assert_eq!(subject.under_way(1).await, [(run_id(2), tenant_id(1)), other], "the next one has its turn");
    assert!(subject.cancel(4, at(2)).await && subject.cancel(2, at(2)).await);
    assert_eq!(subject.under_way(1).await, [(run_id(3), tenant_id(1))], "what was cancelled is over");
}

async fn the_runs_of_a_conversation_are_read_in_their_order_from_any_position_on(subject: RunStoreSubject) {
    subject.seed(&[run(3, 1, 1), run(1, 1, 2), run(4, 1, 3), run(2, 2, 1)]).await;
    subject.begun(&[3]).await;
    let expected = [(1, run_id(3)), (2, run_id(1)), (3, run_id(4))];
    for after in 0..=3 {
        for limit in [1, 2, 9] {
            let mut conn = subject.read().await;
            let found = subject.runs.of(&mut conn, conversation_id(1), after, limit).await.unwrap();
            let rest =
                expected.into_iter().filter(|one| one.0 > after).take(limit as usize).collect::<Vec<_>>();
            assert_eq!(found, rest, "{limit} after {after}");
        }
    }
}

async fn the_runs_of_a_conversation_that_is_removed_go_with_it(subject: RunStoreSubject) {
    subject.seed(&[run(1, 1, 1), run(2, 1, 2), run(3, 2, 1)]).await;
    subject.begun(&[1]).await;
    let mut tx = subject.begin().await;
    subject.conversations.remove(&mut tx, conversation_id(1)).await.unwrap();
    tx.commit().await.unwrap();
    for number in [1, 2] {
        let found = subject.runs.find(&mut subject.read().await, run_id(number)).await.unwrap();
        assert!(found.is_none(), "run {number} went with its conversation");
    }
    assert_eq!(subject.shown(3).await, shown(&run(3, 2, 1)));
    assert!(!subject.finish(1, &outcome(RunStatus::Completed), at(1)).await, "nor does it end");
}
