//! The contract of [`ConversationStore`].

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use saas_core::{Storage, TenantId, Tx, conformance::at_once};

use super::{REACH, at, conversation, conversation_id, conversation_key, run_id, tenant_id, user_id};
use crate::{Conversation, ConversationStore, Item, MemoryPlace, NewMessage, Speaker};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`ConversationStore`](crate::ConversationStore): takes the path of an `async fn() -> ConversationStoreSubject`, makes a
    /// test of each line of its contract.
    conversation_store_conformance, saas_agents, conversation_store, ConversationStoreSubject,
    [
        what_was_inserted_and_said_is_read_back,
        of_several_inserts_of_a_key_one_inserts_and_the_others_wait_and_get_that_one,
        a_held_conversation_is_not_changed_until_the_transaction_ends,
        a_conversation_of_another_tenant_is_not_there,
        the_list_gives_each_conversation_that_has_messages_once_last_changed_first,
        a_message_that_is_added_is_counted_and_begins_the_preview,
        messages_are_read_oldest_first_from_any_position_on,
        memory_is_read_newest_first_from_any_place_back,
        a_title_is_given_and_taken_away_and_nothing_else_changes,
        what_an_owner_has_in_a_tenant_is_given_without_messages_too,
        what_is_removed_takes_its_messages_and_its_memory_with_it,
    ]
}

/// A store without conversations, and the storage that it is in.
#[derive(Debug)]
pub struct ConversationStoreSubject {
    storage: Arc<dyn Storage>,
    conversations: Arc<dyn ConversationStore>,
    _kept: Box<dyn Any + Send>,
}

impl ConversationStoreSubject {
    /// A new, empty store; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(
        storage: Arc<dyn Storage>,
        conversations: Arc<dyn ConversationStore>,
        kept: impl Any + Send,
    ) -> Self {
        Self { storage, conversations, _kept: Box::new(kept) }
    }

    async fn begin(&self) -> Tx {
        self.storage.begin(REACH).await.unwrap()
    }

    async fn insert(&self, new: &Conversation) -> Conversation {
        let mut tx = self.begin().await;
        let held = self.conversations.hold_or_insert(&mut tx, new).await.unwrap();
        tx.commit().await.unwrap();
        held
    }

    /// The owner says something in a conversation, so many seconds after the beginning.
    async fn say(&self, number: u128, text: &str, items: &[Item], seconds: i64) {
        let message = NewMessage { speaker: Speaker::User, text, partial: false, run: run_id(number), items };
        let mut tx = self.begin().await;
        self.add(&mut tx, number, message, seconds).await;
        tx.commit().await.unwrap();
    }

    async fn add(&self, tx: &mut Tx, number: u128, message: NewMessage<'_>, seconds: i64) {
        let held = self.conversations.hold(tx, tenant_id(1), conversation_id(number)).await.unwrap();
        let held = held.expect("the conversation is there");
        self.conversations.add(tx, &held, message, at(seconds)).await.unwrap();
    }

    async fn rename(&self, number: u128, title: Option<&str>) {
        let mut tx = self.begin().await;
        self.conversations.rename(&mut tx, conversation_id(number), title).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The conversation with the key of that number.
    async fn by_key(&self, tenant: TenantId, number: u128) -> Option<Conversation> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        self.conversations.by_key(&mut conn, tenant, &conversation_key(number)).await.unwrap()
    }

    async fn there(&self, number: u128) -> Conversation {
        self.by_key(tenant_id(1), number).await.expect("the conversation is there")
    }

    /// All that user 1 has in a tenant, read by twos.
    async fn listed(&self, tenant: TenantId) -> Vec<Conversation> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = self.conversations.list(&mut conn, tenant, user_id(1), after, 2).await.unwrap();
            assert!(page.len() <= 2, "a page is no longer than asked for");
            let Some(last) = page.last() else { return found };
            after = Some((last.updated_at, last.id));
            found.extend(page);
            assert!(found.len() <= 9, "none is given twice: {found:?}");
        }
    }

    /// The positions and texts of a conversation's messages after a position.
    async fn messages(&self, number: u128, after: i64, limit: u32) -> Vec<(i64, String)> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let id = conversation_id(number);
        let messages = self.conversations.messages(&mut conn, id, after, limit).await.unwrap();
        messages.into_iter().map(|message| (message.position, message.text)).collect()
    }

    /// The places and items of a conversation's memory from before a place.
    async fn memory(
        &self,
        number: u128,
        before: Option<MemoryPlace>,
        limit: u32,
    ) -> Vec<(MemoryPlace, String)> {
        let mut conn = self.storage.read(REACH).await.unwrap();
        let id = conversation_id(number);
        let memory = self.conversations.memory(&mut conn, id, before, limit).await.unwrap();
        memory.into_iter().map(|(place, item)| (place, item.as_json().to_owned())).collect()
    }

    /// Begins a transaction that does `change`, which must not come through before the one of `holder` ends.
    async fn assert_waits(&self, holder: Tx, change: impl AsyncFnOnce(&mut Tx)) {
        let released = AtomicBool::new(false);
        let change = async {
            let mut tx = self.begin().await;
            change(&mut tx).await;
            assert!(
                released.load(Ordering::SeqCst),
                "it did not wait for the transaction that holds the conversation"
            );
            tx.commit().await.unwrap();
        };
        let keep = async {
            // As long as it takes: a change that does not wait is done before.
            for _ in 0..50 {
                self.by_key(tenant_id(1), 1).await;
            }
            released.store(true, Ordering::SeqCst);
            holder.commit().await.unwrap();
        };
        futures_util::future::join(change, keep).await;
    }
}

fn item(json: &str) -> Item {
    Item::from_json(json.to_owned()).unwrap()
}

fn assert_same(left: &Conversation, right: &Conversation) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

async fn what_was_inserted_and_said_is_read_back(subject: ConversationStoreSubject) {
    let mut new = conversation(1);
    new.title = Some("Grüße ✈".into());
    assert_same(&subject.insert(&new).await, &new);
    subject.insert(&conversation(2)).await;
    assert_same(&subject.there(1).await, &new);
    assert!(subject.by_key(tenant_id(1), 3).await.is_none(), "none has that key");
    let mut tx = subject.begin().await;
    let held = subject.conversations.hold(&mut tx, tenant_id(1), new.id).await.unwrap();
    assert_same(&held.expect("the conversation is there"), &new);
    let held = subject.conversations.hold(&mut tx, tenant_id(1), conversation_id(3)).await.unwrap();
    assert!(held.is_none(), "none has that id");

    // Bytes that a parser would not write so, and a kind that nobody knows yet.
    let odd = r#"{ "type":"of_tomorrow" , "n":1.50, "a":{"z":1,"a":"\u00fc ✈"} }"#;
    let (said, answer) = ("What is\n6 * 7? ✈", "42, s");
    let items = [item(odd), Item::assistant(answer)];
    let message =
        NewMessage { speaker: Speaker::User, text: said, partial: false, run: run_id(7), items: &[] };
    subject.add(&mut tx, 1, message, 1).await;
    let message = NewMessage {
        speaker: Speaker::Assistant,
        text: answer,
        partial: true,
        run: run_id(8),
        items: &items,
    };
    subject.add(&mut tx, 1, message, 2).await;
    tx.commit().await.unwrap();

    let mut conn = subject.storage.read(REACH).await.unwrap();
    let messages = subject.conversations.messages(&mut conn, new.id, 0, 10).await.unwrap();
    let message = |place: usize| {
        let message = &messages[place];
        (
            message.position,
            message.speaker,
            message.text.as_str(),
            message.partial,
            message.run,
            message.created_at,
        )
    };
    assert_eq!(messages.len(), 2);
    assert_eq!(message(0), (1, Speaker::User, said, false, run_id(7), at(1)));
    assert_eq!(message(1), (2, Speaker::Assistant, answer, true, run_id(8), at(2)));
    let memory: Vec<String> = subject.memory(1, None, 10).await.into_iter().map(|(_, item)| item).collect();
    assert_eq!(memory, [items[1].as_json(), odd]);
}

async fn of_several_inserts_of_a_key_one_inserts_and_the_others_wait_and_get_that_one(
    subject: ConversationStoreSubject,
) {
    let contender = |number: u128| Conversation { key: conversation_key(1), ..conversation(number) };
    let got = at_once(8, |number| {
        let new = contender(number as u128 + 1);
        let subject = &subject;
        async move { subject.insert(&new).await.id }
    })
    .await;
    let inserted = subject.there(1).await.id;
    assert_eq!(got, [inserted; 8], "they get the one that was inserted");

    let mut holder = subject.begin().await;
    let new = Conversation { key: conversation_key(2), ..conversation(20) };
    subject.conversations.hold_or_insert(&mut holder, &new).await.unwrap();
    let late = Conversation { key: conversation_key(2), ..conversation(21) };
    subject
        .assert_waits(holder, async |tx| {
            let got = subject.conversations.hold_or_insert(tx, &late).await.unwrap();
            assert_eq!(got.id, new.id, "it gets the one that it waited for");
        })
        .await;
}

async fn a_held_conversation_is_not_changed_until_the_transaction_ends(subject: ConversationStoreSubject) {
    let (new, store) = (subject.insert(&conversation(1)).await, &*subject.conversations);
    for by_key in [false, true] {
        let hold = async || {
            let mut holder = subject.begin().await;
            if by_key {
                store.hold_or_insert(&mut holder, &new).await.unwrap();
            } else {
                store.hold(&mut holder, new.tenant, new.id).await.unwrap();
            }
            holder
        };
        let rename = async |tx: &mut Tx| store.rename(tx, new.id, Some("Changed")).await.unwrap();
        subject.assert_waits(hold().await, rename).await;
        let other = async |tx: &mut Tx| drop(store.hold(tx, new.tenant, new.id).await.unwrap());
        subject.assert_waits(hold().await, other).await;
    }
    let removed = async |tx: &mut Tx| store.remove(tx, new.id).await.unwrap();
    let mut holder = subject.begin().await;
    store.hold(&mut holder, new.tenant, new.id).await.unwrap();
    subject.assert_waits(holder, removed).await;
}

async fn a_conversation_of_another_tenant_is_not_there(subject: ConversationStoreSubject) {
    let (ours, other) = (conversation(1), tenant_id(2));
    subject.insert(&ours).await;
    subject.say(1, "hello", &[], 1).await;
    assert!(subject.by_key(other, 1).await.is_none(), "not by its key");
    assert!(subject.listed(other).await.is_empty(), "not in a list, though its owner asks");
    let mut tx = subject.begin().await;
    let held = subject.conversations.hold(&mut tx, other, ours.id).await.unwrap();
    assert!(held.is_none(), "not by its id");
    drop(tx);
    let theirs = Conversation { tenant: other, key: conversation_key(1), ..conversation(2) };
    assert_same(&subject.insert(&theirs).await, &theirs);
    assert_eq!(subject.there(1).await.id, ours.id, "one key in two tenants is two conversations");
}

async fn the_list_gives_each_conversation_that_has_messages_once_last_changed_first(
    subject: ConversationStoreSubject,
) {
    for number in 1..=6 {
        let owner = user_id(if number == 6 { 2 } else { 1 });
        subject.insert(&Conversation { owner, ..conversation(number) }).await;
    }
    // Nothing is said in the fifth; two change at the same moment: their ids tell them apart.
    for (number, seconds) in [(1, 5), (2, 9), (3, 7), (4, 7), (6, 8)] {
        subject.say(number, "hello", &[], seconds).await;
    }
    let ids = async || subject.listed(tenant_id(1)).await.into_iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids().await, [2, 4, 3, 1].map(conversation_id));
    subject.say(1, "hello again", &[], 10).await;
    assert_eq!(ids().await, [1, 2, 4, 3].map(conversation_id));
}

async fn a_message_that_is_added_is_counted_and_begins_the_preview(subject: ConversationStoreSubject) {
    subject.insert(&conversation(1)).await;
    subject.insert(&conversation(2)).await;
    let long = "é🦀 ".repeat(5_000);
    for (count, text) in [(1, "hello"), (2, long.as_str()), (3, "bye")] {
        subject.say(1, text, &[], count).await;
        let now = subject.there(1).await;
        assert_eq!((now.message_count, now.created_at, now.updated_at), (count, at(0), at(count)));
        assert!(!now.preview.is_empty() && text.starts_with(&now.preview), "{}", now.preview);
        assert!(now.preview.len() < 1_000, "a preview is short");
    }
    assert_same(&subject.there(2).await, &conversation(2));
}

async fn messages_are_read_oldest_first_from_any_position_on(subject: ConversationStoreSubject) {
    subject.insert(&conversation(1)).await;
    subject.insert(&conversation(2)).await;
    for number in 1..=5 {
        subject.say(1, &format!("message {number}"), &[], 6 - number).await;
    }
    subject.say(2, "another conversation's", &[], 1).await;
    let expected: Vec<(i64, String)> = (1..=5).map(|number| (number, format!("message {number}"))).collect();
    for after in 0..=5 {
        for limit in [1, 2, 9] {
            let rest =
                expected.iter().filter(|one| one.0 > after).take(limit as usize).cloned().collect::<Vec<_>>();
            assert_eq!(subject.messages(1, after, limit).await, rest, "{limit} after {after}");
        }
    }
}

async fn memory_is_read_newest_first_from_any_place_back(subject: ConversationStoreSubject) {
    subject.insert(&conversation(1)).await;
    subject.insert(&conversation(2)).await;
    let mut expected = Vec::new();
    for (message, count) in (1..).zip([1, 3, 0, 12]) {
        let items: Vec<Item> = (0..count).map(|index| item(&format!("[{message},{index}]"))).collect();
        subject.say(1, "hello", &items, 1).await;
        let places = (0..count).map(|index| MemoryPlace { message, index });
        expected.extend(places.zip(items.iter().map(|item| item.as_json().to_owned())));
    }
    subject.say(2, "hello", &[item("\"another conversation's\"")], 1).await;
    expected.reverse();
    assert_eq!(subject.memory(1, None, 99).await, expected);
    for limit in [1, 2, 5] {
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let round = subject.memory(1, before, limit).await;
            assert!(round.len() <= limit as usize && found.len() <= expected.len(), "{found:?}");
            let Some((oldest, _)) = round.last() else { break };
            before = Some(*oldest);
            found.extend(round);
        }
        assert_eq!(found, expected, "{limit} at once");
    }
}

async fn a_title_is_given_and_taken_away_and_nothing_else_changes(subject: ConversationStoreSubject) {
    subject.insert(&conversation(1)).await;
    subject.insert(&conversation(2)).await;
    for title in [Some("Greetings"), Some("日本語"), None] {
        subject.rename(1, title).await;
        let expected = Conversation { title: title.map(str::to_owned), ..conversation(1) };
        assert_same(&subject.there(1).await, &expected);
    }
    subject.rename(3, Some("Nobody's")).await;
    assert_same(&subject.there(2).await, &conversation(2));
}

async fn what_is_removed_takes_its_messages_and_its_memory_with_it(subject: ConversationStoreSubject) {
    for number in [1, 2] {
        subject.insert(&conversation(number)).await;
        subject.say(number, "hello", &[Item::user("hello")], 1).await;
    }
    let mut tx = subject.begin().await;
    subject.conversations.remove(&mut tx, conversation_id(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(subject.by_key(tenant_id(1), 1).await.is_none());
    // Nor is anything left for whoever gets that id again.
    subject.insert(&conversation(1)).await;
    assert!(subject.messages(1, 0, 10).await.is_empty() && subject.memory(1, None, 10).await.is_empty());
    assert_eq!((subject.messages(2, 0, 10).await.len(), subject.memory(2, None, 10).await.len()), (1, 1));
}

async fn what_an_owner_has_in_a_tenant_is_given_without_messages_too(subject: ConversationStoreSubject) {
    for number in [1, 2, 3] {
        subject.insert(&conversation(number)).await;
    }
    subject.say(2, "Hello", &[], 1).await;
    let mut conn = subject.storage.read(REACH).await.unwrap();
    let owned = async |conn: &mut saas_core::Conn, tenant, owner, after: Option<u128>, limit| {
        let after = after.map(conversation_id);
        let owned = subject.conversations.owned(conn, tenant, owner, after, limit).await.unwrap();
        owned.into_iter().map(|conversation| conversation.id).collect::<Vec<_>>()
    };
    let (mine, me) = (tenant_id(1), user_id(1));
    assert_eq!(owned(&mut conn, mine, me, None, 9).await, [1, 2, 3].map(conversation_id));
    assert_eq!(owned(&mut conn, mine, me, None, 2).await, [1, 2].map(conversation_id));
    assert_eq!(owned(&mut conn, mine, me, Some(2), 9).await, [3].map(conversation_id));
    assert!(owned(&mut conn, tenant_id(2), me, None, 9).await.is_empty());
    assert!(owned(&mut conn, mine, user_id(2), None, 9).await.is_empty());
}
