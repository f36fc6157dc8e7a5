//! The passwords that users had before, as hashes.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, StoreError, Tx, UserId};
use uuid::Uuid;

use super::PasswordHash;

/// A password that was replaced.
#[derive(Debug, Clone)]
pub struct FormerPassword {
    /// Its own id; a later one is greater.
    pub id: Uuid,
    /// Whose it was.
    pub user: UserId,
    /// Its hash.
    pub hash: PasswordHash,
    /// When another one took its place.
    pub replaced_at: DateTime<Utc>,
}

/// Keeps hashes of the passwords that users had before.
///
/// # Contract
/// - `recent` gives that user's latest ones, the last one first, at most so many, and nobody else's.
/// - `remember` keeps so many of that user's and forgets the older ones; with 0 it keeps none, the new one neither.
/// - What is remembered goes with the user.
#[async_trait]
pub trait PasswordHistory: Debug + Send + Sync + 'static {
    /// The latest ones.
    async fn recent(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<PasswordHash>, StoreError>;
    /// Adds one, and forgets all but the latest `keep`.
    async fn remember(&self, tx: &mut Tx, former: &FormerPassword, keep: u32) -> Result<(), StoreError>;
}
