//! Work that an adapter has to do on its own, handed to whoever owns the runtime.

use std::{fmt, pin::Pin};

/// A named loop that an adapter returns beside itself: the host spawns it and tells when it ends.
///
/// It ends by itself when the adapter is dropped; dropping it first stops the adapter, which then answers that it is unavailable.
#[must_use = "the adapter does nothing until a host runs its background"]
pub struct Background {
    /// What it is, for logs and for the host's supervision.
    pub name: &'static str,
    /// The loop.
    pub future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Background {
    /// Names a loop.
    pub fn new(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { name, future: Box::pin(future) }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("name", &self.name).finish_non_exhaustive()
    }
}
