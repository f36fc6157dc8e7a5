//! Guesses: how often something was guessed wrong, and for how long nobody may guess on.
//!
//! A guess is reserved before anything is compared, by one statement that counts it as wrong; a right one takes that back. So however many
//! come at once, no more of them are compared than [`GuessRules`] allow.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_core::{Conn, StoreError, Tx, UserId};

mod device_token;
mod keys;

pub use device_token::{DeviceToken, InvalidDeviceToken};
pub use keys::{DeviceId, GuessId, GuessKeys};

/// What is guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuessKind {
    /// A password, by anybody.
    Account,
    /// A password, by a device that its owner has signed in on.
    Device,
    /// A password, by whoever is signed in and is asked for theirs once more.
    OwnPassword,
    /// A second factor, by whoever has the password.
    SecondFactor,
}

impl GuessKind {
    /// The word for it in storage and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Device => "device",
            Self::OwnPassword => "own_password",
            Self::SecondFactor => "second_factor",
        }
    }

    /// The kind for a stored word; one of a newer release is taken for what concerns everybody.
    pub fn from_stored(word: &str) -> Self {
        match word {
            "device" => Self::Device,
            "own_password" => Self::OwnPassword,
            "second_factor" => Self::SecondFactor,
            _ => Self::Account,
        }
    }
}

/// How many wrong guesses lock, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessRules {
    /// The wrong guess that locks first.
    pub threshold: u32,
    /// How long the first lock is; each further wrong guess doubles it.
    pub first_wait: Duration,
    /// How long the longest is.
    pub longest_wait: Duration,
    /// After how long without a guess, from the end of the last lock on, the waits begin anew.
    pub window: Duration,
    /// The wrong guess, of all since the last right one, that locks until somebody unlocks.
    pub ceiling: u32,
    /// How long they are remembered. Those of a user that are at the ceiling are until they are unlocked.
    pub kept: Duration,
    /// How long a mail can unlock, and for how long its owner is not mailed about the next wait.
    pub unlock_lifetime: Duration,
}

impl GuessRules {
    /// How many waits there are before the longest.
    pub const DOUBLINGS: usize = 7;

    /// How long the lock is of the wrong guess at the threshold, and of those after it; the last is that of all the others.
    pub fn waits(&self) -> [Duration; Self::DOUBLINGS + 1] {
        let mut wait = self.first_wait;
        let mut waits = [self.longest_wait; Self::DOUBLINGS + 1];
        for place in waits.iter_mut().take(Self::DOUBLINGS) {
            *place = wait.min(self.longest_wait);
            wait = wait.saturating_mul(2);
        }
        waits
    }
}

/// The product's defaults: from the fifth wrong guess on 30 s, doubled each time, to an hour (NIST SP 800-63B-4 section 3.2.2); an hour of
/// quiet begins anew; the hundredth locks until it is unlocked.
impl Default for GuessRules {
    fn default() -> Self {
        Self {
            threshold: 5,
            first_wait: Duration::from_secs(30),
            longest_wait: Duration::from_hours(1),
            window: Duration::from_hours(1),
            ceiling: 100,
            kept: Duration::from_hours(90 * 24),
            unlock_lifetime: Duration::from_hours(7 * 24),
        }
    }
}

/// A guess that is about to be made.
#[derive(Debug, Clone)]
pub struct NewGuess<'a> {
    /// What it is counted under.
    pub id: GuessId,
    /// What is guessed at.
    pub kind: GuessKind,
    /// Whose it is; nobody's where there is no such account, which counts alike.
    pub user: Option<UserId>,
    /// When.
    pub now: DateTime<Utc>,
    /// What is allowed.
    pub rules: &'a GuessRules,
}

/// A guess that may be made, counted as wrong until it turns out to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The how many-th since the waits began.
    pub failures: i64,
    /// The how many-th since the last right one.
    pub consecutive: i64,
    /// From when on the next one may be made.
    pub open_from: DateTime<Utc>,
    /// Whether it begins a lock that is to be told of.
    pub is_news: bool,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guesses {
    /// What is guessed at.
    pub kind: GuessKind,
    /// How many wrong ones since the waits began.
    pub failures: i64,
    /// How many since the last right one.
    pub consecutive: i64,
    /// From when on the next one may be made, if not for the ceiling.
    pub open_from: DateTime<Utc>,
}

/// What is forgotten of a user's guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgiven {
    /// Those at their password, of whichever kind. Whoever has the mailbox can have a password set anew, and shall not get more guesses at the
    /// second factor by it.
    Passwords,
    /// All of them.
    Everything,
}

/// Counts guesses.
///
/// # Contract
/// - Of guesses beside each other exactly as many are granted as the threshold says, the last of which locks; a locked one changes nothing.
/// - When a lock is over one guess is granted, which locks for longer: by the rules' waits, the last of which stays.
/// - After a quiet window, counted from the end of the last lock, the waits begin anew; what counts toward the ceiling does not.
/// - At the ceiling nothing is granted any more, whatever time passes, until it is unlocked.
/// - A guess that was not compared is taken back: the next one is granted as if it had not been, and its lock is none.
/// - A right guess clears what was counted under its id, and nothing else.
/// - The guess that locks first is news, and so is the one at the ceiling; the others are none while a mail about that lock can unlock.
/// - `forgive` clears what was counted of a user, at their password alone or of every kind, and of nobody else; `of_user` shows it until
///   then.
/// - Devices of a user are forgotten from a moment on: `devices_forgotten_at` tells the latest, of that user alone.
#[async_trait]
pub trait GuessStore: Debug + Send + Sync + 'static {
    /// Counts a guess as wrong, if one may be made: one statement.
    async fn reserve(&self, tx: &mut Tx, guess: &NewGuess<'_>) -> Result<Option<Reserved>, StoreError>;
    /// Takes a guess back that was not compared with anything.
    async fn take_back(
        &self,
        tx: &mut Tx,
        id: &GuessId,
        reserved: &Reserved,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError>;
    /// Forgets what was counted under an id.
    async fn clear(&self, tx: &mut Tx, id: &GuessId) -> Result<(), StoreError>;
    /// Forgets what was counted of a user, and tells whether there was anything.
    async fn forgive(&self, tx: &mut Tx, user: UserId, what: Forgiven) -> Result<bool, StoreError>;
    /// What was counted of a user, at most `limit` of it.
    async fn of_user(&self, conn: &mut Conn, user: UserId, limit: u32) -> Result<Vec<Guesses>, StoreError>;
    /// Forgets every device that a user signed in on before `now`.
    async fn forget_devices(&self, tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<(), StoreError>;
    /// Before when a user's devices are forgotten, if any are.
    async fn devices_forgotten_at(
        &self,
        conn: &mut Conn,
        user: UserId,
    ) -> Result<Option<DateTime<Utc>>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_half_a_minute_to_an_hour() {
        let seconds = |rules: &GuessRules| rules.waits().map(|wait| wait.as_secs());
        let rules = GuessRules::default();
        assert_eq!(seconds(&rules), [30, 60, 120, 240, 480, 960, 1_920, 3_600]);
        let short = GuessRules { longest_wait: Duration::from_mins(3), ..rules };
        assert_eq!(seconds(&short), [30, 60, 120, 180, 180, 180, 180, 180]);
    }
}
