//! Counting guesses, locking, and unlocking.

use chrono::{DateTime, Utc};
use saas_core::{Actor, Email, Reach, StoreError, Tx, UserId, audit::AuditEvent, fault::chain};

use super::{Auth, CommandError, keys::is_operator, measures};
use crate::{
    Forgiven, GuessId, GuessKind, Guesses, NewGuess, Reserved, User,
    audited::{ACCOUNT_LOCKED, ACCOUNT_UNLOCKED},
};

mod owed;

pub(super) use owed::Owed;

const REACH: Reach = Reach::Platform("counting guesses");

/// The most counters of a user that are looked at.
const COUNTERS: u32 = 100;

/// A guess that may be compared: counted as wrong, until [`Auth::guessed_right`] says otherwise.
#[derive(Debug, Clone)]
pub struct Guess {
    id: GuessId,
    kind: GuessKind,
    reserved: Reserved,
}

/// What was guessed at one of a user's secrets since the last right guess.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuessCount {
    /// What was guessed at.
    pub kind: GuessKind,
    /// How many wrong guesses.
    pub failures: i64,
    /// The lock that they brought, if it stands.
    pub locked: Option<Locked>,
}

/// Until when nobody may guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// Until then.
    Until(DateTime<Utc>),
    /// Until somebody unlocks: too many guesses were wrong one after the other.
    UntilUnlocked,
}

impl Auth {
    /// Reserves a guess at a user's second factor; `None` while they are locked, and nothing is to be compared then. Each kind of secret has
    /// its own count: guesses at the second factor lock no password, nor the other way round.
    pub async fn guess_second_factor(&self, user: UserId) -> Result<Option<Guess>, StoreError> {
        self.reserve(self.guess_keys.second_factor(user), GuessKind::SecondFactor, Some(user)).await
    }

    /// Takes a guess for right, in the transaction of what it opens: whatever was counted is forgotten.
    pub async fn guessed_right(&self, tx: &mut Tx, guess: &Guess) -> Result<(), StoreError> {
        self.ports.guesses.clear(tx, &guess.id).await
    }

    /// Takes a guess for wrong. It is counted already; where it locked, that is recorded.
    pub async fn guessed_wrong(
        &self,
        actor: &Actor,
        user: Option<UserId>,
        guess: &Guess,
    ) -> Result<(), StoreError> {
        let Some(why) = self.news(guess) else { return Ok(()) };
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.record_lock(&mut tx, actor, user, guess.kind, why).await?;
        tx.commit().await
    }

    /// As [`Auth::guessed_wrong`], of a password by a stranger to it: whoever has the address is mailed, once about each lock of their account.
    pub(super) async fn guessed_password_wrong(
        &self,
        actor: &Actor,
        address: &Email,
        user: Option<&User>,
        guess: &Guess,
    ) -> Result<(), StoreError> {
        let of = user.map(|user| user.id);
        if guess.kind != GuessKind::Account {
            return self.guessed_wrong(actor, of, guess).await;
        }
        let Some(why) = self.news(guess) else { return Ok(()) };
        let mut tx = self.ports.storage.begin(REACH).await?;
        self.offer_unlock(&mut tx, address, user).await?;
        self.record_lock(&mut tx, actor, of, guess.kind, why).await?;
        tx.commit().await
    }

    /// Why a wrong guess locked, if that is worth telling: each further wait is counted, and is no news.
    fn news(&self, guess: &Guess) -> Option<&'static str> {
        let Guess { kind, reserved, .. } = guess;
        let rules = &self.config.guesses;
        let for_good = reserved.consecutive >= i64::from(rules.ceiling);
        if for_good || reserved.failures >= i64::from(rules.threshold) {
            measures::locked(*kind, for_good);
        }
        reserved.is_news.then(|| if for_good { "ceiling" } else { kind.as_str() })
    }

    async fn record_lock(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: Option<UserId>,
        kind: GuessKind,
        why: &'static str,
    ) -> Result<(), StoreError> {
        let event = AuditEvent::new(ACCOUNT_LOCKED).because(why);
        // Of an account that is not there nothing is known: it leaves a row for a time all the same, for that has to cost the same.
        let event = match user {
            Some(user) => event.about(user),
            None => event.passing(),
        };
        self.ports.audit.record(tx, actor, event).await?;
        tracing::warn!(guess.kind = kind.as_str(), lock.reason = why, "too many wrong guesses: locked");
        Ok(())
    }

    /// Forgets what was guessed at a user's secrets, in the transaction that gives them new ones.
    pub async fn forgive(&self, tx: &mut Tx, user: UserId, what: Forgiven) -> Result<bool, StoreError> {
        self.ports.guesses.forgive(tx, user, what).await
    }

    /// Forgets the devices that a user signed in on: the next sign-in on one is like a stranger's.
    pub async fn forget_devices(&self, tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
        self.ports.guesses.forget_devices(tx, user, self.now()).await
    }

    /// What was guessed at a user's secrets. For operators.
    pub async fn guesses(&self, actor: &Actor, user: UserId) -> Result<Vec<GuessCount>, CommandError> {
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        Ok(self.counted(user).await?)
    }

    async fn counted(&self, user: UserId) -> Result<Vec<GuessCount>, StoreError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let counted = self.ports.guesses.of_user(&mut conn, user, COUNTERS).await?;
        let (now, ceiling) = (self.now(), i64::from(self.config.guesses.ceiling));
        Ok(counted.into_iter().map(|guesses| count(&guesses, ceiling, now)).collect())
    }

    /// The lock of one of a user's secrets, if it stands.
    pub(super) async fn lock_of(&self, user: UserId, kind: GuessKind) -> Result<Option<Locked>, StoreError> {
        let counted = self.counted(user).await?;
        Ok(counted.into_iter().find(|count| count.kind == kind).and_then(|count| count.locked))
    }

    /// Unlocks a user: whatever was guessed at their secrets is forgotten. Tells whether there was anything. For operators.
    pub async fn unlock_user(&self, actor: &Actor, user: UserId) -> Result<bool, CommandError> {
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        let mut tx = self.ports.storage.begin(REACH).await?;
        if self.ports.users.by_id(tx.conn(), user).await?.is_none() {
            return Err(CommandError::NotFound);
        }
        let unlocked = self.forgive(&mut tx, user, Forgiven::Everything).await?;
        let event = AuditEvent::new(ACCOUNT_UNLOCKED).about(user).because("operator");
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::unlocked("operator");
        tracing::info!(user.id = %user, "unlocked by an operator");
        Ok(unlocked)
    }

    /// Counts a guess as wrong, if one may be made: the one thing that happens before anything is compared.
    pub(super) async fn reserve(
        &self,
        id: GuessId,
        kind: GuessKind,
        user: Option<UserId>,
    ) -> Result<Option<Guess>, StoreError> {
        self.pay_owed(id).await?;
        let new = NewGuess { id, kind, user, now: self.now(), rules: &self.config.guesses };
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        let reserved = self.ports.guesses.reserve(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(reserved.map(|reserved| Guess { id, kind, reserved }))
    }

    /// Takes a guess back that was compared with nothing.
    pub(super) async fn take_back(&self, guess: &Guess) -> Result<(), StoreError> {
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        self.ports.guesses.take_back(&mut tx, &guess.id, &guess.reserved, self.now()).await?;
        tx.commit().await
    }

    /// Takes a guess for right where nothing was opened. What cannot be cleared now is cleared later.
    pub(super) async fn guessed_right_alone(&self, guess: &Guess) {
        self.owe(guess);
        if let Err(error) = self.pay_owed(guess.id).await {
            tracing::warn!(error = chain(&error), "a guess that was right stays counted for now");
        }
    }
}

fn count(guesses: &Guesses, ceiling: i64, now: DateTime<Utc>) -> GuessCount {
    let locked = if guesses.consecutive >= ceiling {
        Some(Locked::UntilUnlocked)
    } else {
        (guesses.open_from > now).then_some(Locked::Until(guesses.open_from))
    };
    GuessCount { kind: guesses.kind, failures: guesses.consecutive, locked }
}
