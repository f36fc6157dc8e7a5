//! Asking whether a check notices what it is there for.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Runs a check against an adapter that breaks its line of the contract: it has to fail.
pub(super) async fn assert_noticed(line: &str, check: impl Future<Output = ()>) {
    let done = AssertUnwindSafe(check).catch_unwind().await;
    assert!(done.is_err(), "the check {line} passes although its line of the contract is broken");
}
