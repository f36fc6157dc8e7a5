//! Personal data at rest: which columns hold envelopes, their keys, and how they come under a new one.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use saas_core::{
    Actor, ErrorKind, Fault, FieldCipher, Principal, Reach, Report, Storage, StoreError,
    audit::{AuditEvent, AuditSubject, VALUES_REENCRYPTED},
    clock::stored_now,
    envelope::{DataKeyId, DataKeysError, KeyRotation},
};
use saas_sql::{EnvelopedColumn, Reencrypted, Reencryption};

use crate::Saas;

const REACH: Reach = Reach::Platform("encrypting again");

/// Every column that holds envelopes. One that is not here is not encrypted again.
pub const ENVELOPED: &[EnvelopedColumn] = &[
    saas_auth_sql::SESSION_ADDRESS,
    saas_auth_sql::SESSION_PLACE,
    saas_auth_sql::TOKEN_ADDRESS,
    saas_auth_sql::TOTP_SEED,
];

/// What encrypting again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReencryptReport {
    /// The key that everything is encrypted with now.
    pub key: DataKeyId,
    /// Each column.
    pub columns: Vec<(EnvelopedColumn, Reencrypted)>,
}

impl ReencryptReport {
    /// All columns together.
    pub fn total(&self) -> Reencrypted {
        self.columns.iter().fold(Reencrypted::default(), |sum, (_, column)| Reencrypted {
            encrypted: sum.encrypted + column.encrypted,
            unopened: sum.unopened + column.unopened,
        })
    }
}

/// Why not everything was encrypted again. What was done stays done; another call goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReencryptError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// The newest key is not active yet.
    #[error("the data key {key} is new and becomes active at {}: encrypt again after that", active_from.to_rfc3339_opts(SecondsFormat::AutoSi, true))]
    NotDue {
        /// The key.
        key: DataKeyId,
        /// When every server knows it.
        active_from: DateTime<Utc>,
    },
    /// There is no usable keyring.
    #[error(transparent)]
    Keys(#[from] DataKeysError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for ReencryptError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotDue { .. } => Report::new(ErrorKind::Conflict, "data_key_not_active"),
            Self::Keys(error) => error.report(),
            Self::Store(error) => error.report(),
        }
    }
}

impl Saas {
    /// What encrypts personal data at rest, for columns of your own, too.
    pub fn fields(&self) -> &Arc<FieldCipher> {
        &self.parts.fields
    }

    /// Adds a data key, which every server encrypts with as soon as all have heard of it. What is stored stays under its key until it is
    /// [encrypted again](Saas::reencrypt). For operators; it is recorded in the audit log.
    pub async fn rotate_data_keys(&self, actor: &Actor) -> Result<KeyRotation, DataKeysError> {
        self.parts.fields.rotate(&self.parts.audit, actor).await
    }

    /// Brings every value of [`ENVELOPED`] under the active data key, a few rows at a time and safe beside servers that write. A call that
    /// ends early has lost nothing. For operators; the first transaction of a call that changes a value records it in the audit log.
    pub async fn reencrypt(&self, actor: &Actor) -> Result<ReencryptReport, ReencryptError> {
        if !matches!(actor.principal, Principal::System(_)) {
            return Err(ReencryptError::Forbidden);
        }
        let (fields, now) = (&*self.parts.fields, stored_now(&*self.parts.clock));
        fields.reload().await?;
        let keys = fields.keys();
        let (key, active_from) = keys.newest().ok_or(DataKeysError::Gone)?;
        // Nothing is older than a first key, whatever the clocks say.
        if keys.active(now) != Some(key) {
            return Err(ReencryptError::NotDue { key, active_from });
        }
        let mut columns = Vec::with_capacity(ENVELOPED.len());
        let mut unrecorded =
            Some(AuditEvent::new(VALUES_REENCRYPTED).about(AuditSubject::new("data_key", key)));
        for &column in ENVELOPED {
            let (mut sum, mut work) =
                (Reencrypted::default(), Reencryption::new(&self.parts.storage, fields, column, key));
            while let Some(batch) = work.next().await? {
                let mut tx = self.parts.storage.begin(REACH).await?;
                let done = work.encrypt_in(&mut tx, batch).await?;
                if done.encrypted > 0
                    && let Some(event) = unrecorded.take()
                {
                    self.parts.audit.record(&mut tx, actor, event).await?;
                }
                tx.commit().await?;
                sum.encrypted += done.encrypted;
                sum.unopened += done.unopened;
            }
            columns.push((column, sum));
        }
        Ok(ReencryptReport { key, columns })
    }
}
