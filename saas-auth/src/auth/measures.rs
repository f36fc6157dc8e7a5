//! What is counted of sign-ins, sessions and decisions.
//!
//! What every request passes is resolved once; the rest is rare beside what it counts, and looked up by name.

use metrics::{Counter, counter};

use super::{AuthenticateError, RefreshError, SignInError, StepUpError, Tokens};
use crate::{HashError, Revocation};

/// How requests were decided.
#[derive(Debug)]
pub(super) struct Measures {
    /// By what was remembered of the token.
    pub(super) remembered: Counter,
    /// By asking the storage.
    pub(super) asked: Counter,
    refused: Counter,
    failed: Counter,
}

impl Measures {
    pub(super) fn new() -> Self {
        Self {
            remembered: counter!("saas_authentications_total", "decision" => "remembered"),
            asked: counter!("saas_authentications_total", "decision" => "asked"),
            refused: counter!("saas_authentications_total", "decision" => "refused"),
            failed: counter!("saas_authentications_total", "decision" => "error"),
        }
    }

    pub(super) fn not_authenticated(&self, error: &AuthenticateError) {
        let failed = matches!(error, AuthenticateError::Store(_) | AuthenticateError::Internal(_));
        let counter = if failed { &self.failed } else { &self.refused };
        counter.increment(1);
    }
}

pub(super) fn sign_in(result: &Result<Tokens, SignInError>) {
    let outcome = match result {
        Ok(_) => "success",
        Err(SignInError::InvalidCredentials) => "invalid_credentials",
        Err(SignInError::TenantRequired { .. }) => "tenant_required",
        Err(SignInError::SecondFactorRequired { .. }) => "second_factor_required",
        Err(SignInError::Hash(HashError::Overloaded { .. })) => "overloaded",
        Err(_) => "error",
    };
    counter!("saas_sign_in_attempts_total", "outcome" => outcome).increment(1);
}

pub(super) fn second_factor(result: &Result<Tokens, SignInError>, factor: &'static str) {
    let outcome = match result {
        Ok(_) => "success",
        Err(SignInError::InvalidChallenge) => "invalid_challenge",
        Err(SignInError::InvalidCode) => "invalid_code",
        Err(SignInError::SecondFactorLocked { .. } | SignInError::SecondFactorBlocked) => "locked",
        Err(_) => "error",
    };
    counter!("saas_second_factor_attempts_total", "factor" => factor, "outcome" => outcome).increment(1);
}

pub(super) fn step_up(result: &Result<Tokens, StepUpError>) {
    let outcome = match result {
        Ok(_) => "success",
        Err(StepUpError::Refused) => "refused",
        Err(StepUpError::Exhausted) => "exhausted",
        Err(StepUpError::SecondFactorLocked { .. } | StepUpError::SecondFactorBlocked) => "locked",
        Err(_) => "error",
    };
    counter!("saas_step_ups_total", "outcome" => outcome).increment(1);
}

/// `outcome` is what a genuine token was worth; a refusal or a failure says more.
pub(super) fn refresh(result: &Result<Tokens, RefreshError>, outcome: &'static str) {
    let outcome = match (result, outcome) {
        (Ok(_), _) | (Err(RefreshError::Invalid), REUSE) => outcome,
        (Err(RefreshError::Invalid), _) => "invalid",
        (Err(_), _) => "error",
    };
    counter!("saas_refresh_attempts_total", "outcome" => outcome).increment(1);
}

/// What a refresh can come to.
pub(super) const ROTATED: &str = "rotated";
pub(super) const GRACE: &str = "grace";
pub(super) const REUSE: &str = "reuse";

/// Counts a session when its first tokens are signed: it is committed then, in whosever transaction.
pub(super) fn session_opened() {
    counter!("saas_sessions_opened_total").increment(1);
}

pub(super) fn sessions_revoked(why: Revocation, sessions: u64) {
    counter!("saas_sessions_revoked_total", "reason" => why.as_str()).increment(sessions);
}
