//! Whether the product can serve.

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
    /// Looks at everything that serving needs, each within `DATABASE_HEALTH_TIMEOUT`. What failed is logged.
    pub async fn readiness(&self) -> Readiness {
        let limit = self.parts.settings.database_health_timeout.duration();
        let storage = match tokio::time::timeout(limit, self.parts.storage.ping()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(error = saas_core::fault::chain(&error), "the storage does not answer");
                false
            }
            Err(_) => {
                tracing::warn!("the storage does not answer in time");
                false
            }
        };
        let migrations =
            match tokio::time::timeout(limit, self.parts.storage.migration_status(&COMPONENTS)).await {
                Ok(Ok(status)) => status.is_current(),
                _ => false,
            };
        let signing_key =
            tokio::time::timeout(limit, self.parts.auth.signing_key_is_kept()).await.unwrap_or(false);
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
