//! Tokens that somebody was mailed, or is about to be, and where they are stored.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, Envelope, StoreError, Tx, UserId};

use crate::MailPurpose;

saas_core::id! {
    /// A one-time token's row. It names the row and opens nothing: the token itself is made of it by [`MailTokens`](crate::MailTokens).
    pub OneTimeTokenId
}

/// What is stored of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeToken {
    /// The row.
    pub id: OneTimeTokenId,
    /// Whose it is; nobody's where it was asked for an address that nobody may have one for.
    pub user: Option<UserId>,
    /// What it lets them do.
    pub purpose: MailPurpose,
    /// The keyed hash of the address that the user had; of an undo, of the one that they were about to have.
    pub address: [u8; 32],
    /// The other address: of a change the new one, of its undo the old one.
    pub other_address: Option<Envelope>,
    /// The master that it is derived from.
    pub key: String,
    /// The hash of its secret.
    pub hash: [u8; 32],
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
}

impl OneTimeToken {
    /// Whether it can still be used.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.used_at.is_none() && now < self.expires_at
    }
}

/// Which undos outlive the end of a user's other tokens. Whoever took an account over changes its address and its password, and must not
/// end by that what gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undos {
    /// All of them.
    Stay,
    /// Those that were made before this one: the oldest address wins.
    StayBefore(OneTimeTokenId),
    /// None.
    End,
}

/// Keeps one-time tokens.
///
/// # Contract
/// - What was inserted is read back as it was; what was not is `None`.
/// - A user's newer token of a purpose takes the place of the older one, whichever comes first, and nobody else's; undos, and tokens of
///   nobody, stand beside each other.
/// - `consume` is one conditional statement: of any number of calls for one token exactly one gets it, marked as used.
/// - It gets none that is of another purpose, has another hash, or is over.
/// - `end` removes the unused tokens of that user and of nobody else, and spares the undos that it is told to.
/// - `of_user` gives that user's tokens, newest first, at most `limit` of them.
#[async_trait]
pub trait OneTimeTokenStore: Debug + Send + Sync + 'static {
    /// Adds a token; `false` when a newer one of its purpose stands already.
    async fn insert(&self, tx: &mut Tx, token: &OneTimeToken) -> Result<bool, StoreError>;
    /// The token of that row, whatever its state.
    async fn by_id(&self, conn: &mut Conn, id: OneTimeTokenId) -> Result<Option<OneTimeToken>, StoreError>;
    /// Uses a live token up.
    async fn consume(
        &self,
        tx: &mut Tx,
        id: OneTimeTokenId,
        purpose: MailPurpose,
        hash: &[u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Option<OneTimeToken>, StoreError>;
    /// Ends what a user could still use, and tells how many that were.
    async fn end(&self, tx: &mut Tx, user: UserId, undos: Undos) -> Result<u64, StoreError>;
    /// What is stored of a user's tokens.
    async fn of_user(
        &self,
        conn: &mut Conn,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<OneTimeToken>, StoreError>;
}
