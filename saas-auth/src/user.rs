//! Users and where they are stored.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, DisplayName, Email, StoreError, Tx, UserId};

use crate::PasswordHash;

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserStatus {
    /// They may.
    Active,
    /// An operator said no; their tokens are refused too.
    Disabled,
}

impl UserStatus {
    /// The word for it in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// The status for a stored word; an unknown one, from a newer release, counts as disabled.
    pub fn from_stored(word: &str) -> Self {
        if word == "active" { Self::Active } else { Self::Disabled }
    }
}

/// A person with credentials.
#[derive(Debug, Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their address, which is also their name at sign-in.
    pub email: Email,
    /// How they want to be called.
    pub display_name: Option<DisplayName>,
    /// Whether they may sign in.
    pub status: UserStatus,
    /// When they proved that the address is theirs.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// When their password was found among stolen ones; none once it is changed.
    pub password_compromised_at: Option<DateTime<Utc>>,
    /// When they came.
    pub created_at: DateTime<Utc>,
}

/// A user and the hash of their password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// The hash; none when they have no password.
    pub password: Option<PasswordHash>,
}

/// Why a user was not inserted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertUserError {
    /// Another user has the address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps users.
///
/// # Contract
/// - What was inserted is read back as it was, by id and by e-mail identity; what was not is `None`.
/// - Of several `insert`s with one e-mail identity, exactly one succeeds; the others answer `EmailTaken` and leave the transaction usable.
/// - `list` answers in the order of the ids, each user once, beginning after the id given.
/// - `set_status` changes that user and nobody else, and tells whether there is such a user.
/// - `replace_hash` and `flag_compromised` do what they say only while the stored hash is the one given, and tell whether they did;
///   what is flagged is not flagged again, and a hash of the same password does not lift it.
/// - `set_password` sets or takes away that user's hash and nobody else's, and tells whether there is such a user; `replace_password` does so
///   only while the hash is the one that was read.
/// - `set_email` gives the user another address only while they have the one that was read and nobody else has the other; it is verified then.
/// - `verify_email` notes the first time that the user proved the address that they still have, and tells whether they have it.
/// - `delete` removes that user and nobody else, and tells whether there was one.
/// - `shared` holds the user until the transaction ends: a `set_status` of another transaction waits, or comes first and is seen.
#[async_trait]
pub trait UserStore: Debug + Send + Sync + 'static {
    /// Adds a user.
    async fn insert(&self, tx: &mut Tx, user: &User, password: &PasswordHash) -> Result<(), InsertUserError>;
    /// The user with that id.
    async fn by_id(&self, conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError>;
    /// The user with that id and their hash, held against changes until the transaction ends.
    async fn shared(&self, tx: &mut Tx, id: UserId) -> Result<Option<Credentials>, StoreError>;
    /// The user with that e-mail identity, and their hash.
    async fn credentials(&self, conn: &mut Conn, email: &Email) -> Result<Option<Credentials>, StoreError>;
    /// At most `limit` users by id, from the one after `after` on.
    async fn list(&self, conn: &mut Conn, after: Option<UserId>, limit: u32)
    -> Result<Vec<User>, StoreError>;
    /// Sets the status; `false` when there is no such user. Who calls it beside [`Auth`](crate::Auth)'s commands also calls
    /// [`Auth::note_change`](crate::Auth::note_change).
    async fn set_status(
        &self,
        tx: &mut Tx,
        id: UserId,
        status: UserStatus,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Stores another hash of the same password.
    async fn replace_hash(
        &self,
        tx: &mut Tx,
        id: UserId,
        stored: &PasswordHash,
        new: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Notes that the password of that hash was found among stolen ones. Whoever sets another password lifts it.
    async fn flag_compromised(
        &self,
        tx: &mut Tx,
        id: UserId,
        stored: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Sets the hash of their password, or takes it away; `false` when there is no such user.
    async fn set_password(
        &self,
        tx: &mut Tx,
        id: UserId,
        password: Option<&PasswordHash>,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Puts a hash in the place of the one that was read; `false` when another one stands there.
    async fn replace_password(
        &self,
        tx: &mut Tx,
        id: UserId,
        read: &PasswordHash,
        password: &PasswordHash,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Gives them another address, verified now; `false` when they have not `read` any more or somebody else has `new`. After `false` the
    /// transaction may be good for nothing but to be dropped.
    async fn set_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        read: &Email,
        new: &Email,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Notes that the address is theirs; `false` when they have another one.
    async fn verify_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Removes them with their sessions, memberships and tokens; `false` when there is no such user.
    async fn delete(&self, tx: &mut Tx, id: UserId) -> Result<bool, StoreError>;
}
