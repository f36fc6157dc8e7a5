//! An authenticator app, as tests have one on their desk.

use std::sync::Arc;

use saas_auth::{AddedFactor, FactorProof, SecondFactorSignIn, SignInError, Tokens, TotpCode, TotpSeed};
use saas_core::{Actor, Client, Clock, Secret, clock::ManualClock};

use super::TestSaas;

/// An authenticator app that was told a secret.
#[derive(Debug, Clone)]
pub struct Authenticator {
    seed: TotpSeed,
    clock: Arc<ManualClock>,
}

impl Authenticator {
    /// Told this secret, in base32; its time is the test's.
    pub fn new(secret: &str, clock: Arc<ManualClock>) -> Self {
        let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
        for letter in secret.bytes() {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'2'..=b'7' => letter - b'2' + 26,
                _ => panic!("the secret is base32"),
            };
            bits = bits << 5 | u32::from(value);
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count & 255) as u8);
            }
        }
        let seed = TotpSeed::from_bytes(&bytes).expect("the secret has 160 bits");
        Self { seed, clock }
    }

    /// What it shows now.
    pub fn shown(&self) -> String {
        self.seed.code_at(self.clock.now()).expect("codes are made").expose().clone()
    }

    /// The same, to send.
    pub fn code(&self) -> TotpCode {
        TotpCode::parse(&self.shown()).expect("it shows six digits")
    }

    /// The code that it shows next, which counts already.
    pub fn next_code(&self) -> TotpCode {
        let next = self.clock.now() + chrono::TimeDelta::seconds(30);
        let code = self.seed.code_at(next).expect("codes are made");
        TotpCode::parse(code.expose()).expect("it has six digits")
    }

    /// One that it shows neither now nor before nor after.
    pub fn wrong(&self) -> TotpCode {
        let near: Vec<String> = [-30, 0, 30]
            .into_iter()
            .filter_map(|seconds| {
                self.seed.code_at(self.clock.now() + chrono::TimeDelta::seconds(seconds)).ok()
            })
            .map(|code| code.expose().clone())
            .collect();
        let other = ["000000", "000001", "000002", "000003"]
            .into_iter()
            .find(|code| !near.iter().any(|it| it == code));
        TotpCode::parse(other.expect("three codes are not four")).expect("it has six digits")
    }
}

impl TestSaas {
    /// Adds an authenticator app for somebody who has just signed in. Its first code is used, so the clock is moved on to the next one; the mail
    /// about it is sent.
    pub async fn add_authenticator(&self, tokens: &Tokens) -> (Authenticator, AddedFactor) {
        let (auth, actor) = (self.saas.auth(), self.actor(tokens).await);
        let begun = auth.enrol_totp(&actor).await.expect("they have just signed in");
        let app = Authenticator::new(begun.secret.expose(), Arc::clone(&self.clock));
        let added = auth.confirm_totp(&actor, &app.code()).await.expect("the code is right");
        self.drain_jobs().await;
        self.next_code();
        (app, added)
    }

    /// Moves the clock on until apps show another code.
    pub fn next_code(&self) {
        self.clock.advance(std::time::Duration::from_secs(30));
    }

    /// The challenge that somebody with a second factor gets for [`PASSWORD`](super::PASSWORD).
    pub async fn challenge(&self, email: &str) -> Secret<String> {
        match self.sign_in(email).await {
            Err(SignInError::SecondFactorRequired { challenge, .. }) => challenge,
            other => panic!("a second factor is asked for: {other:?}"),
        }
    }

    /// Shows a second factor for a challenge.
    pub async fn meet(&self, challenge: &Secret<String>, proof: FactorProof) -> Result<Tokens, SignInError> {
        let command = SecondFactorSignIn::new(challenge.clone(), proof);
        let nobody = Actor::anonymous(None, Client::default());
        self.saas.auth().sign_in_with_second_factor(&nobody, command).await
    }
}
