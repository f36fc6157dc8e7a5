//! The schema as the engine describes it, in words that both engines share, for the test that compares them.

use std::collections::{BTreeMap, BTreeSet};

use saas_core::{Reach, Storage, StoreError};

use crate::{Engine, SqlError, SqlStorage, engine};

/// The tables of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// By name: each column's class and whether it may be null.
    pub tables: BTreeMap<String, BTreeMap<String, Column>>,
    /// The names of the indexes that a migration named.
    pub indexes: BTreeSet<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// `text`, `bytes` or `integer`: what SQLite's strict tables tell apart.
    pub class: &'static str,
    /// Whether it may be null.
    pub nullable: bool,
}

type ColumnRow = (String, String, String, bool);

impl SqlStorage {
    /// Reads the tables whose names begin with `saas_`.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let mut conn = self.read(Reach::Platform("schema")).await?;
        let (columns, indexes) = match engine(&mut conn)? {
            #[cfg(feature = "postgres")]
            Engine::Postgres(c) => {
                let columns: Vec<ColumnRow> = sqlx::query_as(
                    "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' FROM information_schema.columns \
                     WHERE table_schema = current_schema() AND table_name LIKE 'saas\\_%' AND table_name <> 'saas_migrations'",
                )
                .fetch_all(&mut *c)
                .await
                .map_err(SqlError::from)?;
                let indexes: Vec<(String,)> = sqlx::query_as(
                    "SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE 'saas\\_%' \
                     AND indexname NOT LIKE '%\\_pkey'",
                )
                .fetch_all(c)
                .await
                .map_err(SqlError::from)?;
                (columns, indexes)
            }
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(c) => {
                let columns: Vec<ColumnRow> = sqlx::query_as(
                    "SELECT t.name, c.name, lower(c.type), c.\"notnull\" = 0 FROM sqlite_master t, pragma_table_info(t.name) c \
                     WHERE t.type = 'table' AND t.name LIKE 'saas\\_%' ESCAPE '\\' AND t.name <> 'saas_migrations'",
                )
                .fetch_all(&mut *c)
                .await
                .map_err(SqlError::from)?;
                let indexes: Vec<(String,)> =
                    sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'saas\\_%' ESCAPE '\\'")
                        .fetch_all(c)
                        .await
                        .map_err(SqlError::from)?;
                (columns, indexes)
            }
        };
        let mut schema = Schema::default();
        for (table, column, kind, nullable) in columns {
            schema.tables.entry(table).or_default().insert(column, Column { class: class(&kind), nullable });
        }
        schema.indexes = indexes.into_iter().map(|(name,)| name).collect();
        Ok(schema)
    }
}

fn class(kind: &str) -> &'static str {
    match kind {
        "uuid" | "bytea" | "blob" => "bytes",
        "text" | "timestamp with time zone" => "text",
        "bigint" | "boolean" | "integer" => "integer",
        _ => "unknown",
    }
}
