//! Guesses in `saas_sign_in_guesses`, and devices that are forgotten in `saas_forgotten_devices`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{GuessId, GuessKind, GuessStore, Guesses, LockId, MailedLock, NewGuess, Reserved};
use saas_core::{Conn, StoreError, Tx, UserId};
use saas_sql::{execute, fetch_all, fetch_optional};
use uuid::Uuid;

/// [`GuessStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlGuesses;

#[derive(sqlx::FromRow)]
struct ReservedRow {
    failures: i64,
    consecutive: i64,
    open_from: DateTime<Utc>,
    lock_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct GuessesRow {
    kind: String,
    failures: i64,
    consecutive: i64,
    open_from: DateTime<Utc>,
}

impl From<GuessesRow> for Guesses {
    fn from(row: GuessesRow) -> Self {
        Self {
            kind: GuessKind::from_stored(&row.kind),
            failures: row.failures,
            consecutive: row.consecutive,
            open_from: row.open_from,
        }
    }
}

/// The how many-th failure this one is: `$6` is when the quiet began that makes it the first.
macro_rules! next {
    () => {
        "CASE WHEN g.open_from < $6 THEN 1 ELSE g.failures + 1 END"
    };
}

/// Whether it begins a lock that the owner is mailed about: at the threshold `$7`, unless one can still be unlocked, and at the ceiling `$8`.
macro_rules! begins {
    () => {
        concat!(
            "(",
            next!(),
            ") = $7 AND (g.lock_until IS NULL OR g.lock_until < $4) OR g.consecutive + 1 = $8"
        )
    };
}

/// One guess more, if one may be made at `$4`. The waits are `$13` to `$20`; a text for each place, for both engines compare those.
const RESERVE: &str = concat!(
    "INSERT INTO saas_sign_in_guesses AS g ",
    "(id, kind, user_id, failures, consecutive, open_from, lock_id, lock_key, lock_until, expires_at) ",
    "VALUES ($1, $2, $3, 1, 1, $4, NULL, $10, NULL, $5) ON CONFLICT (id) DO UPDATE SET ",
    "user_id = COALESCE(excluded.user_id, g.user_id), failures = ",
    next!(),
    ", consecutive = g.consecutive + 1, open_from = CASE (",
    next!(),
    ") - $7 WHEN 0 THEN $13 WHEN 1 THEN $14 WHEN 2 THEN $15 WHEN 3 THEN $16 WHEN 4 THEN $17 WHEN 5 THEN $18 WHEN 6 THEN $19 ",
    "ELSE CASE WHEN (",
    next!(),
    ") > $7 THEN $20 ELSE $4 END END, lock_id = CASE WHEN ",
    begins!(),
    " THEN $9 ELSE g.lock_id END, lock_key = CASE WHEN ",
    begins!(),
    " THEN $10 ELSE g.lock_key END, lock_until = CASE WHEN ",
    begins!(),
    " THEN $11 ELSE g.lock_until END, expires_at = CASE WHEN g.consecutive + 1 >= $8 THEN $12 ELSE $5 END ",
    "WHERE g.open_from <= $4 AND g.consecutive < $8 RETURNING failures, consecutive, open_from, lock_id"
);

#[async_trait]
impl GuessStore for SqlGuesses {
    async fn reserve(&self, tx: &mut Tx, guess: &NewGuess<'_>) -> Result<Option<Reserved>, StoreError> {
        let (now, rules) = (guess.now, guess.rules);
        let open_from = rules.waits().map(|wait| now + wait);
        let expires_at = now + rules.kept;
        // Of somebody who is there, who locks them stays until it is unlocked.
        let at_the_ceiling = guess.user.is_none().then_some(expires_at);
        let row = fetch_optional!(
            tx.conn(),
            ReservedRow,
            RESERVE,
            &guess.id.as_bytes()[..],
            guess.kind.as_str(),
            guess.user.map(UserId::as_uuid),
            now,
            expires_at,
            now - rules.window,
            i64::from(rules.threshold),
            i64::from(rules.ceiling),
            guess.lock.as_uuid(),
            guess.lock_key,
            now + rules.unlock_lifetime,
            at_the_ceiling,
            open_from[0],
            open_from[1],
            open_from[2],
            open_from[3],
            open_from[4],
            open_from[5],
            open_from[6],
            open_from[7],
        )?;
        Ok(row.map(|row| Reserved {
            failures: row.failures,
            consecutive: row.consecutive,
            open_from: row.open_from,
            lock: row.lock_id.map(LockId::from_uuid).filter(|lock| *lock == guess.lock),
        }))
    }

    async fn take_back(
        &self,
        tx: &mut Tx,
        id: &GuessId,
        reserved: &Reserved,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let lock = reserved.lock.map(LockId::as_uuid);
        // A lock of another guess ends at another time.
        execute!(
            tx.conn(),
            "UPDATE saas_sign_in_guesses SET failures = failures - 1, consecutive = consecutive - 1, \
             open_from = CASE WHEN open_from = $2 THEN $3 ELSE open_from END, \
             lock_until = CASE WHEN lock_id = $4 THEN NULL ELSE lock_until END, \
             expires_at = CASE WHEN expires_at IS NULL THEN $3 ELSE expires_at END, \
             lock_id = CASE WHEN lock_id = $4 THEN NULL ELSE lock_id END WHERE id = $1 AND failures > 0",
            &id.as_bytes()[..],
            reserved.open_from,
            now,
            lock,
        )?;
        Ok(())
    }

    async fn clear(&self, tx: &mut Tx, id: &GuessId) -> Result<(), StoreError> {
        execute!(tx.conn(), "DELETE FROM saas_sign_in_guesses WHERE id = $1", &id.as_bytes()[..])?;
        Ok(())
    }

    async fn forgive(&self, tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
        let rows =
            execute!(tx.conn(), "DELETE FROM saas_sign_in_guesses WHERE user_id = $1", user.as_uuid())?;
        Ok(rows > 0)
    }

    async fn of_user(&self, conn: &mut Conn, user: UserId, limit: u32) -> Result<Vec<Guesses>, StoreError> {
        let rows = fetch_all!(
            conn,
            GuessesRow,
            "SELECT kind, failures, consecutive, open_from FROM saas_sign_in_guesses WHERE user_id = $1 ORDER BY id LIMIT $2",
            user.as_uuid(),
            i64::from(limit),
        )?;
        Ok(rows.into_iter().map(Guesses::from).collect())
    }

    async fn lock(&self, conn: &mut Conn, lock: LockId) -> Result<Option<MailedLock>, StoreError> {
        let row = fetch_optional!(
            conn,
            (Option<Uuid>, String, Option<DateTime<Utc>>),
            "SELECT user_id, lock_key, lock_until FROM saas_sign_in_guesses WHERE lock_id = $1",
            lock.as_uuid(),
        )?;
        Ok(row.and_then(|(user, key, until)| {
            Some(MailedLock { user: UserId::from_uuid(user?), key, until: until? })
        }))
    }

    async fn unlock(
        &self,
        tx: &mut Tx,
        lock: LockId,
        now: DateTime<Utc>,
    ) -> Result<Option<UserId>, StoreError> {
        let row = fetch_optional!(
            tx.conn(),
            (Uuid,),
            "DELETE FROM saas_sign_in_guesses WHERE lock_id = $1 AND lock_until > $2 AND user_id IS NOT NULL RETURNING user_id",
            lock.as_uuid(),
            now,
        )?;
        Ok(row.map(|(user,)| UserId::from_uuid(user)))
    }

    async fn forget_devices(&self, tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
        execute!(
            tx.conn(),
            "INSERT INTO saas_forgotten_devices AS d (user_id, forgotten_at) VALUES ($1, $2) \
             ON CONFLICT (user_id) DO UPDATE SET forgotten_at = excluded.forgotten_at WHERE d.forgotten_at < excluded.forgotten_at",
            user.as_uuid(),
            now,
        )?;
        Ok(())
    }

    async fn devices_forgotten_at(
        &self,
        conn: &mut Conn,
        user: UserId,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let row = fetch_optional!(
            conn,
            (DateTime<Utc>,),
            "SELECT forgotten_at FROM saas_forgotten_devices WHERE user_id = $1",
            user.as_uuid(),
        )?;
        Ok(row.map(|(at,)| at))
    }
}
