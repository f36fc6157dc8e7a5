//! Every adapter in the tree, held against the contract of its port; and for every line of every contract an adapter that breaks it, to
//! see that its check notices.

mod agents;
mod auth;
mod broken;
mod core;
mod tenancy;

use std::sync::Arc;

pub(crate) use core::MemorySecrets;

use saas_core::Storage;
use saas_kit::testing::{TestDatabase, TestEngine, TestSaas};
use saas_sql::SqlStorage;

use crate::engines::open;

/// A new database with every table, and its storage.
async fn migrated(engine: TestEngine) -> (TestDatabase, SqlStorage) {
    let database = TestDatabase::create(engine).await;
    TestSaas::blueprint(&database, Arc::default(), 1, []).migrate().await.unwrap();
    let storage = open(&database).await;
    (database, storage)
}

fn shared(storage: &SqlStorage) -> Arc<dyn Storage> {
    Arc::new(storage.clone())
}

/// Makes the modules `sqlite` and `postgres` with the tests of one suite, out of a `Subject` and an `async fn subject(TestEngine)`.
macro_rules! on_each_engine {
    ($suite:path) => {
        mod sqlite {
            async fn subject() -> super::Subject {
                super::subject(saas_kit::testing::TestEngine::Sqlite).await
            }
            $suite!(subject);
        }
        mod postgres {
            async fn subject() -> super::Subject {
                super::subject(saas_kit::testing::TestEngine::Postgres).await
            }
            $suite!(subject);
        }
    };
}
use on_each_engine;
