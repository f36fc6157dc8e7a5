//! Personal data at rest: encrypted for its row, under keys that change while servers run.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use saas_auth::{Session, SessionFilter, SignIn, Tokens};
use saas_core::{
    Actor, Client, Email, Envelope, Field, PageSize, Reach, Secret, Storage, envelope::DataKeys,
};
use saas_kit::{
    ENVELOPED, ReencryptError, Saas,
    testing::{PASSWORD, TestEngine, TestSaas},
};
use saas_sql::{Reencryption, SqlStorage, execute, fetch_all, fetch_one, sqlx::types::Uuid};

use crate::audit::operator;

const TEST: Reach = Reach::Platform("a test");

async fn sign_in_from(test: &TestSaas, ip: &str) -> Tokens {
    let ip: IpAddr = ip.parse().unwrap();
    let actor = Actor::anonymous(None, Client::new(Some(ip), Some("curl/8")));
    let command = SignIn::new(Email::parse("ada@example.com").unwrap(), Secret::new(PASSWORD.to_owned()));
    test.saas.auth().sign_in(&actor, command).await.unwrap()
}

/// What the owner's list shows of each session's address.
async fn shown(saas: &Saas, tokens: &Tokens) -> BTreeMap<Uuid, Option<String>> {
    let token = tokens.access_token.expose();
    let actor = saas.auth().authenticate(token, None, Client::default()).await.unwrap().actor;
    let mut sessions: Vec<Session> = Vec::new();
    loop {
        let size = PageSize::new(100).unwrap();
        let skip = u32::try_from(sessions.len()).unwrap();
        let page = saas.auth().sessions(&actor, &SessionFilter::live(), None, skip, size).await.unwrap().page;
        let last = page.next.is_none();
        sessions.extend(page.items);
        if last {
            break;
        }
    }
    sessions.iter().map(|session| (session.id.as_uuid(), saas.auth().address_of(session))).collect()
}

type Stored = (Uuid, Option<Vec<u8>>, Option<String>);

async fn stored(storage: &SqlStorage) -> Vec<Stored> {
    let mut conn = storage.read(TEST).await.unwrap();
    let sql = "SELECT id, address_envelope, ip_masked FROM saas_sessions ORDER BY id";
    fetch_all!(&mut conn, Stored, sql).unwrap()
}

async fn change(storage: &SqlStorage, statement: &'static str, id: Uuid, envelope: &[u8]) {
    let mut tx = storage.begin(TEST).await.unwrap();
    assert_eq!(execute!(tx.conn(), statement, id, envelope).unwrap(), 1);
    tx.commit().await.unwrap();
}

const PUT: &str = "UPDATE saas_sessions SET address_envelope = $2 WHERE id = $1";

/// As an earlier release left every row: the address readable, and no envelope.
async fn as_before_the_upgrade(storage: &SqlStorage) -> u64 {
    let mut tx = storage.begin(TEST).await.unwrap();
    let sql = "UPDATE saas_sessions SET ip_masked = '203.0.113.*', address_envelope = NULL";
    let rows = execute!(tx.conn(), sql).unwrap();
    tx.commit().await.unwrap();
    rows
}

/// How many rows still have something to encrypt.
async fn left(storage: &SqlStorage, saas: &Saas) -> i64 {
    let prefix = saas.fields().active().unwrap().envelope_prefix();
    let mut conn = storage.read(TEST).await.unwrap();
    let sql = "SELECT COUNT(*) FROM saas_sessions WHERE ip_masked IS NOT NULL OR substr(address_envelope, 1, 5) <> $1";
    fetch_one!(&mut conn, (i64,), sql, prefix.as_slice()).unwrap().0
}

/// More sessions than one step takes.
async fn many_sessions(test: &TestSaas) -> Tokens {
    test.register("ada@example.com").await;
    let tokens = sign_in_from(test, "203.0.113.7").await;
    let id = tokens.session.as_uuid();
    let mut tx = test.saas.storage().begin(TEST).await.unwrap();
    let auth_sessions =
        (0..249_u128).map(|number| Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number));
    for copy in auth_sessions {
        let sql = "INSERT INTO saas_sessions (id, user_id, tenant_id, version, client_id, key_id, salt, generation, rotated_at, created_at, \
                   last_seen_at, idle_expires_at, absolute_expires_at) SELECT $1, user_id, tenant_id, version, client_id, key_id, salt, \
                   generation, rotated_at, created_at, last_seen_at, idle_expires_at, absolute_expires_at FROM saas_sessions WHERE id = $2";
        assert_eq!(execute!(tx.conn(), sql, copy, id).unwrap(), 1);
    }
    tx.commit().await.unwrap();
    tokens
}

on_both_engines! {
    async fn an_address_is_stored_encrypted_and_shown_to_its_owner(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        let tokens = sign_in_from(&test, "203.0.113.7").await;
        let id = tokens.session.as_uuid();
        let row = stored(test.saas.storage()).await.into_iter().find(|(row, ..)| *row == id).unwrap();
        let (_, Some(bytes), None) = row else { panic!("an envelope and nothing else: {row:?}") };
        assert!(!bytes.windows(3).any(|window| window == b"203"), "{bytes:?}");
        assert_eq!(Envelope::from_stored(bytes).key_id(), test.saas.fields().active());
        assert_eq!(shown(&test.saas, &tokens).await[&id].as_deref(), Some("203.0.113.*"));
        // A replica has the same keys.
        let replica = test.replica(2).await;
        assert_eq!(shown(&replica, &tokens).await[&id].as_deref(), Some("203.0.113.*"));
    }

    async fn an_address_that_was_moved_or_changed_is_not_shown(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        let (first, second) = (sign_in_from(&test, "203.0.113.7").await, sign_in_from(&test, "198.51.100.7").await);
        let (one, two) = (first.session.as_uuid(), second.session.as_uuid());
        let rows = stored(test.saas.storage()).await;
        let envelope = rows.iter().find(|(id, ..)| *id == one).and_then(|(_, envelope, _)| envelope.clone()).unwrap();
        change(test.saas.storage(), PUT, two, &envelope).await;
        let list = shown(&test.saas, &first).await;
        assert_eq!((list[&one].as_deref(), &list[&two]), (Some("203.0.113.*"), &None));
        let mut changed = envelope.clone();
        *changed.last_mut().unwrap() ^= 1;
        change(test.saas.storage(), PUT, one, &changed).await;
        assert_eq!(shown(&test.saas, &first).await[&one], None);
        change(test.saas.storage(), PUT, one, b"no envelope").await;
        assert_eq!(shown(&test.saas, &first).await[&one], None);
        // What does not open is told, and stays for who looks into it.
        let done = test.saas.reencrypt(&operator()).await.unwrap().total();
        assert_eq!((done.encrypted, done.unopened), (0, 1), "of another key are those alone that name one");
        assert_eq!(stored(test.saas.storage()).await.iter().find(|(id, ..)| *id == one).unwrap().1.as_deref(), Some(&b"no envelope"[..]));
    }

    async fn what_an_earlier_release_stored_is_encrypted_by_reencrypt(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        let tokens = sign_in_from(&test, "203.0.113.7").await;
        let rows = as_before_the_upgrade(test.saas.storage()).await;
        assert!(shown(&test.saas, &tokens).await.values().all(Option::is_none), "not until then");
        let done = test.saas.reencrypt(&operator()).await.unwrap();
        assert_eq!((done.total().encrypted, done.total().unopened), (rows, 0));
        assert!(stored(test.saas.storage()).await.iter().all(|(_, envelope, plain)| envelope.is_some() && plain.is_none()));
        assert!(shown(&test.saas, &tokens).await.values().all(|address| address.as_deref() == Some("203.0.113.*")));
        assert_eq!(test.saas.reencrypt(&operator()).await.unwrap().total().encrypted, 0, "once is enough");
    }

    async fn a_new_key_is_used_when_every_server_knows_it(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        let old = sign_in_from(&test, "203.0.113.7").await;
        let (replica, first) = (test.replica(2).await, test.saas.fields().active());
        let rotated = test.saas.rotate_data_keys(&operator()).await.unwrap();
        assert_eq!(test.saas.rotate_data_keys(&operator()).await.unwrap_err().to_string().split(" and").next(), Some(&*format!("the data key {} is new", rotated.key)));
        assert!(matches!(test.saas.reencrypt(&operator()).await, Err(ReencryptError::NotDue { key, .. }) if key == rotated.key));
        assert_eq!(test.saas.fields().active(), first);
        // As a replica's workers do long before the key is used.
        assert!(replica.fields().reload().await.unwrap() && !replica.fields().reload().await.unwrap());
        test.clock.advance(DataKeys::PUBLISH_DELAY);
        assert_eq!((test.saas.fields().active(), replica.fields().active()), (Some(rotated.key), Some(rotated.key)));

        let new = sign_in_from(&test, "198.51.100.7").await;
        let list = shown(&replica, &new).await;
        assert_eq!(list[&old.session.as_uuid()].as_deref(), Some("203.0.113.*"), "under the old key");
        assert_eq!(list[&new.session.as_uuid()].as_deref(), Some("198.51.100.*"), "under the new one");
        let done = test.saas.reencrypt(&operator()).await.unwrap();
        assert_eq!((done.key, done.total().encrypted), (rotated.key, 1));
        assert_eq!((left(test.saas.storage(), &test.saas).await, shown(&replica, &new).await), (0, list));
    }

    async fn who_stops_half_way_goes_on_with_the_rest(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = many_sessions(&test).await;
        let rows = as_before_the_upgrade(test.saas.storage()).await;
        let (storage, fields) = (test.saas.storage(), test.saas.fields());
        let mut work = Reencryption::new(storage, fields, ENVELOPED[0], fields.active().unwrap());
        let batch = work.next().await.unwrap().unwrap();
        let mut tx = test.begin().await;
        assert_eq!(work.encrypt_in(&mut tx, batch).await.unwrap().encrypted, u64::from(Reencryption::STEP));
        tx.commit().await.unwrap();
        // The process is killed in its next transaction: what that has not committed is undone.
        let batch = work.next().await.unwrap().unwrap();
        let mut tx = test.begin().await;
        work.encrypt_in(&mut tx, batch).await.unwrap();
        drop(tx);
        let rest = rows - u64::from(Reencryption::STEP);
        assert_eq!(u64::try_from(left(storage, &test.saas).await).unwrap(), rest);
        assert_eq!(test.saas.reencrypt(&operator()).await.unwrap().total().encrypted, rest);
        assert_eq!(left(storage, &test.saas).await, 0);
        assert!(shown(&test.saas, &tokens).await.values().all(|address| address.as_deref() == Some("203.0.113.*")));
    }

    async fn several_that_encrypt_at_once_encrypt_each_value_once(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = many_sessions(&test).await;
        let rows = as_before_the_upgrade(test.saas.storage()).await;
        let replica = test.replica(2).await;
        // Beside a server that opens sessions.
        let me = operator();
        let (one, other, session) =
            tokio::join!(test.saas.reencrypt(&me), replica.reencrypt(&me), sign_in_from(&test, "198.51.100.7"));
        assert_eq!(one.unwrap().total().encrypted + other.unwrap().total().encrypted, rows);
        let list = shown(&test.saas, &tokens).await;
        assert_eq!(list[&session.session.as_uuid()].as_deref(), Some("198.51.100.*"));
        assert_eq!(list.values().filter(|address| address.as_deref() == Some("203.0.113.*")).count() as u64, rows);
    }

    async fn every_column_of_envelopes_is_encrypted_again(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let schema = test.saas.storage().schema().await.unwrap();
        let mut found: Vec<_> = schema.tables.iter().flat_map(|(table, columns)| {
            let envelopes = columns.iter().filter(|(name, _)| name.ends_with("_envelope"));
            envelopes.map(move |(name, column)| (format!("{table}.{name}"), column.class))
        }).collect();
        found.sort();
        let mut listed: Vec<_> = ENVELOPED.iter().map(|column| (format!("{}.{}", column.table, column.column), "bytes")).collect();
        listed.sort();
        assert_eq!(found, listed, "one line of ENVELOPED for each column that is called …_envelope");
    }
}

/// Words in the names of columns that sound personal.
const PERSONAL: [&str; 9] =
    ["email", "address", "ip", "phone", "display_name", "user_agent", "totp", "location", "fingerprint"];

/// The table of the page for operators: columns, and how each is kept.
fn documented() -> BTreeMap<String, String> {
    let page = include_str!("../../../../docs/operations/encryption.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `saas_"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let column = format!("saas_{}", cells.next().unwrap().trim_end_matches('`'));
        (column, cells.next().unwrap().to_owned())
    })
    .collect()
}

#[tokio::test]
async fn personal_columns_are_documented_and_those_that_say_so_are_in_envelopes() {
    let documented = documented();
    let in_envelopes: Vec<_> =
        documented.iter().filter(|(_, kept)| *kept == "envelope").map(|(column, _)| column.clone()).collect();
    let mut listed: Vec<_> =
        ENVELOPED.iter().map(|column| format!("{}.{}", column.table, column.column)).collect();
    listed.sort();
    assert_eq!(in_envelopes, listed);

    let test = TestSaas::start(TestEngine::Sqlite).await;
    let schema = test.saas.storage().schema().await.unwrap();
    for column in documented.keys() {
        let (table, name) = column.split_once('.').unwrap();
        assert!(
            schema.tables.get(table).is_some_and(|columns| columns.contains_key(name)),
            "{column} is there"
        );
    }
    // What sounds personal is on the page.
    for (table, columns) in &schema.tables {
        for name in columns.keys() {
            let personal =
                PERSONAL.iter().any(|word| name.split('_').any(|part| part == *word) || name == word);
            // A time tells nobody's address.
            if personal && !name.ends_with("_at") {
                assert!(
                    documented.contains_key(&format!("{table}.{name}")),
                    "{table}.{name} is not on the page"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_column_of_ones_own_has_the_same_envelopes() {
    let test = TestSaas::start(TestEngine::Sqlite).await;
    let (fields, field) =
        (Arc::clone(test.saas.fields()), Field { table: "notes", column: "text", row: b"1" });
    let envelope = fields.seal(field, b"dear diary").unwrap();
    let stored = Envelope::from_stored(envelope.as_bytes().to_vec());
    assert_eq!(fields.unseal(field, &stored).unwrap().expose(), b"dear diary");
}
