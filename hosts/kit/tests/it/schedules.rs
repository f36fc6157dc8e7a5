//! Generated schedules of refreshing, lost answers, thieves, signing out and time passing, checked against a model of one family.
//!
//! The model says what every use of every token ever given out must answer. Beside it, each schedule ends by trying all of them on
//! the state that it left, one at a time: at most one may be exchanged for something new. And whenever the honest client is refused,
//! there must be a reason that is not ours.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use saas_auth::{AuthenticateError, RefreshError, Tokens};
use saas_core::{Actor, Client, Secret, SessionId};
use saas_kit::testing::{TestSaas, at_once};
use saas_sql::execute;
use tokio::{runtime::Handle, task::block_in_place};

const GRACE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);
const IDLE: Duration = Duration::from_hours(30 * 24);
const ABSOLUTE: Duration = Duration::from_hours(90 * 24);
const EMAIL: &str = "ada@example.com";

on_both_engines! {
    async fn a_thousand_schedules_never_leave_two_live_generations_nor_log_an_honest_client_out(engine: TestEngine) {
        // Months pass: what has ended is still looked at.
        let settings = [("SQLITE_SYNCHRONOUS", "normal"), ("RETENTION_ENDED_SESSIONS_DAYS", "3650")];
        let test = TestSaas::with_settings(engine, settings).await;
        test.register(EMAIL).await;
        let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
        let run = |schedule: Vec<Step>| {
            Handle::current().block_on(Play::schedule(&test, &schedule));
            Ok(())
        };
        block_in_place(|| TestRunner::new(config).run(&vec(step(), 1..12), run)).expect("every schedule ends well");
        test.drain_jobs().await;
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// The client refreshes and gets its answer.
    Refresh,
    /// The client refreshes, loses so many answers, and tries again, all within the grace.
    LoseAnswers(u32),
    /// The client refreshes from several threads at once.
    RefreshAtOnce(usize),
    /// The client refreshes, loses the answer, and tries again too late.
    TryAgainTooLate,
    /// Somebody uses a copy of a token that was given out, picked by how old it is.
    Replay(Index),
    /// Somebody makes a token up.
    Forge(u8),
    /// The client signs out with one of its tokens.
    Logout(Index),
    /// The client refreshes while it signs out.
    RefreshDuringLogout,
    /// The client comes back so often, always just in time for its idle lifetime.
    ComeBack(u32),
    /// Time passes.
    Wait(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let wait = prop_oneof![
        4 => (0..=11_u64).prop_map(Duration::from_secs),
        2 => Just(GRACE),
        2 => Just(GRACE + Duration::from_micros(1)),
        2 => (1..=60_u64).prop_map(Duration::from_mins),
        2 => (1..=29_u32).prop_map(|days| days * DAY),
        1 => (29..=31_u32).prop_map(|days| days * DAY),
    ];
    prop_oneof![
        8 => Just(Step::Refresh),
        5 => (1..=3_u32).prop_map(Step::LoseAnswers),
        5 => (2..=5_usize).prop_map(Step::RefreshAtOnce),
        1 => Just(Step::TryAgainTooLate),
        3 => index().prop_map(Step::Replay),
        2 => any::<u8>().prop_map(Step::Forge),
        1 => index().prop_map(Step::Logout),
        1 => Just(Step::RefreshDuringLogout),
        2 => (1..=4_u32).prop_map(Step::ComeBack),
        8 => wait.prop_map(Step::Wait),
    ]
}

/// What a use of a token must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// A token that was never given out before.
    New,
    /// The newest one again.
    Newest,
    /// No; and the family is revoked.
    Revoked,
    /// No; and nothing changes.
    Nothing,
}

/// One family: what was given out, and what the model knows of it.
struct Play<'t> {
    test: &'t TestSaas,
    actor: Actor,
    session: SessionId,
    /// Every refresh token that was given out, oldest first: the last one's number is the live generation.
    given_out: Vec<Secret<String>>,
    /// Every answer of a refresh or sign-in, for its access token.
    answers: Vec<Tokens>,
    /// Which token the client holds.
    held: usize,
    began: DateTime<Utc>,
    rotated_at: DateTime<Utc>,
    revoked: bool,
    /// Why an honest client may be refused.
    excuse: Option<&'static str>,
}

impl<'t> Play<'t> {
    async fn schedule(test: &'t TestSaas, schedule: &[Step]) {
        let mut play = Self::begin(test).await;
        for step in schedule {
            play.step(step).await;
        }
        play.assert_at_most_one_token_lives().await;
        play.assert_access_tokens_follow().await;
    }

    async fn begin(test: &'t TestSaas) -> Self {
        let tokens = test.sign_in(EMAIL).await.expect("the password is right");
        let now = test.saas.clock().now();
        Self {
            test,
            actor: test.actor(&tokens).await,
            session: tokens.session,
            given_out: vec![tokens.refresh_token.clone()],
            answers: vec![tokens],
            held: 0,
            began: now,
            rotated_at: now,
            revoked: false,
            excuse: None,
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Refresh => self.refresh().await,
            Step::LoseAnswers(count) => {
                for _ in 0..*count {
                    self.exchange(self.held).await;
                    self.test.clock.advance(GRACE / *count);
                }
                self.refresh().await;
            }
            Step::RefreshAtOnce(count) => self.refresh_at_once(*count).await,
            Step::TryAgainTooLate => {
                self.exchange(self.held).await;
                self.test.clock.advance(GRACE + Duration::from_micros(1));
                self.excuse = Some("tried again too late");
                self.refresh().await;
            }
            Step::Replay(index) => {
                self.excuse = Some("a token was stolen");
                self.exchange(index.index(self.given_out.len())).await;
            }
            Step::Forge(seed) => self.forge(*seed).await,
            Step::Logout(index) => {
                let token = &self.given_out[index.index(self.given_out.len())];
                let ended = self.test.saas.auth().logout(&self.actor, token).await;
                assert_eq!(ended.expect("the token is theirs"), !self.revoked);
                self.end("signed out");
            }
            Step::RefreshDuringLogout => self.refresh_during_logout().await,
            Step::ComeBack(count) => {
                for _ in 0..*count {
                    self.test.clock.advance(IDLE.saturating_sub(Duration::from_micros(1)));
                    self.refresh().await;
                }
            }
            Step::Wait(duration) => self.test.clock.advance(*duration),
        }
    }

    /// The honest client's own refresh: the only one whose refusal needs an excuse.
    async fn refresh(&mut self) {
        if self.exchange(self.held).await {
            self.held = self.newest();
        } else {
            let expired = self.is_expired().then_some("expired");
            assert!(self.excuse.or(expired).is_some(), "an honest client was logged out");
        }
    }

    /// Uses a token and compares the answer with the model's; `true` when it was exchanged.
    async fn exchange(&mut self, number: usize) -> bool {
        let expected = self.expected(number);
        let answer = self.test.refresh(&self.given_out[number]).await;
        self.learn(number, expected, answer)
    }

    fn learn(&mut self, number: usize, expected: Answer, answer: Result<Tokens, RefreshError>) -> bool {
        let Some(tokens) = exchanged(answer) else {
            assert!(matches!(expected, Answer::Revoked | Answer::Nothing), "{expected:?} for token {number}");
            self.revoked |= expected == Answer::Revoked;
            return false;
        };
        let known = self.given_out.iter().position(|token| token.expose() == tokens.refresh_token.expose());
        match expected {
            Answer::New => {
                assert_eq!(known, None, "token {number} was exchanged for an old one");
                self.given_out.push(tokens.refresh_token.clone());
                self.rotated_at = self.test.saas.clock().now();
            }
            Answer::Newest => assert_eq!(known, Some(self.newest()), "token {number} made a second line"),
            Answer::Revoked | Answer::Nothing => {
                panic!("{expected:?} for token {number}, which was exchanged")
            }
        }
        self.answers.push(tokens);
        true
    }

    async fn refresh_at_once(&mut self, count: usize) {
        let (number, expected) = (self.held, self.expected(self.held));
        let auth = self.test.saas.auth();
        let answers = at_once(count, |_| {
            let (auth, token) = (auth.clone(), self.given_out[number].clone());
            async move { auth.refresh(&anonymous(), &token).await }
        })
        .await;
        let mut expected = expected;
        for answer in answers {
            // Whichever came first made the successor; the others got it within its grace.
            if self.learn(number, expected, answer) {
                expected = Answer::Newest;
                self.held = self.newest();
            } else {
                assert!(self.excuse.is_some() || self.is_expired(), "an honest client was logged out");
                expected = Answer::Nothing;
            }
        }
    }

    async fn forge(&mut self, seed: u8) {
        let real = self.given_out[usize::from(seed) % self.given_out.len()].expose();
        let mut text = real.clone().into_bytes();
        // Within the secret, which the last 42 characters hold and nothing else.
        let place = text.len() - 2 - usize::from(seed) % 41;
        text[place] = if text[place] == b'A' { b'B' } else { b'A' };
        let forged = Secret::new(String::from_utf8(text).expect("it is ASCII"));
        assert!(exchanged(self.test.refresh(&forged).await).is_none());
    }

    async fn refresh_during_logout(&mut self) {
        let expected = self.expected(self.held);
        let auth = self.test.saas.auth();
        let answers = at_once(2, |task| {
            let (auth, actor, token) = (auth.clone(), self.actor.clone(), self.given_out[self.held].clone());
            async move {
                if task == 0 {
                    return Some(auth.refresh(&anonymous(), &token).await);
                }
                auth.logout(&actor, &token).await.expect("the token is theirs");
                None
            }
        })
        .await;
        for answer in answers.into_iter().flatten() {
            // The logout may have come first.
            let expected = if answer.is_err() { Answer::Nothing } else { expected };
            self.learn(self.held, expected, answer);
        }
        self.end("signed out");
    }

    fn end(&mut self, excuse: &'static str) {
        self.revoked = true;
        self.excuse = Some(excuse);
    }

    fn newest(&self) -> usize {
        self.given_out.len() - 1
    }

    fn is_expired(&self) -> bool {
        let now = self.test.saas.clock().now();
        now >= self.rotated_at + IDLE || now >= self.began + ABSOLUTE
    }

    fn expected(&self, number: usize) -> Answer {
        let in_grace = self.test.saas.clock().now() <= self.rotated_at + GRACE;
        if self.revoked || self.is_expired() {
            Answer::Nothing
        } else if number == self.newest() {
            Answer::New
        } else if number + 1 == self.newest() && in_grace {
            Answer::Newest
        } else {
            Answer::Revoked
        }
    }

    /// Tries every token on the state as it is, and puts that state back after each.
    async fn assert_at_most_one_token_lives(&self) {
        let mut new = Vec::new();
        for (number, token) in self.given_out.iter().enumerate() {
            let kept = self.test.family(self.session).await;
            assert_eq!(usize::try_from(kept.generation).ok(), Some(self.given_out.len()));
            if let Some(tokens) = exchanged(self.test.refresh(token).await) {
                assert!(!self.revoked, "token {number} of a revoked family was exchanged");
                let known =
                    self.given_out.iter().position(|token| token.expose() == tokens.refresh_token.expose());
                match known {
                    None => new.push(number),
                    Some(known) => assert_eq!((number + 1, known), (self.newest(), self.newest())),
                }
            }
            self.put_back(&kept).await;
        }
        let live = !self.revoked && !self.is_expired();
        assert_eq!(new, if live { vec![self.newest()] } else { Vec::new() });
    }

    async fn put_back(&self, kept: &saas_auth::Family) {
        let mut tx = self.test.begin().await;
        execute!(
            tx.conn(),
            "UPDATE saas_sessions SET generation = $1, rotated_at = $2, last_seen_at = $3, idle_expires_at = $4, \
             revoked_at = $5, revoked_reason = NULL WHERE id = $6",
            kept.generation,
            kept.rotated_at,
            kept.session.last_seen_at,
            kept.session.idle_expires_at,
            kept.session.revoked_at,
            kept.session.id.as_uuid(),
        )
        .expect("the session is there");
        tx.commit().await.expect("the database answers");
    }

    /// Access tokens live as long as their session, and no longer than they say.
    async fn assert_access_tokens_follow(&self) {
        let now = self.test.saas.clock().now();
        for tokens in self.answers.iter().filter(|tokens| now < tokens.expires_at) {
            let authenticated = self.test.authenticate(tokens).await;
            if self.revoked || self.is_expired() {
                assert!(matches!(authenticated, Err(AuthenticateError::SessionEnded)), "{authenticated:?}");
            } else {
                assert!(authenticated.is_ok(), "{authenticated:?}");
            }
        }
    }
}

fn exchanged(answer: Result<Tokens, RefreshError>) -> Option<Tokens> {
    match answer {
        Ok(tokens) => Some(tokens),
        Err(RefreshError::Invalid) => None,
        Err(error) => panic!("the refresh failed: {error:?}"),
    }
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}
