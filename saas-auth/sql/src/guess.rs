//! Guesses in `saas_sign_in_guesses`, and devices that are forgotten in `saas_forgotten_devices`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{Forgiven, GuessId, GuessKind, GuessStore, Guesses, NewGuess, Reserved};
use saas_core::{Conn, StoreError, Tx, UserId};
use saas_sql::{execute, fetch_all, fetch_optional};

/// [`GuessStore`] over SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlGuesses;

#[derive(sqlx::FromRow)]
struct ReservedRow {
    failures: i64,
    consecutive: i64,
    open_from: DateTime<Utc>,
    is_news: bool,
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

/// Whether it begins a lock that is told of: at the threshold `$7`, unless a mail about one can still unlock, and at the ceiling `$8`.
macro_rules! begins {
    () => {
        concat!(
            "(",
            next!(),
            ") = $7 AND (g.told_until IS NULL OR g.told_until < $4) OR g.consecutive + 1 = $8"
        )
    };
}

/// One guess more, if one may be made at `$4`. The waits are `$11` to `$18`; a text for each place, for both engines compare those. A guess that
/// begins a lock tells until `$9`, and no other one at that time does: the lock that it began is in their way.
const RESERVE: &str = concat!(
    "INSERT INTO saas_sign_in_guesses AS g ",
    "(id, kind, user_id, failures, consecutive, open_from, told_until, expires_at) ",
    "VALUES ($1, $2, $3, 1, 1, $4, NULL, $5) ON CONFLICT (id) DO UPDATE SET ",
    "user_id = COALESCE(excluded.user_id, g.user_id), failures = ",
    next!(),
    ", consecutive = g.consecutive + 1, open_from = CASE (",
    next!(),
    ") - $7 WHEN 0 THEN $11 WHEN 1 THEN $12 WHEN 2 THEN $13 WHEN 3 THEN $14 WHEN 4 THEN $15 WHEN 5 THEN $16 WHEN 6 THEN $17 ",
    "ELSE CASE WHEN (",
    next!(),
    ") > $7 THEN $18 ELSE $4 END END, told_until = CASE WHEN ",
    begins!(),
    " THEN $9 ELSE g.told_until END, expires_at = CASE WHEN g.consecutive + 1 >= $8 THEN $10 ELSE $5 END ",
    "WHERE g.open_from <= $4 AND g.consecutive < $8 ",
    "RETURNING failures, consecutive, open_from, COALESCE(told_until = $9, FALSE) AS is_news"
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
            is_news: row.is_news,
        }))
    }

    async fn take_back(
        &self,
        tx: &mut Tx,
        id: &GuessId,
        reserved: &Reserved,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // A lock of another guess ends at another time.
        execute!(
            tx.conn(),
            "UPDATE saas_sign_in_guesses SET failures = failures - 1, consecutive = consecutive - 1, \
             open_from = CASE WHEN open_from = $2 THEN $3 ELSE open_from END, \
             told_until = CASE WHEN $4 THEN NULL ELSE told_until END, \
             expires_at = CASE WHEN expires_at IS NULL THEN $3 ELSE expires_at END WHERE id = $1 AND failures > 0",
            &id.as_bytes()[..],
            reserved.open_from,
            now,
            reserved.is_news,
        )?;
        Ok(())
    }

    async fn clear(&self, tx: &mut Tx, id: &GuessId) -> Result<(), StoreError> {
        execute!(tx.conn(), "DELETE FROM saas_sign_in_guesses WHERE id = $1", &id.as_bytes()[..])?;
        Ok(())
    }

    async fn forgive(&self, tx: &mut Tx, user: UserId, what: Forgiven) -> Result<bool, StoreError> {
        let rows = execute!(
            tx.conn(),
            "DELETE FROM saas_sign_in_guesses WHERE user_id = $1 AND ($2 OR kind <> $3)",
            user.as_uuid(),
            what == Forgiven::Everything,
            GuessKind::SecondFactor.as_str(),
        )?;
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
