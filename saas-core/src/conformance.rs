//! What the conformance suites of all ports are made of.
//!
//! Every port of the product has a `# Contract` in its docs, and a suite in the crate of the port, behind the feature `conformance`,
//! with one check for each line of it. Whoever writes an adapter proves it with one macro call, which makes one test of each check:
//!
//! ```ignore
//! use saas_core::conformance::secret_store::SecretStoreSubject;
//!
//! async fn subject() -> SecretStoreSubject {
//!     // A new, empty store for each test; two clients of it stand for two replicas.
//!     let server = TestServer::start().await;
//!     let (store, elsewhere) = (MyStore::open(server.url()), MyStore::open(server.url()));
//!     SecretStoreSubject::new(Arc::new(store), Arc::new(elsewhere), || async { Vec::new() }, server)
//! }
//!
//! saas_core::secret_store_conformance!(subject);
//! ```
//!
//! The tests are `#[tokio::test]`s: the crate that calls the macro needs tokio with its features `macros` and `rt` to test with. A call
//! makes functions with fixed names, so give each its own module.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that finds a broken contract fails its test, loudly"
)]

pub mod audit_log;
pub mod clock;
pub mod entropy;
pub mod event_log;
pub mod geo_locator;
pub mod geo_service;
pub mod job_store;
pub mod mail_service;
pub mod mailer;
pub mod memberships;
pub mod rate_limiter;
pub mod secret_store;
pub mod storage;

use futures_util::future::join_all;

use crate::Reach;

const REACH: Reach = Reach::Platform("conformance");

/// Declares a suite: the list of its checks, each a private `async fn(Subject)` of the module.
///
/// It makes `LINES`, their names; `check`, which runs one by its name and panics where the adapter breaks the contract; and the macro
/// that makes a test of each. A function that is not listed is dead code, which the compiler tells.
///
/// The first argument is always `($)`, for a macro cannot write the sign into another one by itself; nor `$crate`, so the crate and the
/// module are named.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_suite {
    (($d:tt) $(#[$doc:meta])* $macro_name:ident, $crate_name:ident, $suite:ident, $subject:ty, [$($line:ident),+ $(,)?]) => {
        /// The names of the checks, in the order of the contract.
        pub const LINES: &[&str] = &[$(::std::stringify!($line)),+];

        /// Runs the check of that name.
        ///
        /// # Panics
        /// Where the adapter breaks the contract, and when no check has that name.
        pub async fn check(line: &str, subject: $subject) {
            match line {
                $(::std::stringify!($line) => $line(subject).await,)+
                _ => ::std::panic!("no check of this suite is called {line}"),
            }
        }

        $(#[$doc])*
        #[macro_export]
        macro_rules! $macro_name {
            ($d subject:path) => {
                $(
                    #[::tokio::test]
                    async fn $line() {
                        ::$crate_name::conformance::$suite::check(::std::stringify!($line), $d subject().await).await;
                    }
                )+
            };
        }
    };
}

/// Runs `count` futures beside each other and gives their outputs in the order of the numbers.
pub async fn at_once<T, F: Future<Output = T>>(count: usize, future: impl FnMut(usize) -> F) -> Vec<T> {
    join_all((0..count).map(future)).await
}
