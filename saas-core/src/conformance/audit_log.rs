//! The contract of [`AuditLog`].

use std::{any::Any, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{REACH, at_once};
use crate::{
    AuditLog, Conn, RequestId, Storage, TenantId, Tx,
    audit::{
        AuditAction, AuditActor, AuditEntry, AuditFilter, AuditId, AuditRow, AuditSubject, Chain, Head, Seal,
    },
};

saas_core::conformance_suite! {
    ($)
    /// Tests an [`AuditLog`](crate::AuditLog): takes the path of an `async fn() -> AuditLogSubject`, makes a test of each line of its
    /// contract.
    audit_log_conformance, saas_core, audit_log, AuditLogSubject,
    [
        what_was_recorded_is_read_back_and_what_was_dropped_was_never_there,
        rows_are_recorded_beside_each_other_and_beside_who_holds_the_chain,
        unsealed_gives_what_is_not_sealed_by_id_and_next_unsealed_names_its_chains,
        hold_gives_a_chain_to_one_at_a_time,
        seal_gives_places_to_what_has_none_in_that_chain,
        move_head_stores_a_head_in_its_transaction,
        sealed_gives_sealed_rows_once_by_position_and_id,
        list_gives_each_row_that_the_filter_lets_through_once_newest_first,
        next_chain_names_every_chain_once,
        remove_takes_sealed_rows_up_to_a_position,
    ]
}

/// A log without rows, and the storage that it is in.
#[derive(Debug)]
pub struct AuditLogSubject {
    storage: Arc<dyn Storage>,
    log: Arc<dyn AuditLog>,
    one_writer: bool,
    _kept: Box<dyn Any + Send>,
}

const PLATFORM: Chain = Chain::Platform;

fn tenant(number: u128) -> Chain {
    Chain::Tenant(TenantId::from_uuid(Uuid::from_u128(number)))
}

/// Ids of the year 2026, one for each millisecond.
fn id(number: u64) -> AuditId {
    let millis = 1_767_225_600_000 + u128::from(number);
    AuditId::from_uuid(Uuid::from_u128(millis << 80 | 0x7000_8000_0000_0000_0000))
}

fn at(number: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_767_225_600_000 + i64::try_from(number).unwrap()).unwrap()
}

fn entry(number: u64, chain: Chain) -> AuditEntry {
    AuditEntry {
        id: id(number),
        chain,
        version: 7,
        at_us: at(number).timestamp_micros(),
        actor: "system:test".to_owned(),
        action: "test.thing.done".to_owned(),
        subject: number.is_multiple_of(2).then(|| format!("thing:{number}")),
        outcome: "success".to_owned(),
        reason: number.is_multiple_of(3).then(|| "because".to_owned()),
        request_id: number.is_multiple_of(5).then(|| RequestId::from_uuid(Uuid::from_u128(number.into()))),
        key_id: "k1".to_owned(),
        mac: vec![1, 2, 0],
    }
}

fn seal(position: i64) -> Seal {
    let byte = u8::try_from(position & 0x7f).unwrap();
    Seal {
        position,
        previous_hash: vec![0, byte],
        hash: vec![byte],
        key_id: "k2".to_owned(),
        mac: vec![9, byte],
    }
}

fn head(chain: Chain, count: i64) -> Head {
    Head {
        chain,
        count,
        hash: vec![7; 32],
        purged_count: 3,
        purged_hash: vec![8; 32],
        purged_at_us: (count > 5).then_some(12),
        key_id: "k3".to_owned(),
        mac: vec![6],
    }
}

fn ids(entries: &[AuditEntry]) -> Vec<AuditId> {
    entries.iter().map(|entry| entry.id).collect()
}

fn row_ids(rows: &[AuditRow]) -> Vec<AuditId> {
    rows.iter().map(|row| row.entry.id).collect()
}

impl AuditLogSubject {
    /// A new, empty log. `one_writer`: the storage has one transaction at a time, so that rows cannot be recorded beside each other. `kept`
    /// is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        log: Arc<dyn AuditLog>,
        one_writer: bool,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, log, one_writer, _kept: Box::new(kept) }
    }

    async fn begin(&self) -> Tx {
        self.storage.begin(REACH).await.unwrap()
    }

    async fn read(&self) -> Conn {
        self.storage.read(REACH).await.unwrap()
    }

    async fn record(&self, numbers: impl IntoIterator<Item = u64>, chain: Chain) {
        let mut tx = self.begin().await;
        for number in numbers {
            self.log.record(&mut tx, &entry(number, chain)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Seals rows in the order given, from a position on.
    async fn seal(&self, chain: Chain, first: i64, numbers: impl IntoIterator<Item = u64>) -> u64 {
        let seals: Vec<_> =
            (first..).zip(numbers).map(|(position, number)| (id(number), seal(position))).collect();
        let mut tx = self.begin().await;
        let sealed = self.log.seal(&mut tx, chain, &seals).await.unwrap();
        tx.commit().await.unwrap();
        sealed
    }

    async fn unsealed(&self, chain: Chain, after: Option<AuditId>, limit: u32) -> Vec<AuditEntry> {
        self.log.unsealed(&mut self.read().await, chain, after, limit).await.unwrap()
    }

    async fn sealed(&self, chain: Chain, after: Option<(i64, AuditId)>, limit: u32) -> Vec<AuditRow> {
        self.log.sealed(&mut self.read().await, chain, after, limit).await.unwrap()
    }

    async fn list(&self, filter: &AuditFilter, before: Option<AuditId>, limit: u32) -> Vec<AuditId> {
        row_ids(&self.log.list(&mut self.read().await, filter, before, limit).await.unwrap())
    }

    async fn head(&self, chain: Chain) -> Option<Head> {
        self.log.head(&mut self.read().await, chain).await.unwrap()
    }

    /// Moves the count of a held chain on by one, and tells what it was.
    async fn move_on(&self, chain: Chain) -> i64 {
        let mut tx = self.begin().await;
        let count = self.log.hold(&mut tx, chain).await.unwrap().map_or(0, |head| head.count);
        self.log.move_head(&mut tx, &head(chain, count + 1)).await.unwrap();
        tx.commit().await.unwrap();
        count
    }
}

async fn what_was_recorded_is_read_back_and_what_was_dropped_was_never_there(subject: AuditLogSubject) {
    // Every optional column is there in one of them and not in another.
    subject.record([1, 30], tenant(1)).await;
    assert_eq!(subject.unsealed(tenant(1), None, 10).await, [entry(1, tenant(1)), entry(30, tenant(1))]);
    let listed =
        subject.log.list(&mut subject.read().await, &AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed[0], AuditRow { entry: entry(30, tenant(1)), seal: None });
    let mut tx = subject.begin().await;
    subject.log.record(&mut tx, &entry(2, tenant(1))).await.unwrap();
    drop(tx);
    assert_eq!(subject.unsealed(tenant(1), None, 10).await.len(), 2, "its transaction was dropped");
}

async fn rows_are_recorded_beside_each_other_and_beside_who_holds_the_chain(subject: AuditLogSubject) {
    subject.move_on(tenant(1)).await;
    let count = if subject.one_writer { 1 } else { 4 };
    // Each transaction is open until the last one has recorded.
    let mut open = Vec::new();
    for number in 1..=count {
        let mut tx = subject.begin().await;
        subject.log.record(&mut tx, &entry(number, tenant(1))).await.unwrap();
        if number == count {
            assert!(subject.log.hold(&mut tx, tenant(1)).await.unwrap().is_some());
            subject.log.record(&mut tx, &entry(number + 1, tenant(1))).await.unwrap();
        }
        open.push(tx);
    }
    for tx in open.into_iter().rev() {
        tx.commit().await.unwrap();
    }
    assert_eq!(subject.unsealed(tenant(1), None, 10).await.len() as u64, count + 1);
}

async fn unsealed_gives_what_is_not_sealed_by_id_and_next_unsealed_names_its_chains(
    subject: AuditLogSubject,
) {
    subject.record([5, 3, 4], tenant(2)).await;
    subject.record([6], tenant(1)).await;
    subject.record([7], PLATFORM).await;
    assert_eq!(subject.seal(tenant(2), 1, [4, 5]).await, 2);
    // One that was committed late, with an earlier id than what is sealed.
    subject.record([1, 2], tenant(2)).await;
    assert_eq!(ids(&subject.unsealed(tenant(2), None, 2).await), [id(1), id(2)]);
    assert_eq!(ids(&subject.unsealed(tenant(2), Some(id(2)), 2).await), [id(3)]);
    assert_eq!(subject.log.count_unsealed(&mut subject.read().await).await.unwrap(), 5);
    let (mut named, mut last) = (Vec::new(), None);
    while let Some(chain) = subject.log.next_unsealed(&mut subject.read().await, last).await.unwrap() {
        named.push(chain);
        last = Some(chain);
    }
    assert_eq!(named, [PLATFORM, tenant(1), tenant(2)]);
    subject.seal(tenant(1), 1, [6]).await;
    let next = subject.log.next_unsealed(&mut subject.read().await, Some(PLATFORM)).await.unwrap();
    assert_eq!(next, Some(tenant(2)), "the first tenant's is sealed");
}

async fn hold_gives_a_chain_to_one_at_a_time(subject: AuditLogSubject) {
    let mut tx = subject.begin().await;
    assert_eq!(subject.log.hold(&mut tx, tenant(1)).await.unwrap(), None, "there is none yet");
    drop(tx);
    assert_eq!(subject.head(tenant(1)).await, None, "nothing was moved");
    let mut seen = at_once(8, |_| subject.move_on(tenant(1))).await;
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>(), "each saw what the one before it left");
    assert_eq!(subject.move_on(tenant(2)).await, 0, "another chain");
}

async fn seal_gives_places_to_what_has_none_in_that_chain(subject: AuditLogSubject) {
    subject.record([1, 2, 3], tenant(1)).await;
    subject.record([4], tenant(2)).await;
    assert_eq!(subject.seal(tenant(1), 1, [2, 1]).await, 2);
    assert_eq!(subject.seal(tenant(1), 3, [1, 3]).await, 1, "one is sealed");
    assert_eq!(subject.seal(tenant(1), 5, [4]).await, 0, "it is another chain's");
    assert_eq!(subject.seal(tenant(1), 5, []).await, 0);
    let sealed = subject.sealed(tenant(1), None, 10).await;
    let expected = [(2, 1), (1, 2), (3, 4)]
        .map(|(number, position)| AuditRow { entry: entry(number, tenant(1)), seal: Some(seal(position)) });
    assert_eq!(sealed, expected);
    let seals = [(id(4), seal(1))];
    let mut tx = subject.begin().await;
    assert_eq!(subject.log.seal(&mut tx, tenant(2), &seals).await.unwrap(), 1);
    drop(tx);
    assert_eq!(ids(&subject.unsealed(tenant(2), None, 10).await), [id(4)], "its transaction was dropped");
}

async fn move_head_stores_a_head_in_its_transaction(subject: AuditLogSubject) {
    for count in [1, 9] {
        let mut tx = subject.begin().await;
        subject.log.hold(&mut tx, tenant(1)).await.unwrap();
        subject.log.move_head(&mut tx, &head(tenant(1), count)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(subject.head(tenant(1)).await, Some(head(tenant(1), count)));
    }
    let mut tx = subject.begin().await;
    assert_eq!(subject.log.hold(&mut tx, tenant(1)).await.unwrap(), Some(head(tenant(1), 9)));
    subject.log.move_head(&mut tx, &head(tenant(1), 10)).await.unwrap();
    drop(tx);
    assert_eq!(subject.head(tenant(1)).await, Some(head(tenant(1), 9)), "its transaction was dropped");
    assert_eq!(subject.head(PLATFORM).await, None);
}

async fn sealed_gives_sealed_rows_once_by_position_and_id(subject: AuditLogSubject) {
    subject.record(1..=6, tenant(1)).await;
    subject.seal(tenant(1), 1, [5, 3]).await;
    // As nobody of ours would: one place for three rows, and one before the first.
    for number in [4, 2, 1] {
        subject.seal(tenant(1), 2, [number]).await;
    }
    subject.seal(tenant(1), 0, [6]).await;
    let all = [6, 5, 1, 2, 3, 4].map(id);
    assert_eq!(row_ids(&subject.sealed(tenant(1), None, 10).await), all);
    let (mut paged, mut last) = (Vec::new(), None);
    while let [row, ..] = subject.sealed(tenant(1), last, 1).await.as_slice() {
        last = Some((row.seal.as_ref().unwrap().position, row.entry.id));
        paged.push(row.entry.id);
    }
    assert_eq!(paged, all);
    assert!(subject.sealed(tenant(2), None, 10).await.is_empty());
}

async fn list_gives_each_row_that_the_filter_lets_through_once_newest_first(subject: AuditLogSubject) {
    subject.record([1, 2, 3], tenant(1)).await;
    subject.record([4, 5], PLATFORM).await;
    subject.seal(tenant(1), 1, [1, 2]).await;
    let mut tx = subject.begin().await;
    let other = AuditEntry {
        actor: "anonymous".to_owned(),
        action: "test.other.done".to_owned(),
        ..entry(6, tenant(2))
    };
    subject.log.record(&mut tx, &other).await.unwrap();
    tx.commit().await.unwrap();
    let all = AuditFilter::default();
    assert_eq!(subject.list(&all, None, 4).await, [6, 5, 4, 3].map(id));
    assert_eq!(subject.list(&all, Some(id(3)), 4).await, [2, 1].map(id));
    for (filter, there) in [
        (AuditFilter { chain: Some(tenant(1)), ..all.clone() }, &[3, 2, 1][..]),
        (AuditFilter { chain: Some(PLATFORM), ..all.clone() }, &[5, 4]),
        (AuditFilter { actor: Some(AuditActor::parse("anonymous").unwrap()), ..all.clone() }, &[6]),
        (AuditFilter { subject: Some(AuditSubject::parse("thing:2").unwrap()), ..all.clone() }, &[2]),
        (AuditFilter { action: Some(AuditAction::parse("test.other.done").unwrap()), ..all.clone() }, &[6]),
        (AuditFilter { from: Some(at(3)), until: Some(at(5)), ..all.clone() }, &[4, 3]),
        (AuditFilter { from: Some(at(3)), chain: Some(tenant(1)), ..all.clone() }, &[3]),
        (AuditFilter { until: Some(at(1)), ..all.clone() }, &[]),
    ] {
        let there: Vec<_> = there.iter().copied().map(id).collect();
        assert_eq!(subject.list(&filter, None, 10).await, there, "{filter:?}");
    }
}

async fn next_chain_names_every_chain_once(subject: AuditLogSubject) {
    subject.record([1, 2], tenant(3)).await;
    subject.record([3], PLATFORM).await;
    subject.seal(tenant(3), 1, [1]).await;
    // One has a head and no rows, one has both.
    subject.move_on(tenant(2)).await;
    subject.move_on(tenant(3)).await;
    let (mut named, mut last) = (Vec::new(), None);
    while let Some(chain) = subject.log.next_chain(&mut subject.read().await, last).await.unwrap() {
        named.push(chain);
        last = Some(chain);
    }
    assert_eq!(named, [PLATFORM, tenant(2), tenant(3)]);
}

async fn remove_takes_sealed_rows_up_to_a_position(subject: AuditLogSubject) {
    subject.record(1..=6, tenant(1)).await;
    subject.record([7], tenant(2)).await;
    subject.seal(tenant(1), 1, 1..=5).await;
    subject.seal(tenant(2), 1, [7]).await;
    let remove = async |limit, commit| {
        let mut tx = subject.begin().await;
        let removed = subject.log.remove(&mut tx, tenant(1), 4, limit).await.unwrap();
        if commit {
            tx.commit().await.unwrap();
        }
        removed
    };
    assert_eq!(remove(10, false).await, 4);
    assert_eq!(remove(3, true).await, 3, "its transaction was dropped before");
    assert_eq!((remove(3, true).await, remove(3, true).await), (1, 0));
    assert_eq!(row_ids(&subject.sealed(tenant(1), None, 10).await), [id(5)]);
    assert_eq!(ids(&subject.unsealed(tenant(1), None, 10).await), [id(6)], "it has no place");
    assert_eq!(row_ids(&subject.sealed(tenant(2), None, 10).await), [id(7)], "it is another chain's");
}
