//! The database as whoever copies it has it: every table, every column, every value.

use saas_core::{Reach, Storage};
use saas_kit::testing::{TestEngine, TestSaas};
use saas_sql::{fetch_all, sqlx::AssertSqlSafe};

const REACH: Reach = Reach::Platform("test");

/// A column of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) table: String,
    pub(crate) name: String,
    /// Its type, as the engine calls it.
    kind: String,
}

/// Every column of every table of ours.
pub(crate) async fn columns(test: &TestSaas, engine: TestEngine) -> Vec<Column> {
    let query = match engine {
        TestEngine::Sqlite => {
            "SELECT m.name, p.name, p.type FROM sqlite_master m JOIN pragma_table_info(m.name) p \
             WHERE m.type = 'table' AND m.name LIKE 'saas\\_%' ESCAPE '\\' ORDER BY m.name, p.cid"
        }
        TestEngine::Postgres => {
            "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name LIKE 'saas\\_%' ORDER BY table_name, ordinal_position"
        }
    };
    let mut conn = test.saas.storage().read(REACH).await.expect("it answers");
    let rows = fetch_all!(&mut conn, (String, String, String), query).expect("the schema is told");
    let columns: Vec<_> = rows.into_iter().map(|(table, name, kind)| Column { table, name, kind }).collect();
    assert!(columns.len() > 100, "{columns:?}");
    columns
}

/// Every value of a column that is not null: bytes as they are, everything else as text.
pub(crate) async fn values(test: &TestSaas, engine: TestEngine, column: &Column) -> Vec<Vec<u8>> {
    let Column { table, name, kind } = column;
    let bytes = match engine {
        TestEngine::Sqlite => format!("CAST({name} AS blob)"),
        TestEngine::Postgres if kind == "bytea" => name.clone(),
        TestEngine::Postgres => format!("convert_to({name}::text, 'UTF8')"),
    };
    let query = format!("SELECT {bytes} FROM {table} WHERE {name} IS NOT NULL");
    let mut conn = test.saas.storage().read(REACH).await.expect("it answers");
    let rows = fetch_all!(&mut conn, (Vec<u8>,), AssertSqlSafe(query)).expect("the table can be read");
    rows.into_iter().map(|(value,)| value).collect()
}
