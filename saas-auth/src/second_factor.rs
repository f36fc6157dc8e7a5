//! Second factors: what is kept of them, and who has to have one.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, Envelope, Field, Role, StoreError, Tx, UserId};

/// Who has to have a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SecondFactorPolicy {
    /// Nobody; whoever has one is asked for it.
    #[default]
    Optional,
    /// Admins and owners of a tenant.
    RequiredForAdmins,
    /// Everybody.
    Required,
}

impl SecondFactorPolicy {
    /// Whether somebody in this role has to have one.
    pub fn requires(self, role: Role) -> bool {
        match self {
            Self::Optional => false,
            Self::RequiredForAdmins => role >= Role::Admin,
            Self::Required => true,
        }
    }
}

/// An authenticator app as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    /// Whose it is.
    pub user: UserId,
    /// The seed, in an envelope of this row and its user.
    pub seed: Envelope,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When its first code proved that the app has the seed; until then it counts for nothing.
    pub confirmed_at: Option<DateTime<Utc>>,
}

impl Factor {
    /// Where a user's seed stands.
    pub(crate) const fn seed_field(user: &[u8]) -> Field<'_> {
        Field { table: "saas_second_factors", column: "seed_envelope", row: user }
    }
}

/// Keeps second factors and recovery codes.
///
/// # Contract
/// - `begin` puts a factor in the place of one that is not confirmed, and changes nothing where one is; what was put is read back as it was.
/// - `confirm` confirms the factor that was begun at that moment, once, and takes its step as used.
/// - `use_step` takes a step of a confirmed factor that is later than all before it; of any number of calls for one step one is told `true`.
/// - `replace_codes` leaves those codes and no others; `use_code` takes one of that user's once, whoever asks at the same time.
/// - `remove` takes the factor and the codes of that user and nobody else's, and gives what was there.
#[async_trait]
pub trait SecondFactorStore: Debug + Send + Sync + 'static {
    /// Begins a factor that is not confirmed; `false` where a confirmed one is.
    async fn begin(
        &self,
        tx: &mut Tx,
        user: UserId,
        seed: &Envelope,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// The user's factor.
    async fn factor(&self, conn: &mut Conn, user: UserId) -> Result<Option<Factor>, StoreError>;
    /// Confirms the factor that was begun at `begun`.
    async fn confirm(
        &self,
        tx: &mut Tx,
        user: UserId,
        begun: DateTime<Utc>,
        step: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Uses a step; `false` when it or a later one was used.
    async fn use_step(&self, tx: &mut Tx, user: UserId, step: i64) -> Result<bool, StoreError>;
    /// Puts these hashes of codes in the place of all that there are.
    async fn replace_codes(
        &self,
        tx: &mut Tx,
        user: UserId,
        hashes: &[[u8; 32]],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError>;
    /// Uses the code with that hash; `false` when there is none.
    async fn use_code(&self, tx: &mut Tx, user: UserId, hash: &[u8; 32]) -> Result<bool, StoreError>;
    /// How many codes are left.
    async fn codes_left(&self, conn: &mut Conn, user: UserId) -> Result<i64, StoreError>;
    /// Removes the factor and the codes.
    async fn remove(&self, tx: &mut Tx, user: UserId) -> Result<Option<Factor>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_goes_by_the_role() {
        let required = |policy: SecondFactorPolicy| Role::ALL.map(|role| policy.requires(role));
        assert_eq!(required(SecondFactorPolicy::Optional), [false; 4]);
        assert_eq!(required(SecondFactorPolicy::RequiredForAdmins), [false, false, true, true]);
        assert_eq!(required(SecondFactorPolicy::Required), [true; 4]);
    }
}
