//! Whether the product can serve.

use std::time::Duration;

use saas_core::StoreError;

use crate::{Saas, blueprint::COMPONENTS};

/// One thing that serving needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
}

/// What serving needs, and whether all of it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Storage, migrations, signing key.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// Whether everything is there.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

impl Saas {
    /// Looks at everything that serving needs, at once and within `DATABASE_HEALTH_TIMEOUT`. What failed is logged.
    ///
    /// A pool whose connections are all in use is one that works, as long as the server behind it answers: that is asked on a connection
    /// beside it, and nothing else.
    pub async fn readiness(&self) -> Readiness {
        let limit = self.parts.settings.database_health_timeout.duration();
        let (storage, migrations, signing_key) = if self.parts.storage.is_full() {
            let answers = in_time(limit, self.parts.storage.ping_beside()).await;
            (answers, answers, answers)
        } else {
            let looks = async {
                tokio::join!(
                    in_time(limit, self.parts.storage.ping()),
                    tokio::time::timeout(limit, self.parts.storage.migration_status(&COMPONENTS)),
                    tokio::time::timeout(limit, self.parts.auth.signing_key_is_kept()),
                )
            };
            let (storage, migrations, signing_key) = looks.await;
            let migrations = matches!(migrations, Ok(Ok(status)) if status.is_current());
            (storage, migrations, signing_key.unwrap_or(false))
        };
        let check = |name, ok| Check { name, ok };
        Readiness {
            checks: vec![
                check("storage", storage),
                check("migrations", migrations),
                check("signing_key", signing_key),
            ],
        }
    }
}

/// Whether the storage answered in time.
async fn in_time(limit: Duration, look: impl Future<Output = Result<(), StoreError>>) -> bool {
    match tokio::time::timeout(limit, look).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(error = saas_core::fault::chain(&error), "the storage does not answer");
            false
        }
        Err(_) => {
            tracing::warn!("the storage does not answer in time");
            false
        }
    }
}
