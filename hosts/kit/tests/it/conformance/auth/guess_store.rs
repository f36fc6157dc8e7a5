//! `GuessStore`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_auth::{
    Forgiven, GuessId, GuessRules, GuessStore, Guesses, NewGuess, Reserved,
    conformance::guess_store::{GuessStoreSubject as Subject, LINES, check},
};
use saas_auth_sql::{SqlGuesses, SqlUsers};
use saas_core::{Conn, StoreError, Tx, UserId};
use saas_kit::testing::TestEngine;
use saas_sql::execute;

use crate::conformance::{broken::assert_noticed, migrated, on_each_engine, shared};

async fn over(engine: TestEngine, guesses: Arc<dyn GuessStore>) -> Subject {
    let (database, storage) = migrated(engine).await;
    Subject::new(shared(&storage), guesses, Arc::new(SqlUsers), database)
}

async fn subject(engine: TestEngine) -> Subject {
    over(engine, Arc::new(SqlGuesses)).await
}

on_each_engine!(saas_auth::guess_store_conformance);

/// The SQL store, but for one line of the contract.
#[derive(Debug)]
struct Broken(&'static str);

impl Broken {
    fn breaks(&self, line: &str) -> bool {
        self.0.starts_with(line)
    }
}

#[async_trait]
impl GuessStore for Broken {
    async fn reserve(&self, tx: &mut Tx, guess: &NewGuess<'_>) -> Result<Option<Reserved>, StoreError> {
        let rules = *guess.rules;
        let rules = match self.0 {
            // One more than it should be.
            line if line.starts_with("of_guesses_beside") => {
                GuessRules { threshold: rules.threshold + 1, ..rules }
            }
            line if line.starts_with("when_a_lock_is_over") => {
                GuessRules { longest_wait: rules.first_wait, ..rules }
            }
            line if line.starts_with("after_a_quiet") => {
                GuessRules { window: Duration::from_hours(1), ..rules }
            }
            line if line.starts_with("at_the_ceiling") => GuessRules { ceiling: 1_000, ..rules },
            _ => rules,
        };
        let reserved = SqlGuesses.reserve(tx, &NewGuess { rules: &rules, ..guess.clone() }).await?;
        // Each lock is told of.
        let each = |one: &Reserved| self.breaks("the_guess_that_begins") && one.open_from > guess.now;
        Ok(reserved.map(|one| Reserved { is_news: one.is_news || each(&one), ..one }))
    }

    async fn take_back(
        &self,
        tx: &mut Tx,
        id: &GuessId,
        reserved: &Reserved,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // The count, but not the lock.
        let open_from =
            if self.breaks("a_guess_that_was_not") { DateTime::UNIX_EPOCH } else { reserved.open_from };
        SqlGuesses.take_back(tx, id, &Reserved { open_from, ..*reserved }, now).await
    }

    async fn clear(&self, tx: &mut Tx, id: &GuessId) -> Result<(), StoreError> {
        if self.breaks("a_right_guess") {
            execute!(tx.conn(), "DELETE FROM saas_sign_in_guesses")?;
        }
        SqlGuesses.clear(tx, id).await
    }

    async fn forgive(&self, tx: &mut Tx, user: UserId, what: Forgiven) -> Result<bool, StoreError> {
        // A new password forgives a second factor.
        let what = if self.breaks("what_is_forgiven") { Forgiven::Everything } else { what };
        SqlGuesses.forgive(tx, user, what).await
    }

    async fn of_user(&self, conn: &mut Conn, user: UserId, limit: u32) -> Result<Vec<Guesses>, StoreError> {
        SqlGuesses.of_user(conn, user, limit).await
    }

    async fn forget_devices(&self, tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
        if self.breaks("devices_are_forgotten") {
            execute!(tx.conn(), "DELETE FROM saas_forgotten_devices WHERE user_id = $1", user.as_uuid())?;
        }
        SqlGuesses.forget_devices(tx, user, now).await
    }

    async fn devices_forgotten_at(
        &self,
        conn: &mut Conn,
        user: UserId,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        SqlGuesses.devices_forgotten_at(conn, user).await
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, over(TestEngine::Sqlite, Arc::new(Broken(line))).await)).await;
    }
}
