//! Running one test on both engines.

use saas_kit::testing::TestDatabase;
use saas_sql::{SqlOptions, SqlStorage};

/// Makes two tests, `sqlite::<name>` and `postgres::<name>`, of each function:
///
/// ```ignore
/// on_both_engines! {
///     async fn a_committed_row_is_seen(engine: TestEngine) {
///         let database = TestDatabase::create(engine).await;
///     }
/// }
/// ```
///
/// Once per module: the two modules that it makes have fixed names.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($engine:ident: TestEngine) $body:block)+) => {
        $($(#[$attribute])* async fn $name($engine: saas_kit::testing::TestEngine) $body)+

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(saas_kit::testing::TestEngine::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(saas_kit::testing::TestEngine::Postgres).await;
            })+
        }
    };
}

/// The options that open `database`.
pub(crate) fn options(database: &TestDatabase) -> SqlOptions {
    SqlOptions::new(database.url()).expect("a test database has a valid URL")
}

/// Opens `database` with the defaults.
pub(crate) async fn open(database: &TestDatabase) -> SqlStorage {
    SqlStorage::open(&options(database)).await.expect("a test database opens")
}
