//! Every column of every table: a value that is planted there is found in the export, or the list says why it is left out.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use saas_core::{Field, UserId};
use saas_kit::testing::{PASSWORD, TestEngine};
use saas_sql::{execute, fetch_all, fetch_one, sqlx::AssertSqlSafe};
use serde_json::json;
use uuid::Uuid;

use super::{by_operator, chat, user};
use crate::{
    harness::{Api, post},
    second_factor::add as add_second_factor,
    whole_database,
};

/// What becomes of a column.
enum Fate {
    /// This text is planted, and found.
    Text(&'static str),
    /// The first text is planted, and the second one found.
    Becomes(&'static str, &'static str),
    /// A time is planted, and found.
    Time,
    /// A time is planted as microseconds, and found.
    Micros,
    /// A number is planted, and found.
    Number,
    /// A yes is planted, and found under this name.
    Yes(&'static str),
    /// The id that stands there is found.
    Id,
    /// This is found, which stands there in an envelope.
    Opened(&'static str),
    /// The first is put into an envelope there, and the second one found.
    Sealed(&'static str, &'static str),
    /// It is not in the export, for this reason.
    Left(&'static str),
}

use Fate::{Becomes, Id, Left, Micros, Number, Opened, Sealed, Text, Time, Yes};

/// Tables that hold nothing of a user's, or nothing for long.
const OTHER_TABLES: [(&str, &str); 10] = [
    ("saas_audit_heads", "where a tenant's chain ends"),
    ("saas_changes", "that somebody's decisions are void: for minutes"),
    ("saas_deployment", "the deployment's"),
    ("saas_event_trims", "how much of an answer's pieces has gone"),
    ("saas_events", "an answer in the pieces that it came in: the run has it whole"),
    ("saas_jobs", "what is about to be done: ids, which go when it is done"),
    ("saas_migrations", "the deployment's"),
    ("saas_schedules", "the deployment's"),
    ("saas_secrets", "the deployment's"),
    ("saas_sign_in_challenges", "a sign-in that waits for its second factor: for minutes"),
];

const SECRET: Fate = Left("a secret, or what one is told by");
/// An item stands there as it is kept.
const ITEM: &str = r#"{"planted":"item"}"#;
const ROW: Fate = Left("how the row is kept, not what it says");

/// A table of what is held of users: which of its rows are the user's, and its columns.
type Table = (&'static str, &'static str, &'static [(&'static str, Fate)]);

const TABLES: &[Table] = &[
    (
        "saas_users",
        "1 = 1",
        &[
            ("id", Id),
            ("email", Text("planted.identity@example.com")),
            ("email_shown", Text("Planted.Shown@example.com")),
            ("display_name", Text("Planted Name")),
            ("status", Text("disabled")),
            ("password_hash", SECRET),
            ("email_verified_at", Time),
            ("created_at", Time),
            ("updated_at", ROW),
            ("password_compromised_at", Time),
        ],
    ),
    (
        "saas_password_history",
        "1 = 1",
        &[
            ("id", ROW),
            ("user_id", ROW),
            ("password_hash", SECRET),
            ("replaced_at", Left("the audit log says when a password was set")),
        ],
    ),
    (
        "saas_sessions",
        "1 = 1",
        &[
            ("id", Id),
            ("user_id", Id),
            ("tenant_id", Id),
            ("version", ROW),
            ("client_id", Left("which program of the product's, one word for all")),
            ("key_id", SECRET),
            ("salt", SECRET),
            ("generation", ROW),
            ("rotated_at", Left("last_seen_at is later or the same")),
            ("created_at", Time),
            ("last_seen_at", Time),
            ("idle_expires_at", Time),
            ("absolute_expires_at", Time),
            ("revoked_at", Time),
            ("revoked_reason", Left("the audit log says why a session ended")),
            ("platform", Text("Planted OS")),
            ("browser", Text("Planted Browser")),
            ("device", Text("planted device")),
            ("user_agent", Text("Planted/1.0")),
            ("ip_masked", Left("of releases before envelopes; reencrypting empties it")),
            ("fingerprint", Text("planted fingerprint")),
            ("address_envelope", Opened("203.0.113.*")),
            ("authenticated_at", Time),
            ("methods", Becomes("pwd kba", "[\"pwd\",\"kba\",\"mfa\"]")),
            ("guesses", Left("how many wrong proofs a session has brought; the audit log says of each")),
            (
                "place_envelope",
                Sealed(
                    r#"{"country":"XX","region":null,"city":"Planted City"}"#,
                    r#""city":"Planted City","country":"XX""#,
                ),
            ),
        ],
    ),
    (
        "saas_one_time_tokens",
        "address_envelope IS NOT NULL",
        &[
            ("id", Id),
            ("user_id", Id),
            ("purpose", Text("invitation")),
            ("address_hash", SECRET),
            ("address_envelope", Opened("hidden@example.com")),
            ("key_id", SECRET),
            ("hash", SECRET),
            ("created_at", Time),
            ("expires_at", Time),
            ("used_at", Time),
        ],
    ),
    (
        "saas_second_factors",
        "1 = 1",
        &[
            ("user_id", Id),
            ("seed_envelope", SECRET),
            ("created_at", Time),
            ("confirmed_at", Time),
            ("last_step", Left("which code was used last, of a secret")),
        ],
    ),
    (
        "saas_recovery_codes",
        "1 = 1",
        &[
            ("user_id", ROW),
            ("code_hash", SECRET),
            ("created_at", Left("how many are left is shown; the audit log says when there were new ones")),
        ],
    ),
    (
        "saas_sign_in_guesses",
        "user_id IS NOT NULL",
        &[
            ("id", Left("a keyed hash of what was guessed at, as kind says")),
            ("kind", Text("own_password")),
            ("user_id", Id),
            ("failures", Number),
            ("consecutive", Number),
            ("open_from", Time),
            ("told_until", Left("when the next mail about a lock may go")),
            ("expires_at", Left("when the count is removed")),
        ],
    ),
    (
        "saas_forgotten_devices",
        "1 = 1",
        &[("user_id", ROW), ("forgotten_at", Left("the audit log says when a password was set"))],
    ),
    (
        "saas_tenants",
        "1 = 1",
        &[
            ("id", Id),
            ("slug", Text("planted-slug")),
            ("name", Text("Planted Tenant")),
            ("state", Becomes("suspended", "\"tenant_suspended\":true")),
            ("created_at", Left("the tenant's, not the user's")),
            ("updated_at", ROW),
        ],
    ),
    (
        "saas_memberships",
        "1 = 1",
        &[
            ("tenant_id", Id),
            ("user_id", Id),
            ("role", Text("viewer")),
            ("created_at", Time),
            ("updated_at", Time),
        ],
    ),
    (
        "saas_conversations",
        "1 = 1",
        &[
            ("id", Id),
            ("tenant_id", Id),
            ("user_id", Id),
            ("key", Text("planted key")),
            ("title", Text("planted title")),
            ("agent", Text("planted_agent")),
            ("message_count", Left("the messages are there")),
            ("preview", Left("the beginning of the last message, which is there")),
            ("created_at", Time),
            ("updated_at", Time),
        ],
    ),
    (
        "saas_messages",
        "1 = 1",
        &[
            ("conversation_id", Id),
            ("position", Number),
            ("speaker", Left("shown: one of two words, which both stand there already")),
            ("body", Text("a planted message")),
            ("partial", Yes("partial")),
            ("run_id", Id),
            ("created_at", Time),
        ],
    ),
    (
        "saas_memory_items",
        "1 = 1",
        &[
            ("conversation_id", Id),
            ("message_position", Number),
            ("item_index", Number),
            ("item", Becomes(ITEM, ITEM)),
        ],
    ),
    (
        "saas_runs",
        "1 = 1",
        &[
            ("id", Id),
            ("tenant_id", Id),
            ("user_id", Id),
            ("conversation_id", Id),
            ("position", Number),
            ("agent", Text("planted_answerer")),
            ("model", Text("planted-model")),
            ("status", Text("interrupted")),
            ("input", Text("a planted question")),
            ("idempotency_key", Text("planted-idempotency")),
            ("request_hash", Left("a hash of the input, which is there")),
            ("attempt", ROW),
            ("cancel_requested", Yes("cancel_requested")),
            ("answer", Text("a planted answer")),
            ("error", Text("planted_error")),
            ("final_seq", ROW),
            ("input_tokens", Number),
            ("cached_input_tokens", Number),
            ("output_tokens", Number),
            ("reasoning_tokens", Number),
            ("created_at", Time),
            ("finished_at", Time),
        ],
    ),
    (
        "saas_audit",
        "actor LIKE 'user:%' AND request_id IS NOT NULL",
        &[
            ("id", Id),
            ("tenant_id", Left("the chain, shown as null where it is the platform's")),
            ("version", ROW),
            ("at_us", Micros),
            ("actor", Left("what the row is found by; it is shown")),
            ("action", Text("planted.action")),
            ("subject", Text("planted:subject")),
            ("outcome", Text("planted-outcome")),
            ("reason", Text("planted_reason")),
            ("request_id", Id),
            ("key_id", SECRET),
            ("mac", SECRET),
            ("position", ROW),
            ("previous_hash", ROW),
            ("hash", ROW),
            ("seal_key_id", ROW),
            ("seal_mac", ROW),
        ],
    ),
];

/// The columns that tables have and the lists have not, and the other way round.
async fn hold_the_lists_against_the_schema(api: &Api, engine: TestEngine) {
    let listed: BTreeSet<(String, String)> = TABLES
        .iter()
        .flat_map(|(table, _, columns)| {
            columns.iter().map(|(column, _)| ((*table).to_owned(), (*column).to_owned()))
        })
        .collect();
    let found: BTreeSet<(String, String)> = whole_database::columns(&api.test, engine)
        .await
        .into_iter()
        .filter(|column| !OTHER_TABLES.iter().any(|(table, _)| *table == column.table))
        .map(|column| (column.table, column.name))
        .collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "have the export show these, or say why it does not: {missing:?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "these are no columns any more: {gone:?}");
}

/// The row that values are planted in: its key, as the engine has it.
async fn row(api: &Api, engine: TestEngine, (table, rows, _): &Table) -> String {
    let (key, cast) = match engine {
        TestEngine::Sqlite => ("rowid", "CAST(rowid AS text)"),
        TestEngine::Postgres => ("ctid", "ctid::text"),
    };
    let query = format!("SELECT {cast} FROM {table} WHERE {rows} ORDER BY {key} LIMIT 1");
    let mut tx = api.test.begin().await;
    let (found,): (String,) = fetch_one!(tx.conn(), (String,), AssertSqlSafe(query))
        .unwrap_or_else(|_| panic!("{table} has a row"));
    match engine {
        TestEngine::Sqlite => format!("rowid = {found}"),
        TestEngine::Postgres => format!("ctid = '{found}'::tid"),
    }
}

/// A time of its own for each column.
fn time(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(2_000_000_000 + number, 0).expect("a time")
}

struct Planting<'a> {
    api: &'a Api,
    engine: TestEngine,
    user: UserId,
    number: i64,
}

impl Planting<'_> {
    async fn export(&self) -> String {
        by_operator(self.api, self.user).await
    }

    /// What has to be in the export once it is planted.
    async fn plant(&mut self, table: &Table, column: &str, fate: &Fate) -> Option<String> {
        self.number += 1;
        let number = self.number;
        let wanted = match fate {
            Left(_) => return None,
            Id => return Some(self.id(table, column).await),
            Opened(text) => return Some((*text).to_owned()),
            Text(text) => serde_json::to_string(text).expect("a text"),
            Becomes(_, wanted) | Sealed(_, wanted) => (*wanted).to_owned(),
            Time | Micros => format!("\"{}\"", time(number).to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Number => format!(":{}", 918_000 + number),
            Yes(name) => format!("\"{name}\":true"),
        };
        assert!(!self.export().await.contains(&wanted), "{column}: {wanted} was there before");
        let row = row(self.api, self.engine, table).await;
        if let Sealed(text, _) = fate {
            self.seal(table, column, &row, text).await;
            return Some(wanted);
        }
        let update = AssertSqlSafe(format!("UPDATE {} SET {column} = $1 WHERE {row}", table.0));
        let mut tx = self.api.test.begin().await;
        let planted = match fate {
            Text(text) | Becomes(text, _) => execute!(tx.conn(), update, *text),
            Time => execute!(tx.conn(), update, time(number)),
            Micros => execute!(tx.conn(), update, time(number).timestamp_micros()),
            Number => execute!(tx.conn(), update, 918_000 + number),
            _ => execute!(tx.conn(), update, true),
        };
        assert_eq!(planted.unwrap_or_else(|error| panic!("{} {column}: {error:?}", table.0)), 1);
        tx.commit().await.expect("it is planted");
        Some(wanted)
    }

    /// Puts a text into an envelope of its row.
    async fn seal(&self, table: &Table, column: &str, row: &str, text: &str) {
        let query = format!("SELECT id FROM {} WHERE {row}", table.0);
        let mut tx = self.api.test.begin().await;
        let (id,) = fetch_one!(tx.conn(), (Uuid,), AssertSqlSafe(query)).expect("the row has an id");
        let field = Field { table: table.0, column: "place_envelope", row: id.as_bytes() };
        assert_eq!(column, field.column, "one column is planted so");
        let envelope = self.api.test.saas.fields().seal(field, text.as_bytes()).expect("there are keys");
        let update = AssertSqlSafe(format!("UPDATE {} SET {column} = $1 WHERE id = $2", table.0));
        let planted = execute!(tx.conn(), update, envelope.as_bytes(), id).expect("it is planted");
        assert_eq!(planted, 1);
        tx.commit().await.expect("it is planted");
    }

    async fn id(&self, table: &Table, column: &str) -> String {
        let row = row(self.api, self.engine, table).await;
        let query = format!("SELECT {column} FROM {} WHERE {row}", table.0);
        let mut tx = self.api.test.begin().await;
        let ids: Vec<(Uuid,)> = fetch_all!(tx.conn(), (Uuid,), AssertSqlSafe(query)).expect("it is an id");
        format!("\"{}\"", ids[0].0)
    }
}

pub(super) async fn are_all_in_the_export_or_left_out(engine: TestEngine) {
    let api = Api::with_settings(engine, [("AUTH_PASSWORD_HISTORY_COUNT", "3")]).await;
    hold_the_lists_against_the_schema(&api, engine).await;
    let ada = api.register("ada@example.com").await;
    chat(&api, &ada, "What is 6 * 7?").await;
    let change = json!({ "new_email": "hidden@example.com", "current_password": PASSWORD });
    let change = post("/api/v1/auth/email/change").bearer(ada.access()).json(&change);
    assert_eq!(api.send(change).await.status, 202);
    let wrong = json!({ "email": "ada@example.com", "password": "not the password at all" });
    assert_eq!(api.send(post("/api/v1/auth/token").json(&wrong)).await.status, 401);
    add_second_factor(&api, &ada).await;
    api.test.drain_jobs().await;
    let mut planting = Planting { api: &api, engine, user: user(&ada), number: 0 };
    let (mut shown, mut left) = (0, 0);
    for table in TABLES {
        for (column, fate) in table.2 {
            if let Left(reason) = fate {
                assert!(!reason.is_empty());
                left += 1;
                continue;
            }
            let wanted = planting.plant(table, column, fate).await.expect("it is shown");
            let export = planting.export().await;
            assert!(export.contains(&wanted), "{} {column}: no {wanted} in {export}", table.0);
            shown += 1;
        }
    }
    assert!(shown > 60 && left > 20, "{shown} {left}");
}
