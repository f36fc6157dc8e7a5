//! What the server says of its limits: one line a second for each, however often it was reached.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// A client did not send a request's head in time.
    HeadTimedOut,
    /// A request's head was larger than it may be.
    HeadTooLarge,
    /// A client did not read its answer.
    NotRead,
    /// One address has as many connections as it may.
    AddressFull,
    /// The server has as many connections as it may.
    Full,
    /// A connection could not be accepted.
    NotAccepted,
}

const KINDS: usize = 6;
const PAUSE: Duration = Duration::from_secs(1);

impl Notice {
    /// The setting to look at, and what happened.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::HeadTimedOut => {
                ("REQUEST_HEAD_TIMEOUT_SECONDS", "closed a connection: its request did not begin in time")
            }
            Self::HeadTooLarge => ("REQUEST_HEAD_LIMIT_BYTES", "refused a request: its head is too large"),
            Self::NotRead => ("WRITE_TIMEOUT_SECONDS", "ended an answer: its client does not read it"),
            Self::AddressFull => {
                ("MAX_CONNECTIONS_PER_ADDRESS", "refused a connection: its address has as many as it may")
            }
            Self::Full => (
                "MAX_CONNECTIONS",
                "as many connections are open as may be: idle ones are closed for new ones",
            ),
            Self::NotAccepted => ("MAX_CONNECTIONS", "a connection could not be accepted"),
        }
    }
}

/// Counts what happens, and says it when a second has passed since it was last said.
#[derive(Debug)]
pub(super) struct Notices {
    begun: Instant,
    kinds: [Kind; KINDS],
}

#[derive(Debug, Default)]
struct Kind {
    /// How often it happened since it was said.
    times: AtomicU64,
    /// From when on it may be said, in milliseconds.
    next: AtomicU64,
}

impl Notices {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), kinds: Default::default() }
    }

    /// Tells the operator, or remembers it for the next time.
    pub(super) fn say(&self, notice: Notice) {
        self.say_of(notice, None);
    }

    /// The same, of somebody.
    pub(super) fn say_of(&self, notice: Notice, client: Option<IpAddr>) {
        let Some(times) = self.due(notice) else { return };
        let ((limit, words), client) = (notice.words(), client.map(tracing::field::display));
        tracing::warn!(limit, times, client.address = client, "{words}");
    }

    /// How often it happened, where it may be said now.
    fn due(&self, notice: Notice) -> Option<u64> {
        let kind = &self.kinds[notice as usize];
        kind.times.fetch_add(1, Ordering::Relaxed);
        let now = millis(self.begun.elapsed());
        let next = kind.next.load(Ordering::Relaxed);
        let said = now >= next
            && kind
                .next
                .compare_exchange(next, now + millis(PAUSE), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        said.then(|| kind.times.swap(0, Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_said_once_a_second_and_counts_what_it_left_out() {
        let notices = Notices::new();
        assert_eq!(notices.due(Notice::Full), Some(1));
        assert_eq!(notices.due(Notice::NotRead), Some(1), "another kind does not wait for it");
        for _ in 0..10_000 {
            assert_eq!(notices.due(Notice::Full), None);
        }
        tokio::time::advance(PAUSE).await;
        assert_eq!(notices.due(Notice::Full), Some(10_001));
        assert_eq!(notices.due(Notice::Full), None);
    }
}
