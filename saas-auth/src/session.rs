//! Sessions, each of which is also a refresh token's family, and where they are stored.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, Envelope, Field, Page, Secret, SessionId, StoreError, TenantId, Tx, UserId};

use crate::{AuthMethods, Device, Lineage, User};

/// A sign-in on one device in one tenant.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id, `sid` in tokens; an identifier, never a credential.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// In which tenant.
    pub tenant: TenantId,
    /// Raised when what its access tokens say stops being true; tokens of an older version are refused.
    pub version: i64,
    /// When the user signed in.
    pub created_at: DateTime<Utc>,
    /// When they last proved who they are: `auth_time` in tokens.
    pub authenticated_at: DateTime<Utc>,
    /// What they proved it with, in all.
    pub methods: AuthMethods,
    /// When it was last refreshed.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends unless it is refreshed before.
    pub idle_expires_at: DateTime<Utc>,
    /// When it ends whatever happens.
    pub absolute_expires_at: DateTime<Utc>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The program.
    pub device: Device,
    /// What the program said it is.
    pub user_agent: Option<String>,
    /// The address, with its end hidden and in an envelope: [`Auth::address_of`](crate::Auth::address_of) opens it.
    pub address: Option<Envelope>,
    /// Where that is, in an envelope: [`Auth::place_of`](crate::Auth::place_of) opens it. `None` until somebody has looked, and where nobody
    /// knows.
    pub place: Option<Envelope>,
    /// A keyed hash of address and program: equal for equal ones, and tells nothing else.
    pub fingerprint: Option<String>,
}

impl Session {
    /// Where a session's address stands.
    pub(crate) const fn address_field(id: &[u8]) -> Field<'_> {
        Field { table: "saas_sessions", column: "address_envelope", row: id }
    }

    /// Where a session's place stands.
    pub(crate) const fn place_field(id: &[u8]) -> Field<'_> {
        Field { table: "saas_sessions", column: "place_envelope", row: id }
    }

    /// When its refresh token ends.
    pub fn refresh_expires_at(&self) -> DateTime<Utc> {
        self.idle_expires_at.min(self.absolute_expires_at)
    }
}

/// The refresh token's side of a session.
#[derive(Debug, Clone)]
pub struct Family {
    /// The session that it belongs to.
    pub session: Session,
    /// The client that the tokens were given to; they are refused from another one.
    pub client_id: String,
    /// Which master its tokens are derived from.
    pub key_id: String,
    /// What makes its tokens differ from every other family's.
    pub salt: Vec<u8>,
    /// The generation of the one live token; it only grows.
    pub generation: i64,
    /// When that generation began.
    pub rotated_at: DateTime<Utc>,
}

impl Family {
    /// The generation of the tokens that a session begins with.
    pub(crate) const FIRST: i64 = 1;

    /// What its live token is derived from.
    pub(crate) fn lineage(&self) -> Lineage {
        let Session { id, user, tenant, .. } = self.session;
        Lineage {
            session: id,
            user,
            tenant,
            generation: self.generation,
            key_id: self.key_id.clone(),
            salt: Secret::new(self.salt.clone()),
        }
    }
}

/// A generation of a family to exchange for the next one.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    /// The session.
    pub session: SessionId,
    /// Whose it has to be.
    pub user: UserId,
    /// The tenant that it has to be in.
    pub tenant: TenantId,
    /// The client that it has to be of.
    pub client_id: &'a str,
    /// The salt that it has to have.
    pub salt: &'a [u8],
    /// The generation that has to be the live one.
    pub generation: i64,
    /// The present.
    pub now: DateTime<Utc>,
    /// When the session ends unless it is refreshed again.
    pub idle_expires_at: DateTime<Utc>,
}

/// A session that is in use without being refreshed, as browsers' are.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    /// The session.
    pub session: SessionId,
    /// The version that it has to have.
    pub version: i64,
    /// The present.
    pub now: DateTime<Utc>,
    /// When it ends unless it is used again.
    pub idle_expires_at: DateTime<Utc>,
    /// When it has to have been seen last, or earlier: what is newer is left as it is.
    pub last_seen_before: DateTime<Utc>,
}

/// What is not known of a family before it is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The session's version.
    pub version: i64,
    /// Which master its tokens are derived from.
    pub key_id: String,
    /// When the user last proved who they are.
    pub authenticated_at: DateTime<Utc>,
    /// What they proved it with.
    pub methods: AuthMethods,
    /// When the session ends whatever happens.
    pub absolute_expires_at: DateTime<Utc>,
    /// Whether its user's address is verified.
    pub email_verified: bool,
    /// Whether their password was found among stolen ones.
    pub password_compromised: bool,
}

/// That a user proved again who they are, in a session of theirs.
#[derive(Debug, Clone, Copy)]
pub struct Reauthentication {
    /// The session.
    pub session: SessionId,
    /// Whose it has to be.
    pub user: UserId,
    /// All that they proved it with, from now on.
    pub methods: AuthMethods,
    /// The present.
    pub now: DateTime<Utc>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The user signed out of it.
    Logout,
    /// The user signed out everywhere.
    LogoutAll,
    /// The user signed out everywhere else.
    LogoutOthers,
    /// The user ended it from the list.
    Listed,
    /// A refresh token of it came back after its time: somebody else may hold one.
    RefreshReuse,
    /// The user was disabled.
    UserDisabled,
    /// The user changed their password.
    PasswordChange,
    /// The user set a new password by a mailed token.
    PasswordReset,
    /// The user took their old address back.
    EmailChangeUndone,
    /// An operator removed the user's second factor.
    FactorRemoved,
}

impl Revocation {
    /// The word for it in storage and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::LogoutOthers => "logout_others",
            Self::Listed => "revoked_from_list",
            Self::RefreshReuse => "refresh_reuse",
            Self::UserDisabled => "user_disabled",
            Self::PasswordChange => "password_change",
            Self::PasswordReset => "password_reset",
            Self::EmailChangeUndone => "email_change_undone",
            Self::FactorRemoved => "factor_removed",
        }
    }
}

/// What deciding a request needs of a session, in one read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Whose session it is, as they are now.
    pub user: User,
    /// In which tenant.
    pub tenant: TenantId,
    /// Its version now.
    pub version: i64,
    /// When the user last proved who they are.
    pub authenticated_at: DateTime<Utc>,
    /// What they proved it with.
    pub methods: AuthMethods,
    /// Whether it was ended.
    pub revoked: bool,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SessionFilter {
    /// Those of one tenant.
    pub tenant: Option<TenantId>,
    /// Those that ended, too.
    pub include_ended: bool,
}

impl SessionFilter {
    /// The live sessions in every tenant.
    pub fn live() -> Self {
        Self::default()
    }

    /// Those of `tenant` alone.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Option<TenantId>) -> Self {
        self.tenant = tenant;
        self
    }

    /// With those that ended, if `yes`.
    #[must_use]
    pub fn with_ended(mut self, yes: bool) -> Self {
        self.include_ended = yes;
        self
    }
}

/// Where a page of sessions begins.
#[derive(Debug, Clone)]
pub enum PageStart {
    /// After the session with this key.
    After(DateTime<Utc>, SessionId),
    /// After so many sessions: what the earlier API's clients ask for.
    Offset(u32),
}

/// One page of sessions, last seen first.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions, and where the next page begins.
    pub page: Page<Session>,
    /// How many there are on all pages.
    pub total: i64,
}

/// Keeps sessions.
///
/// # Contract
/// - What was inserted is read back as it was, with its user; what was not is `None`.
/// - `rotate` is one conditional statement: of any number of calls for one generation exactly one moves the family on, and none does so
///   for a session that was revoked or has expired.
/// - It moves only the family that all of the rotation names, of a user who is active, and tells whether their address is verified.
/// - `switch` is such a rotation, which takes the session to another tenant and raises its version by one, too.
/// - `touch` moves when a live session of that version was seen last, and its idle end, unless it was seen after the moment that is named;
///   nothing else of it changes, and its absolute end least of all.
/// - `set_place` notes where a session was opened, in that session alone, whether or not it has ended; it tells whether it is there.
/// - `revoke`, `revoke_all` and `revoke_others` never change a session that is revoked already: its first end stays, and they do not count it.
/// - `revoke_others` leaves the one session alone that it is to keep.
/// - A session of another user is not listed and not revoked.
/// - `snapshot` shows what was committed last, of the session and of its user; it ends at the earlier of its two ends.
/// - `snapshots` shows the same of each session that is there, once, in any order, and of no other.
/// - `authenticate_again` notes time and methods in a live session of that user and raises its version, in that session alone.
/// - `guess` is one conditional statement: in a live session of that user it lets so many guesses through and no more, however many come at
///   once, until `authenticate_again` ends them.
/// - `list` gives each session that the filter lets through once, last seen first and then by id, greatest first; `count` agrees with it.
#[async_trait]
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// Adds a session.
    async fn insert(&self, tx: &mut Tx, family: &Family) -> Result<(), StoreError>;
    /// The family of a session and its user, whatever their state.
    async fn family(&self, conn: &mut Conn, id: SessionId) -> Result<Option<(Family, User)>, StoreError>;
    /// Moves a live family from its generation to the next one.
    async fn rotate(&self, tx: &mut Tx, rotation: &Rotation<'_>) -> Result<Option<Rotated>, StoreError>;
    /// Moves a live family from its generation to the next one, in tenant `to`.
    async fn switch(
        &self,
        tx: &mut Tx,
        rotation: &Rotation<'_>,
        to: TenantId,
    ) -> Result<Option<Rotated>, StoreError>;
    /// Notes that a session is in use; `false` when there was nothing to note.
    async fn touch(&self, tx: &mut Tx, touch: &Touch) -> Result<bool, StoreError>;
    /// Notes where a session was opened; `false` when there is no such session.
    async fn set_place(&self, tx: &mut Tx, id: SessionId, place: &Envelope) -> Result<bool, StoreError>;
    /// Ends a session of `user`; `false` when it is not there, another's, or ended already.
    async fn revoke(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Ends all sessions of `user` and tells how many there were.
    async fn revoke_all(
        &self,
        tx: &mut Tx,
        user: UserId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError>;
    /// Ends all sessions of `user` but `kept` and tells how many there were.
    async fn revoke_others(
        &self,
        tx: &mut Tx,
        user: UserId,
        kept: SessionId,
        why: Revocation,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError>;
    /// Notes that the user proved again who they are; `false` when there is no such live session.
    async fn authenticate_again(&self, tx: &mut Tx, again: &Reauthentication) -> Result<bool, StoreError>;
    /// Counts a guess at who the user is, before it is compared; `false` when it must not be.
    async fn guess(
        &self,
        tx: &mut Tx,
        user: UserId,
        id: SessionId,
        most: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// What deciding a request needs.
    async fn snapshot(&self, conn: &mut Conn, id: SessionId) -> Result<Option<Snapshot>, StoreError>;
    /// The same of many sessions in one read.
    async fn snapshots(
        &self,
        conn: &mut Conn,
        ids: &[SessionId],
    ) -> Result<Vec<(SessionId, Snapshot)>, StoreError>;
    /// At most `limit` of `user`'s sessions, last seen first.
    async fn list(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        start: &PageStart,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Session>, StoreError>;
    /// How many `list` would give on all pages.
    async fn count(
        &self,
        conn: &mut Conn,
        user: UserId,
        filter: &SessionFilter,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError>;
}
