//! Encrypting again what is in envelopes: under the active key, a few rows at a time.

use std::fmt;

use saas_core::{
    Envelope, Field, FieldCipher, Reach, Storage, StoreError, Tx,
    envelope::{DataKeyId, OpenEnvelopeError},
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{SqlStorage, execute, fetch_all};

/// A column that holds envelopes, of a table whose id is a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopedColumn {
    /// The table.
    pub table: &'static str,
    /// The column of the row's id.
    pub id: &'static str,
    /// The column itself.
    pub column: &'static str,
    /// A column of text that held the value before there were envelopes. It is emptied into them.
    pub plain: Option<&'static str>,
}

/// How many values came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reencrypted {
    /// Encrypted under the active key now.
    pub encrypted: u64,
    /// Left as they are, for they do not open.
    pub unopened: u64,
}

/// The column's values on their way to the active key.
///
/// It goes by the rows' ids and changes a value only while it is what was read: a server may write beside it, and its value stays. Who
/// stops half-way has lost nothing: what is done is not done again, and a new one goes on with the rest.
pub struct Reencryption<'a> {
    storage: &'a SqlStorage,
    cipher: &'a FieldCipher,
    column: EnvelopedColumn,
    active: DataKeyId,
    after: Uuid,
}

type Row = (Uuid, Option<Vec<u8>>, Option<String>);

/// Values that are to be encrypted, as they were read.
pub struct Batch(Vec<Row>);

impl<'a> Reencryption<'a> {
    /// How many values one step takes, in one transaction.
    pub const STEP: u32 = 100;

    /// Of this column, towards this key.
    pub fn new(
        storage: &'a SqlStorage,
        cipher: &'a FieldCipher,
        column: EnvelopedColumn,
        active: DataKeyId,
    ) -> Self {
        Self { storage, cipher, column, active, after: Uuid::nil() }
    }

    /// Reads the next values; `None` when there are no more. They are read outside of the transaction, for looking for them may take long.
    pub async fn next(&mut self) -> Result<Option<Batch>, StoreError> {
        let rows = self.read().await?;
        let Some((last, _, _)) = rows.last() else { return Ok(None) };
        self.after = *last;
        Ok(Some(Batch(rows)))
    }

    /// Encrypts values in a transaction, which the caller commits.
    pub async fn encrypt_in(&self, tx: &mut Tx, Batch(rows): Batch) -> Result<Reencrypted, StoreError> {
        let mut done = Reencrypted::default();
        for row in rows {
            let field = Field { table: self.column.table, column: self.column.column, row: row.0.as_bytes() };
            match self.again(field, &row) {
                Ok(Some(envelope)) => {
                    done.encrypted += execute!(
                        tx.conn(),
                        AssertSqlSafe(self.update()),
                        row.0,
                        envelope.as_bytes(),
                        row.1.as_deref(),
                        row.2.as_deref(),
                    )?;
                }
                Ok(None) => {}
                Err(error) => {
                    done.unopened += 1;
                    let EnvelopedColumn { table, column, .. } = self.column;
                    tracing::warn!(table, column, row = %row.0, %error, "a value was not encrypted again");
                }
            }
        }
        Ok(done)
    }

    /// The value under the active key. An envelope goes before what an older release left beside it.
    fn again(&self, field: Field<'_>, row: &Row) -> Result<Option<Envelope>, OpenEnvelopeError> {
        match row {
            (_, Some(bytes), _) => {
                let value = self.cipher.unseal(field, &Envelope::from_stored(bytes.clone()))?;
                Ok(self.cipher.seal(field, value.expose()))
            }
            (_, None, Some(text)) => Ok(self.cipher.seal(field, text.as_bytes())),
            (_, None, None) => Ok(None),
        }
    }

    async fn read(&self) -> Result<Vec<Row>, StoreError> {
        let EnvelopedColumn { table, id, column, plain } = self.column;
        let (plain, left) = match plain {
            Some(plain) => (plain, format!("{plain} IS NOT NULL OR ")),
            None => ("CAST(NULL AS text)", String::new()),
        };
        let sql = format!(
            "SELECT {id}, {column}, {plain} FROM {table} WHERE {id} > $1 AND ({left}substr({column}, 1, {}) <> $2) \
             ORDER BY {id} LIMIT $3",
            Envelope::PREFIX
        );
        let mut conn = self.storage.read(REACH).await?;
        let prefix = self.active.envelope_prefix();
        Ok(fetch_all!(
            &mut conn,
            Row,
            AssertSqlSafe(sql.clone()),
            self.after,
            prefix.as_slice(),
            i64::from(Self::STEP)
        )?)
    }

    /// While it is what was read.
    fn update(&self) -> String {
        let EnvelopedColumn { table, id, column, plain } = self.column;
        let (empty, plain) = match plain {
            Some(plain) => (format!(", {plain} = NULL"), plain),
            None => (String::new(), "CAST(NULL AS text)"),
        };
        format!(
            "UPDATE {table} SET {column} = $2{empty} WHERE {id} = $1 AND {column} IS NOT DISTINCT FROM $3 AND {plain} IS NOT DISTINCT FROM $4"
        )
    }
}

const REACH: Reach = Reach::Platform("encrypting again");

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("values", &self.0.len()).finish()
    }
}

impl fmt::Debug for Reencryption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reencryption")
            .field("column", &self.column)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}
