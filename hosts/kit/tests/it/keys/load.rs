//! Tokens in use while keys are rotated.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use saas_auth::{Tokens, token::IssuedToken};
use saas_core::Secret;
use saas_kit::{Saas, testing::TestSaas};
use saas_tenancy::Registered;
use tokio::task::JoinHandle;

use super::{SECOND, advance_to, anonymous, authenticate, issue, verify};

/// Tasks that make tokens on one replica and use them on the other, without a pause.
pub(super) struct Load {
    rounds: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(replicas: &[Saas; 2], who: Registered) -> Self {
        let who = Arc::new(who);
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
        let [one, other] = replicas;
        let task = |number: usize| (Arc::clone(&rounds[number]), Arc::clone(&stop));
        let tasks = vec![
            tokio::spawn(hold(one.clone(), other.clone(), Arc::clone(&who), task(0))),
            tokio::spawn(hold(other.clone(), one.clone(), Arc::clone(&who), task(1))),
            tokio::spawn(refresh(replicas.clone(), who.tokens.refresh_token.clone(), task(2))),
        ];
        Self { rounds, stop, tasks }
    }

    /// Waits until each task has made and used a token since now.
    pub(super) async fn goes_on(&self) {
        let until: Vec<u64> = self.rounds.iter().map(|round| round.load(Ordering::SeqCst) + 2).collect();
        while self.rounds.iter().zip(&until).any(|(round, until)| round.load(Ordering::SeqCst) < *until) {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a token was refused");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets the time pass bit by bit.
    pub(super) async fn goes_on_until(&self, moment: DateTime<Utc>, test: &TestSaas) {
        while test.saas.clock().now() < moment {
            advance_to(moment.min(test.saas.clock().now() + 30 * SECOND), test);
            self.goes_on().await;
        }
    }

    pub(super) async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no token was refused");
        }
    }
}

/// Tokens are held for their whole lives, and both replicas take them all the time.
async fn hold(
    signer: Saas,
    verifier: Saas,
    who: Arc<Registered>,
    (rounds, stop): (Arc<AtomicU64>, Arc<AtomicBool>),
) {
    let mut held: Vec<IssuedToken> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let new = issue(&signer, &who);
        for issued in held.iter().chain([&new]) {
            for saas in [&verifier, &signer] {
                let answer = verify(saas, issued);
                let over = saas.clock().now().timestamp() >= issued.claims.exp;
                assert!(answer.is_ok() || over, "{answer:?}: {:?}", issued.claims);
            }
        }
        held.retain(|issued| signer.clock().now().timestamp() < issued.claims.exp);
        if held.last().is_none_or(|last| new.claims.iat >= last.claims.iat + 60) {
            held.push(new);
        }
        rounds.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A client that refreshes on one replica and asks the other.
async fn refresh(
    replicas: [Saas; 2],
    token: Secret<String>,
    (rounds, stop): (Arc<AtomicU64>, Arc<AtomicBool>),
) {
    let mut token = token;
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        let [one, other] = [&replicas[round % 2], &replicas[(round + 1) % 2]];
        let tokens: Tokens = one.auth().refresh(&anonymous(), &token).await.expect("the session is live");
        authenticate(other, &tokens.access_token).await.expect("the token was just made");
        token = tokens.refresh_token;
        round += 1;
        rounds.fetch_add(1, Ordering::SeqCst);
    }
}
