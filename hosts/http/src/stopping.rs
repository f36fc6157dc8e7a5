//! What a server that stops tells its handlers.

use std::{convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio_util::sync::CancellationToken;

use crate::arrival::Arrival;

/// Whether the server stops, as a request's handler sees it. Under a server of somebody else's it never does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(Arc<Stages>);

#[derive(Debug, Default)]
struct Stages {
    begun: CancellationToken,
    streams_over: CancellationToken,
}

impl Stopping {
    /// From here on the server is not ready.
    pub(crate) fn begin(&self) {
        self.0.begun.cancel();
    }

    /// From here on streams end.
    pub(crate) fn end_streams(&self) {
        self.0.streams_over.cancel();
    }

    /// Whether the server was told to stop.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Waits until streams have to end.
    pub(crate) async fn streams_over(&self) {
        self.0.streams_over.cancelled().await;
    }
}

impl<S: Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().and_then(|arrival: &Arrival| arrival.stopping.clone()).unwrap_or_default())
    }
}
