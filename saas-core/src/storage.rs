//! Storage: one transaction can span every domain, and an embedder's own tables beside them.

use std::{any::Any, error::Error, fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{ErrorKind, Fault, Report, TenantId};

/// Why the storage did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A store was given a connection that another adapter opened.
    #[error("the connection belongs to another storage")]
    ForeignConnection,
    /// The queue for a writer or for a connection did not move in time.
    #[error(
        "the storage is busy: waited in vain for {holder}; a command that begins a transaction while it holds one waits for itself"
    )]
    Busy {
        /// What was waited for: whoever holds the writer, or a connection.
        holder: String,
    },
    /// The database cannot be reached, or has no connection left.
    #[error("the storage is not reachable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Another transaction got in between; the same command may succeed when tried again.
    #[error("the storage gave way to another transaction")]
    Contended(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else.
    #[error("the storage failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault for StoreError {
    /// [`ErrorKind::Unavailable`] for what passes by itself, [`ErrorKind::Internal`] for the rest.
    fn report(&self) -> Report<'_> {
        match self {
            Self::Busy { .. } | Self::Unavailable(_) | Self::Contended(_) => {
                Report::new(ErrorKind::Unavailable, "unavailable").with_retry_after(Duration::from_secs(1))
            }
            Self::ForeignConnection | Self::Backend(_) => Report::internal(),
        }
    }
}

/// How far a connection reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One tenant's rows.
    Tenant(TenantId),
    /// Rows of every tenant, or of none; the text says why.
    Platform(&'static str),
}

/// What an adapter puts into a [`Conn`]; its stores take it out again.
pub trait Connection: Any + Debug + Send {}

/// What an adapter puts into a [`Tx`]. Dropping it rolls back.
#[async_trait]
pub trait TxConnection: Any + Debug + Send {
    /// The connection that the transaction runs on.
    fn conn(&mut self) -> &mut Conn;
    /// Commits.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A connection to read on.
#[derive(Debug)]
pub struct Conn(Box<dyn Connection>);

impl Conn {
    /// Wraps an adapter's connection.
    pub fn new(connection: impl Connection) -> Self {
        Self(Box::new(connection))
    }

    /// The adapter's connection, lent.
    pub fn downcast_mut<C: Connection>(&mut self) -> Result<&mut C, StoreError> {
        let any: &mut dyn Any = &mut *self.0;
        any.downcast_mut().ok_or(StoreError::ForeignConnection)
    }

    /// The adapter's connection, taken out.
    pub fn downcast<C: Connection>(self) -> Result<C, StoreError> {
        let any: Box<dyn Any> = self.0;
        any.downcast().map(|boxed| *boxed).map_err(|_| StoreError::ForeignConnection)
    }
}

/// What happens once a transaction is committed, and never before: waking a worker, dropping a cached row.
///
/// It may not fail and may be lost with the process: whatever it wakes also polls.
pub type AfterCommit = Box<dyn FnOnce() + Send>;

/// A transaction. Dropping it rolls back; only who owns it can commit.
pub struct Tx {
    inner: Box<dyn TxConnection>,
    after_commit: Vec<AfterCommit>,
}

impl Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("inner", &self.inner)
            .field("after_commit", &self.after_commit.len())
            .finish()
    }
}

impl Tx {
    /// Wraps an adapter's transaction.
    pub fn new(tx: impl TxConnection) -> Self {
        Self { inner: Box::new(tx), after_commit: Vec::new() }
    }

    /// Lends the connection: what was written so far can be read on it.
    pub fn conn(&mut self) -> &mut Conn {
        self.inner.conn()
    }

    /// Keeps `effect` until the commit; a roll-back drops it.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(effect));
    }

    /// Commits, then runs what waited for it.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        for effect in self.after_commit {
            effect();
        }
        Ok(())
    }

    /// The adapter's transaction and the effects that wait for its commit, for an adapter that hands it back to an embedder.
    pub fn into_parts(self) -> (Box<dyn TxConnection>, Vec<AfterCommit>) {
        (self.inner, self.after_commit)
    }
}

/// Opens connections and transactions.
///
/// # Contract
/// - A [`Conn`] from `read` cannot write: the attempt fails.
/// - What a [`Tx`] wrote is seen on it, by nobody else before its commit, and by everybody after it.
/// - Dropping a [`Tx`] undoes all of it, and the next one can begin.
/// - `begin` waits for a writer.
/// - It waits no longer than its time-out and then fails with [`StoreError::Busy`]: a nested `begin` errors, it never hangs.
/// - A commit that succeeds says so, and the effects that wait for it run then, in their order; after a roll-back none does.
/// - After a crash, a transaction is there whole or not at all; one that was committed is there.
/// - What the one statement of `begin_single` wrote is there after its commit, and its effects run then.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// A pooled connection that cannot write.
    async fn read(&self, reach: Reach) -> Result<Conn, StoreError>;
    /// A transaction that can.
    async fn begin(&self, reach: Reach) -> Result<Tx, StoreError>;
    /// A transaction of one statement that writes, which an engine may commit as soon as it has run: that saves two round trips. What is
    /// read before it may be older than the statement. Whoever asks for it commits right after the statement; what dropping it then does
    /// instead is open.
    async fn begin_single(&self, reach: Reach) -> Result<Tx, StoreError> {
        self.begin(reach).await
    }
}
