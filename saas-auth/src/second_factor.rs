//! Second factors: what is kept of them, and who has to have one.

use std::{fmt::Debug, time::Duration};

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
    /// The seed, in an envelope of [`Factor::seed_field`].
    pub seed: Envelope,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When its first code proved that the app has the seed; until then it counts for nothing.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// How many codes were wrong since the last right one.
    pub failures: i64,
    /// When the last of them was.
    pub last_failed_at: Option<DateTime<Utc>>,
}

impl Factor {
    /// Where a user's seed stands.
    pub(crate) const fn seed_field(user: &[u8]) -> Field<'_> {
        Field { table: "saas_second_factors", column: "seed_envelope", row: user }
    }
}

/// How guesses at codes are held back: some are free, then each waits longer, then there are no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuessRules {
    /// How many wrong codes in a row nobody waits for.
    pub free: i64,
    /// How long the next ones wait, after the last; the last of these counts for all that follow.
    pub waits: [Duration; 8],
    /// How many wrong codes in a row there may be (NIST SP 800-63B-4, 3.2.2: no more than 100).
    pub most: i64,
}

impl GuessRules {
    /// Five, then 30 seconds that double up to an hour, a hundred in all.
    pub const CODES: Self = Self {
        free: 5,
        waits: [
            Duration::from_secs(30),
            Duration::from_mins(1),
            Duration::from_mins(2),
            Duration::from_mins(4),
            Duration::from_mins(8),
            Duration::from_mins(16),
            Duration::from_mins(32),
            Duration::from_hours(1),
        ],
        most: 100,
    };

    /// How long whoever failed so often has to wait from their last failure on; `None` for ever.
    pub fn wait(&self, failures: i64) -> Option<Duration> {
        if failures >= self.most {
            return None;
        }
        let over = usize::try_from(failures - self.free);
        Some(over.map_or(Duration::ZERO, |over| self.waits[over.min(self.waits.len() - 1)]))
    }
}

/// Keeps second factors and recovery codes.
///
/// # Contract
/// - `begin` puts a factor in the place of one that is not confirmed, and changes nothing where one is; what was put is read back as it was.
/// - `confirm` confirms the factor that was begun at that moment, once, and takes its step as used.
/// - `use_step` takes a step of a confirmed factor that is later than all before it; of any number of calls for one step one is told `true`. A
///   used step ends the failures.
/// - `guess` is one conditional statement that counts a failure: of any number of calls no more are let through than the rules have free, and the
///   next ones wait as the rules say; who has failed as often as may be is let through no more.
/// - `forgive` ends the failures.
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
    /// Counts a guess before it is compared; `false` when it must not be.
    async fn guess(
        &self,
        tx: &mut Tx,
        user: UserId,
        rules: &GuessRules,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
    /// Ends the failures.
    async fn forgive(&self, tx: &mut Tx, user: UserId) -> Result<(), StoreError>;
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
    fn waits_grow_to_an_hour_and_end_at_a_hundred() {
        let wait = |failures| GuessRules::CODES.wait(failures).map(|wait| wait.as_secs());
        assert_eq!([0, 4, 5, 6, 7, 12, 13, 99].map(wait), [0, 0, 30, 60, 120, 3_600, 3_600, 3_600].map(Some));
        assert_eq!([100, 101].map(wait), [None, None]);
    }

    #[test]
    fn the_policy_goes_by_the_role() {
        let required = |policy: SecondFactorPolicy| Role::ALL.map(|role| policy.requires(role));
        assert_eq!(required(SecondFactorPolicy::Optional), [false; 4]);
        assert_eq!(required(SecondFactorPolicy::RequiredForAdmins), [false, false, true, true]);
        assert_eq!(required(SecondFactorPolicy::Required), [true; 4]);
    }
}
