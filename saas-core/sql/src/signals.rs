//! Waking other processes on the same database, where it can: PostgreSQL's `NOTIFY`, after the commit, coalesced, on connections of its own.
//!
//! A signal says that it is worth looking now, and may be lost: whoever waits for one looks every second in any case.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use saas_core::{Background, Clock, Entropy, id::uuid_v7};
use tokio::sync::Notify;

use crate::{SqlStorage, storage::Pools};

/// What is called when a signal is heard, with what it is about, or with nothing when it may be about anything.
type Listener = Arc<dyn Fn(Option<&str>) + Send + Sync>;

/// Raises signals in this process and hears those of the others. Cloning shares it.
#[derive(Clone)]
pub struct Signals(Arc<Shared>);

struct Shared {
    /// Tells this process's signals from the others'.
    process: String,
    /// What was raised and not sent yet: `name` or `name:about`.
    raised: Mutex<BTreeSet<String>>,
    more: Notify,
    /// Whether anybody could hear: on SQLite, nobody.
    carried: bool,
    listeners: Mutex<HashMap<&'static str, Listener>>,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("carried", &self.0.carried).finish_non_exhaustive()
    }
}

impl Signals {
    /// Signals over a database, and the loop that sends and hears them. Without the loop, and on SQLite, nothing is sent.
    ///
    /// The loop takes two connections beside the pools, and ends with whoever drives it.
    pub fn new(storage: &SqlStorage, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> (Self, Background) {
        let shared = Arc::new(Shared {
            process: uuid_v7(&*clock, entropy).simple().to_string(),
            raised: Mutex::default(),
            more: Notify::new(),
            carried: carries(&storage.pools),
            listeners: Mutex::default(),
        });
        let carrying = carry(storage.pools.clone(), Arc::clone(&shared), clock);
        (Self(shared), Background::new("signals", carrying))
    }

    /// Tells the other processes that it is worth looking. For after a commit: what is not committed, they would not see.
    pub fn raise(&self, name: &'static str) {
        self.0.raise(name.to_owned());
    }

    /// As [`Signals::raise`], with what it is about: a word without spaces.
    pub fn raise_about(&self, name: &'static str, about: &str) {
        self.0.raise(format!("{name}:{about}"));
    }

    /// Calls `listener` whenever another process has raised that signal, or may have: with what it is about, if that is known. A second
    /// listener of a name replaces the first. It must not wait.
    pub fn hear(&self, name: &'static str, listener: impl Fn(Option<&str>) + Send + Sync + 'static) {
        self.0.listeners().insert(name, Arc::new(listener));
    }
}

impl Shared {
    fn raised(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, HashMap<&'static str, Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self, signal: String) {
        if self.carried && self.raised().insert(signal) {
            self.more.notify_one();
        }
    }
}

fn carries(pools: &Pools) -> bool {
    match pools {
        #[cfg(feature = "postgres")]
        Pools::Postgres { .. } => true,
        #[cfg(feature = "sqlite")]
        Pools::Sqlite { .. } => false,
    }
}

#[cfg(not(feature = "postgres"))]
async fn carry(_: Pools, _: Arc<Shared>, _: Arc<dyn Clock>) {
    std::future::pending().await
}

#[cfg(feature = "postgres")]
use postgres::carry;

#[cfg(feature = "postgres")]
mod postgres {
    use std::{convert::Infallible, pin::pin, time::Duration};

    use futures_util::future::{Either, select};
    use sqlx::{
        PgPool,
        postgres::{PgListener, PgPoolOptions},
    };

    use super::{Arc, Clock, Pools, Shared};

    const CHANNEL: &str = "saas_signals";

    /// How long signals gather after some were sent: every `NOTIFY` takes a lock that all commits with one share.
    const GATHER: Duration = Duration::from_millis(10);

    /// How long until the next attempt, when the connection is lost.
    const AGAIN: Duration = Duration::from_secs(1);

    /// PostgreSQL takes fewer than 8,000 bytes in one notification.
    const BYTES: usize = 7_900;

    pub(super) async fn carry(pools: Pools, shared: Arc<Shared>, clock: Arc<dyn Clock>) {
        let write = match pools {
            Pools::Postgres { write, .. } => write,
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => return std::future::pending().await,
        };
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(write.options().get_acquire_timeout())
            .connect_lazy_with((*write.connect_options()).clone());
        drop(write);
        loop {
            let listening = pin!(listen(&shared, &pool));
            let sending = pin!(send(&shared, &pool, &*clock));
            let lost = match select(listening, sending).await {
                Either::Left((Err(error), _)) | Either::Right((Err(error), _)) => error,
            };
            tracing::debug!(error = %lost, "signals are not carried: everybody looks each second meanwhile");
            clock.sleep(AGAIN).await;
        }
    }

    async fn listen(shared: &Shared, pool: &PgPool) -> Result<Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        // What was raised while nobody listened is not told again.
        shared.hear_anything();
        loop {
            match listener.try_recv().await? {
                Some(notification) => shared.hear(notification.payload()),
                None => shared.hear_anything(),
            }
        }
    }

    async fn send(shared: &Shared, pool: &PgPool, clock: &dyn Clock) -> Result<Infallible, sqlx::Error> {
        loop {
            shared.more.notified().await;
            while let Some(text) = shared.next() {
                sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text).execute(pool).await?;
            }
            clock.sleep(GATHER).await;
        }
    }

    impl Shared {
        /// As many of the raised signals as one notification takes, after the process's name.
        fn next(&self) -> Option<String> {
            let mut raised = self.raised();
            let mut text = self.process.clone();
            while let Some(signal) = raised.first() {
                if text.len() + 1 + signal.len() > BYTES && text.len() > self.process.len() {
                    break;
                }
                text.push(' ');
                text.push_str(signal);
                raised.pop_first();
            }
            (text.len() > self.process.len()).then_some(text)
        }

        /// What another process has raised.
        pub(super) fn hear(&self, text: &str) {
            let mut words = text.split(' ');
            if words.next() == Some(&self.process) {
                return;
            }
            for signal in words {
                let (name, about) = match signal.split_once(':') {
                    Some((name, about)) => (name, Some(about)),
                    None => (signal, None),
                };
                let listener = self.listeners().get(name).cloned();
                if let Some(listener) = listener {
                    listener(about);
                }
            }
        }

        /// Anything may have been raised.
        fn hear_anything(&self) {
            let listeners: Vec<_> = self.listeners().values().cloned().collect();
            for listener in listeners {
                listener(None);
            }
        }
    }
}
