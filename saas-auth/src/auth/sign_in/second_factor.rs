//! The second factor: a challenge after the password, and a code of the authenticator app or a recovery code against it.

use chrono::{SubsecRound, TimeDelta};
use saas_core::{Actor, Secret, TenantId, Tx, UserId};

use super::{
    REACH, SignInError,
    admission::{Admitted, AdmittedBy},
    first_factor::Proven,
    refusal::NotSignedIn,
    still_has,
};
use crate::{
    Auth, AuthMethod, AuthMethods, Challenge, ChallengeId, RecoveryCode, Tokens, TotpCode, User, UserStatus,
    auth::{guesses::Guess, measures, second_factor::Held},
    challenge::ChallengeToken,
};

/// How long a challenge is good for.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// How many codes are looked at for one challenge.
const ATTEMPTS: i64 = 5;

/// What proves a second factor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FactorProof {
    /// A code of the authenticator app.
    Code(TotpCode),
    /// A recovery code, which is used up.
    RecoveryCode(RecoveryCode),
}

impl FactorProof {
    /// The word for it in metrics.
    pub(in crate::auth) const fn word(&self) -> &'static str {
        match self {
            Self::Code(_) => "totp",
            Self::RecoveryCode(_) => "recovery_code",
        }
    }

    /// What it is called in tokens.
    pub(in crate::auth) const fn method(&self) -> AuthMethod {
        match self {
            Self::Code(_) => AuthMethod::Otp,
            Self::RecoveryCode(_) => AuthMethod::RecoveryCode,
        }
    }
}

/// The second half of signing in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SecondFactorSignIn {
    /// The challenge that the first half answered with.
    pub challenge: Secret<String>,
    /// What proves the second factor.
    pub proof: FactorProof,
    /// What an earlier sign-in gave this device, as in [`SignIn`](super::SignIn).
    pub device_token: Option<Secret<String>>,
}

impl SecondFactorSignIn {
    /// This proof for that challenge.
    pub const fn new(challenge: Secret<String>, proof: FactorProof) -> Self {
        Self { challenge, proof, device_token: None }
    }

    /// On a device that had this token from an earlier sign-in.
    #[must_use]
    pub fn with_device_token(mut self, device_token: Option<Secret<String>>) -> Self {
        self.device_token = device_token;
        self
    }
}

/// What becomes of what proved a second factor: it is used up.
#[derive(Debug, Clone)]
pub(in crate::auth) enum Use {
    /// The step of a code.
    Step(i64),
    /// A recovery code, by the hashes that may have been kept of it.
    Code(Vec<[u8; 32]>),
}

/// A challenge that was met.
pub(super) struct Spent {
    challenge: Challenge,
    what: Use,
}

impl Auth {
    /// Shows the second factor after the password, and opens a session.
    pub async fn sign_in_with_second_factor(
        &self,
        actor: &Actor,
        command: SecondFactorSignIn,
    ) -> Result<Tokens, SignInError> {
        let tokens = self.met(actor, &command).await;
        measures::second_factor(&tokens, command.proof.word());
        tokens
    }

    async fn met(&self, actor: &Actor, command: &SecondFactorSignIn) -> Result<Tokens, SignInError> {
        // Nothing of the storage is asked for a challenge that is forged or over.
        let token =
            ChallengeToken::parse(command.challenge.expose()).map_err(|_| SignInError::InvalidChallenge)?;
        if !self.second_factor_keys.made(&token)? || token.is_over(self.now()) {
            return Err(SignInError::InvalidChallenge);
        }
        match self.try_second_factor(actor, &token, command).await {
            Ok(tokens) => Ok(tokens),
            Err(NotSignedIn::Refused { user, reason, answer }) => {
                self.record_refusal(actor, Some(token.tenant), user, reason).await?;
                Err(answer)
            }
            Err(NotSignedIn::Failed(error)) => Err(error),
        }
    }

    async fn try_second_factor(
        &self,
        actor: &Actor,
        token: &ChallengeToken,
        command: &SecondFactorSignIn,
    ) -> Result<Tokens, NotSignedIn> {
        let (challenge, guess) = self.count_attempt(token, &command.proof).await?;
        let done = self.met_by(actor, token, challenge, command).await;
        match (&done, &guess) {
            (Err(NotSignedIn::Refused { answer: SignInError::InvalidCode, .. }), Some(guess)) => {
                self.guessed_wrong(actor, Some(token.user), guess).await?;
            }
            (Err(_), Some(guess)) => self.take_back_or_say(guess).await,
            _ => {}
        }
        done
    }

    async fn met_by(
        &self,
        actor: &Actor,
        token: &ChallengeToken,
        challenge: Challenge,
        command: &SecondFactorSignIn,
    ) -> Result<Tokens, NotSignedIn> {
        let admitted = self.admit_by(challenge, token.tenant, &command.proof).await?;
        let user = admitted.user.clone();
        let mut tokens = self.open_admitted(actor, admitted).await.map_err(challenge_over)?;
        tokens.device_token = self.device_token_after(&user, command.device_token.as_ref()).await;
        Ok(tokens)
    }

    /// Makes what somebody with the right password gets instead of a session.
    pub(super) async fn challenge(
        &self,
        proven: &Proven,
        tenant: TenantId,
    ) -> Result<NotSignedIn, NotSignedIn> {
        let (now, user) = (self.now(), &proven.user);
        let mut tx = self.ports.storage.begin(REACH).await?;
        // Held until the commit, as where a session is opened: whoever sets a new password comes first and is seen, or ends this challenge.
        let held = self.ports.users.shared(&mut tx, user.id).await?;
        still_has(held, user, &proven.password)?;
        let challenge = Challenge {
            id: ChallengeId::generate(&*self.ports.clock, &*self.ports.entropy),
            user: user.id,
            created_at: now,
            // Whole seconds, as the token has them.
            expires_at: (now + LIFETIME).trunc_subsecs(0),
        };
        self.ports.challenges.insert(&mut tx, &challenge).await?;
        tx.commit().await?;
        let expires_at = challenge.expires_at;
        let challenge = self.second_factor_keys.challenge(&challenge, tenant)?;
        let answer = SignInError::SecondFactorRequired { challenge, expires_at };
        Ok(NotSignedIn::Refused { user: Some(user.id), reason: "second_factor_required", answer })
    }

    /// Counts the attempt, and for a code the guess, before anything is compared. It is committed: who leaves has tried all the same.
    async fn count_attempt(
        &self,
        token: &ChallengeToken,
        proof: &FactorProof,
    ) -> Result<(Challenge, Option<Guess>), NotSignedIn> {
        let now = self.now();
        let mut tx = self.ports.storage.begin(REACH).await?;
        let challenge = self.ports.challenges.attempt(&mut tx, token.id, ATTEMPTS, now).await?;
        let challenge = challenge
            .filter(|challenge| challenge.user == token.user)
            .ok_or(NotSignedIn::Failed(SignInError::InvalidChallenge))?;
        tx.commit().await?;
        match self.guess_at(token.user, proof).await? {
            Ok(guess) => Ok((challenge, guess)),
            Err(held) => {
                let answer = match held {
                    Held::For(retry_after) => SignInError::SecondFactorLocked { retry_after },
                    Held::ForGood => SignInError::SecondFactorBlocked,
                };
                Err(NotSignedIn::Refused { user: Some(token.user), reason: "second_factor_locked", answer })
            }
        }
    }

    /// Compares, and asks again whether the user may come in: minutes may have passed since the password.
    async fn admit_by(
        &self,
        challenge: Challenge,
        tenant: TenantId,
        proof: &FactorProof,
    ) -> Result<Admitted, NotSignedIn> {
        let over = |reason| NotSignedIn::Refused {
            user: Some(challenge.user),
            reason,
            answer: SignInError::InvalidChallenge,
        };
        let mut conn = self.ports.storage.read(REACH).await?;
        let user = self.ports.users.by_id(&mut conn, challenge.user).await?;
        let user =
            user.filter(|user| user.status == UserStatus::Active).ok_or_else(|| over("user_disabled"))?;
        let standing = self.tenant_for(&mut conn, &user, Some(tenant)).await;
        let (tenant, role) = standing.map_err(challenge_over)?;
        let factor = self.second_factor_of(&mut conn, user.id).await?;
        drop(conn);
        let factor = factor.ok_or_else(|| over("no_second_factor"))?;
        let what = self.proved(&factor, proof)?.ok_or_else(|| wrong_code(user.id))?;
        let methods = AuthMethods::of(AuthMethod::Password).and(proof.method());
        let by = AdmittedBy::SecondFactor(Spent { challenge, what });
        Ok(Admitted { user, tenant, role, methods, by })
    }

    /// Uses up what proved the second factor, where a session is opened for it, if the challenge is still there: a new password ends it.
    pub(super) async fn spend(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: &User,
        spent: &Spent,
    ) -> Result<(), NotSignedIn> {
        let over = |reason| NotSignedIn::Refused {
            user: Some(user.id),
            reason,
            answer: SignInError::InvalidChallenge,
        };
        if !self.ports.challenges.close(tx, spent.challenge.id).await? {
            return Err(over("challenge_ended"));
        }
        if self.use_up_proof(tx, actor, user.id, &spent.what).await? {
            Ok(())
        } else {
            Err(wrong_code(user.id))
        }
    }
}

/// Who may not come in any more hears that the challenge is over: their password was right.
fn challenge_over(refused: NotSignedIn) -> NotSignedIn {
    match refused {
        NotSignedIn::Refused { user, reason, answer: SignInError::InvalidCredentials } => {
            NotSignedIn::Refused { user, reason, answer: SignInError::InvalidChallenge }
        }
        other => other,
    }
}

fn wrong_code(user: UserId) -> NotSignedIn {
    NotSignedIn::Refused { user: Some(user), reason: "wrong_code", answer: SignInError::InvalidCode }
}
