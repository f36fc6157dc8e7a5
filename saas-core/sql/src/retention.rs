//! How long rows live. Every table of ours says it, and a test fails for one that does not.

use chrono::{DateTime, Utc};
use saas_core::{Reach, Storage, StoreError};

use crate::{SqlStorage, execute};

const REACH: Reach = Reach::Platform("retention");

/// How many rows one transaction removes: few enough that nobody waits for it.
const BATCH: i64 = 500;

/// How long the rows of a table live.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The table.
    pub table: &'static str,
    /// How long.
    pub keep: Keep,
}

/// How long rows live.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Keep {
    /// There are only so many, for this reason.
    Bounded(&'static str),
    /// As long as what they belong to, which removes them: so it says.
    WithOwner(&'static str),
    /// Whoever writes them removes them after this.
    ByWriter(&'static str),
    /// Until they are older than the host says.
    Until(Purge),
}

/// What removes old rows.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// What is removed, in a word: the host keeps how long each lives by it.
    pub what: &'static str,
    /// `DELETE` of at most `$2` rows that are older than the moment `$1`.
    pub delete: &'static str,
}

/// What this crate's tables keep.
pub const RETENTION: &[Retention] = &[
    Retention { table: "saas_secrets", keep: Keep::Bounded("one row for each secret of the product") },
    Retention { table: "saas_deployment", keep: Keep::Bounded("one row") },
    Retention {
        table: "saas_events",
        keep: Keep::ByWriter(
            "trimmed to the bounds of the topic's family; removed with what the topic is of",
        ),
    },
    Retention { table: "saas_event_trims", keep: Keep::WithOwner("removed with what the topic is of") },
    Retention {
        table: "saas_audit",
        keep: Keep::WithOwner(
            "removed with its tenant, whose last hash stays; what is nobody's, by the host's purge",
        ),
    },
    Retention { table: "saas_audit_heads", keep: Keep::Bounded("one row for each tenant that there was") },
    Retention { table: "saas_schedules", keep: Keep::Bounded("one row for each schedule of a program") },
    Retention {
        table: "saas_jobs",
        keep: Keep::Until(Purge {
            what: "dead_jobs",
            delete: "DELETE FROM saas_jobs WHERE id IN \
                     (SELECT id FROM saas_jobs WHERE state = 'dead' AND created_at < $1 ORDER BY id LIMIT $2)",
        }),
    },
];

impl SqlStorage {
    /// Removes what is older than `before`, in small transactions, and tells how many rows that were.
    pub async fn purge(&self, purge: &Purge, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let mut tx = self.begin(REACH).await?;
            let rows = execute!(tx.conn(), purge.delete, before, BATCH)?;
            tx.commit().await?;
            removed += rows;
            if rows < BATCH.unsigned_abs() {
                return Ok(removed);
            }
        }
    }
}
