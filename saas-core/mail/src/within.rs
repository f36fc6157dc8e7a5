//! Time-outs by the product's clock.

use std::time::Duration;

use futures_util::future::{Either, select};
use saas_core::Clock;

/// What a future gives, unless it takes longer than `limit`.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    match select(Box::pin(future), clock.sleep(limit)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// No answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer came within {} s", .0.as_secs())]
pub(crate) struct TimedOut(pub(crate) Duration);
