//! Counting guesses, locking, and unlocking.

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, ErrorKind, Fault, InternalError, Reach, Report, Secret, SendMail, StoreError, Tx, UserId,
    audit::{AuditActor, AuditEvent},
    jobs::EnqueueError,
};

use super::{Auth, CommandError, keys::is_operator, measures};
use crate::{
    GuessId, GuessKind, Guesses, LockId, MailPurpose, MailToken, NewGuess, Reserved,
    audited::{ACCOUNT_LOCKED, ACCOUNT_UNLOCKED},
};

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

/// What a mail unlocks with.
#[derive(Debug, Clone)]
pub struct UnlockToken {
    /// Whom the mail is to.
    pub user: UserId,
    /// The token.
    pub token: Secret<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why a token unlocked nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// It is no token, or it was used, is over, or its lock is gone.
    #[error("the link is not valid any more: sign in, or set a new password")]
    Invalid,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token could not be compared.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for UnlockError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Invalid => Report::new(ErrorKind::Invalid, "invalid_unlock_token"),
            Self::Store(error) => error.report(),
            Self::Internal(_) => Report::internal(),
        }
    }
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

    /// Takes a guess for wrong. It is counted already; where it locked, that is recorded, and its owner mailed once about each lock of their
    /// account.
    pub async fn guessed_wrong(
        &self,
        actor: &Actor,
        user: Option<UserId>,
        guess: &Guess,
    ) -> Result<(), StoreError> {
        let Guess { kind, reserved, .. } = guess;
        let rules = &self.config.guesses;
        let for_good = reserved.consecutive >= i64::from(rules.ceiling);
        if !for_good && reserved.failures < i64::from(rules.threshold) {
            return Ok(());
        }
        measures::locked(*kind, for_good);
        // Each further wait is counted; what is worth a row and a mail is that there is a lock.
        let Some(lock) = reserved.lock else { return Ok(()) };
        let why = if for_good { "ceiling" } else { kind.as_str() };
        let event = AuditEvent::new(ACCOUNT_LOCKED).because(why);
        let mut tx = self.ports.storage.begin(REACH).await?;
        // Of an account that is not there nothing is known: it leaves a row all the same, for that has to cost the same.
        let event = match user {
            Some(user) => event.about(user),
            None => event,
        };
        self.ports.audit.record(&mut tx, actor, event).await?;
        if let (Some(user), Some(jobs), GuessKind::Account) = (user, &self.ports.jobs, kind) {
            let mail = SendMail::UnlockAccount { user, lock: lock.as_uuid() };
            jobs.enqueue(&mut tx, &mail).await.map_err(not_enqueued)?;
        }
        tx.commit().await?;
        tracing::warn!(guess.kind = kind.as_str(), lock.reason = why, "too many wrong guesses: locked");
        Ok(())
    }

    /// Forgets what was guessed at a user's secrets, in the transaction that gives them new ones.
    pub async fn forgive(&self, tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
        self.ports.guesses.forgive(tx, user).await
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
        let mut conn = self.ports.storage.read(REACH).await?;
        let counted = self.ports.guesses.of_user(&mut conn, user, COUNTERS).await?;
        let (now, ceiling) = (self.now(), i64::from(self.config.guesses.ceiling));
        Ok(counted.into_iter().map(|guesses| count(&guesses, ceiling, now)).collect())
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
        let unlocked = self.forgive(&mut tx, user).await?;
        let event = AuditEvent::new(ACCOUNT_UNLOCKED).about(user).because("operator");
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::unlocked("operator");
        tracing::info!(user.id = %user, "unlocked by an operator");
        Ok(unlocked)
    }

    /// Unlocks an account with the token of the mail about it. It works once.
    pub async fn unlock(&self, actor: &Actor, token: &Secret<String>) -> Result<(), UnlockError> {
        let token = MailToken::parse(token.expose()).map_err(|_| UnlockError::Invalid)?;
        let lock = LockId::from_uuid(token.row);
        let known = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.guesses.lock(&mut conn, lock).await?.ok_or(UnlockError::Invalid)?
        };
        let hash = self.mail_tokens.hash(MailPurpose::Unlock, &known.key, token.row)?;
        if !token.has(&hash) {
            return Err(UnlockError::Invalid);
        }
        let mut tx = self.ports.storage.begin(REACH).await?;
        let unlocked = self.ports.guesses.unlock(&mut tx, lock, self.now()).await?;
        let user = unlocked.ok_or(UnlockError::Invalid)?;
        let event = AuditEvent::new(ACCOUNT_UNLOCKED).about(user).because("mail").by(AuditActor::user(user));
        self.ports.audit.record(&mut tx, actor, event).await?;
        tx.commit().await?;
        measures::unlocked("mail");
        tracing::info!(user.id = %user, "unlocked by mail");
        Ok(())
    }

    /// What the mail about a lock unlocks with; `None` once the lock is gone. For the job that sends it.
    pub async fn unlock_token(
        &self,
        actor: &Actor,
        lock: LockId,
    ) -> Result<Option<UnlockToken>, CommandError> {
        if !is_operator(actor) {
            return Err(CommandError::Forbidden);
        }
        let known = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.guesses.lock(&mut conn, lock).await?
        };
        let Some(known) = known.filter(|known| known.until > self.now()) else { return Ok(None) };
        let token = self.mail_tokens.token(MailPurpose::Unlock, &known.key, lock.as_uuid());
        let failed = |error| StoreError::Backend(Box::new(error));
        Ok(Some(UnlockToken { user: known.user, token: token.map_err(failed)?, expires_at: known.until }))
    }

    /// Counts a guess as wrong, if one may be made: the one thing that happens before anything is compared.
    pub(super) async fn reserve(
        &self,
        id: GuessId,
        kind: GuessKind,
        user: Option<UserId>,
    ) -> Result<Option<Guess>, StoreError> {
        let lock = LockId::generate(&*self.ports.clock, &*self.ports.entropy);
        let (now, rules, lock_key) = (self.now(), &self.config.guesses, self.mail_tokens.current());
        let new = NewGuess { id, kind, user, now, rules, lock, lock_key };
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

    /// Takes a guess for right where nothing was opened.
    pub(super) async fn guessed_right_alone(&self, guess: &Guess) -> Result<(), StoreError> {
        let mut tx = self.ports.storage.begin_single(REACH).await?;
        self.guessed_right(&mut tx, guess).await?;
        tx.commit().await
    }
}

fn not_enqueued(error: EnqueueError) -> StoreError {
    match error {
        EnqueueError::Store(error) => error,
        other => StoreError::Backend(Box::new(other)),
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
