//! Refresh families under schedules that nobody thought of, with answers that get lost and clients that give up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use saas_auth::{Auth, RefreshError};
use saas_core::{
    Actor, Client, Entropy, Secret, SessionId,
    entropy::{SeededEntropy, random},
};
use saas_kit::testing::{TestSaas, at_once};

use crate::refresh::{Parts, polled};

const SCHEDULES: u64 = 1_000;
/// What `AUTH_REFRESH_GRACE_SECONDS` is when nobody sets it.
const GRACE: Duration = Duration::from_secs(10);
const INSTANT: Duration = Duration::from_micros(1);

on_both_engines! {
    async fn a_thousand_random_schedules_with_lost_answers_never_leave_two_live_generations(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("SQLITE_SYNCHRONOUS", "normal")]).await;
        test.register("ada@example.com").await;
        let mut survived = 0;
        for seed in 0..SCHEDULES {
            survived += u64::from(Schedule::begin(&test, seed).await.run(&test).await);
        }
        assert!((1..SCHEDULES).contains(&survived), "{survived} of the families lived, which shows one side alone");
        test.drain_jobs().await;
    }
}

/// A family, and what its clients know of it.
struct Schedule {
    seed: u64,
    dice: SeededEntropy,
    auth: Arc<Auth>,
    session: SessionId,
    /// The token that was given out for each generation.
    known: BTreeMap<i64, Secret<String>>,
}

impl Schedule {
    async fn begin(test: &TestSaas, seed: u64) -> Self {
        let tokens = test.sign_in("ada@example.com").await.expect("the password is right");
        let auth = Arc::new(test.saas.auth().clone());
        Self {
            seed,
            dice: SeededEntropy::new(seed),
            auth,
            session: tokens.session,
            known: BTreeMap::from([(1, tokens.refresh_token)]),
        }
    }

    /// A number below `sides`.
    fn roll(&self, sides: u8) -> u8 {
        random::<1>(&self.dice as &dyn Entropy)[0] % sides
    }

    /// Tells whether the family lived to the end.
    async fn run(mut self, test: &TestSaas) -> bool {
        for _ in 0..2 + self.roll(6) {
            match self.roll(6) {
                0 => test.clock.advance([INSTANT, GRACE / 2, GRACE, GRACE * 2][usize::from(self.roll(4))]),
                1 | 2 => self.several().await,
                _ => self.one().await,
            }
        }
        self.end(test).await
    }

    /// Somebody who goes on with what they have; the answer may get lost, or they give up before it.
    async fn one(&mut self) {
        let (token, lost) = (self.any_token(), self.roll(4));
        let polls = 1 + usize::from(self.roll(12));
        if lost == 0 {
            drop(polled(self.auth.refresh(&anonymous(), &token), polls).await);
            return;
        }
        let answer = self.auth.refresh(&anonymous(), &token).await;
        if lost > 1 {
            self.learn(answer.map(|tokens| tokens.refresh_token));
        }
    }

    /// Two to four at once, each with a token that they had at some time.
    async fn several(&mut self) {
        let tokens: Vec<_> = (0..2 + self.roll(3)).map(|_| self.any_token()).collect();
        let auth = Arc::clone(&self.auth);
        let answers = at_once(tokens.len(), |task| {
            let (auth, token) = (Arc::clone(&auth), tokens[task].clone());
            async move { auth.refresh(&anonymous(), &token).await.map(|tokens| tokens.refresh_token) }
        })
        .await;
        for answer in answers {
            if self.roll(3) > 0 {
                self.learn(answer);
            }
        }
    }

    /// Mostly the newest one, as clients do.
    fn any_token(&self) -> Secret<String> {
        let back = usize::from(self.roll(8).saturating_sub(5)) % self.known.len();
        self.known.values().rev().nth(back).expect("there is always the first").clone()
    }

    fn learn(&mut self, answer: Result<Secret<String>, RefreshError>) {
        let token = match answer {
            Ok(token) => token,
            Err(RefreshError::Invalid) => return,
            Err(error) => panic!("schedule {}: {error:?}", self.seed),
        };
        let generation = Parts::of(&token).generation;
        let before = self.known.entry(generation).or_insert_with(|| token.clone());
        assert_eq!(
            before.expose(),
            token.expose(),
            "schedule {}: two tokens of generation {generation}",
            self.seed
        );
    }

    /// When nothing is forgiven any more, all that is known is tried, the newest first.
    async fn end(self, test: &TestSaas) -> bool {
        settled(test).await;
        test.clock.advance(GRACE + INSTANT);
        let family = test.family(self.session).await;
        let mut live = Vec::new();
        for (generation, token) in self.known.iter().rev() {
            if self.auth.refresh(&anonymous(), token).await.is_ok() {
                live.push(*generation);
            }
        }
        let newest = family.session.revoked_at.is_none().then_some(family.generation);
        let expected: Vec<i64> = newest.into_iter().filter(|live| self.known.contains_key(live)).collect();
        assert_eq!(live, expected, "schedule {}: {:?}", self.seed, self.known.keys());
        newest.is_some()
    }
}

/// Waits until no connection is in use: a database may carry out what a client gave up, and its connection is back only then.
async fn settled(test: &TestSaas) {
    while test.saas.storage().pools().iter().any(|pool| pool.in_use > 0) {
        tokio::task::yield_now().await;
    }
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}
