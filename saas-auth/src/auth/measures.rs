//! What is counted of sign-ins, sessions and decisions.
//!
//! What every request passes is resolved once; the rest is rare beside what it counts, and looked up by name.

use metrics::{Counter, counter};

use super::{
    AuthenticateError, JudgePasswordError, JudgedPassword, RecoveryError, RefreshError, SignInError,
    StepUpError, SwitchError, Tokens,
};
use crate::{GuessKind, HashError, Revocation, WeakPassword, password::BreachedError};

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
        Err(SignInError::Throttled { .. }) => "throttled",
        Err(SignInError::PasswordCompromised) => "password_compromised",
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
        Err(
            StepUpError::TooOften { .. }
            | StepUpError::SecondFactorLocked { .. }
            | StepUpError::SecondFactorBlocked,
        ) => "locked",
        Err(_) => "error",
    };
    counter!("saas_step_ups_total", "outcome" => outcome).increment(1);
}

/// Counts a sign-in that let nobody in after a password was compared, or was not to be.
pub(super) fn refused(reason: &'static str) {
    counter!("saas_sign_in_refusals_total", "reason" => reason).increment(1);
}

/// Counts a lock: for a while, or until somebody unlocks.
pub(super) fn locked(kind: GuessKind, for_good: bool) {
    let lock = if for_good { "ceiling" } else { "wait" };
    counter!("saas_guess_locks_total", "kind" => kind.as_str(), "lock" => lock).increment(1);
}

pub(super) fn unlocked(by: &'static str) {
    counter!("saas_guess_unlocks_total", "by" => by).increment(1);
}

/// Counts a network or a password that begins to be suspected.
pub(super) fn stuffing(scope: &'static str) {
    counter!("saas_stuffing_suspected_total", "scope" => scope).increment(1);
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

pub(super) fn switched(result: &Result<Tokens, SwitchError>) {
    let outcome = match result {
        Ok(_) => "switched",
        Err(SwitchError::InvalidRefreshToken | SwitchError::SessionEnded) => "invalid",
        Err(SwitchError::TenantNotFound) => "tenant_not_found",
        Err(SwitchError::MovedOn) => "moved_on",
        Err(_) => "error",
    };
    counter!("saas_session_switches_total", "outcome" => outcome).increment(1);
}

/// What a refresh can come to.
pub(super) const ROTATED: &str = "rotated";
pub(super) const GRACE: &str = "grace";
pub(super) const REUSE: &str = "reuse";

/// Counts a session when its first tokens are signed: it is committed then, in whosever transaction.
pub(super) fn session_opened() {
    counter!("saas_sessions_opened_total").increment(1);
}

/// Counts what was asked for, by what it is.
pub(super) fn recovery(what: &'static str, outcome: &'static str) {
    counter!("saas_recovery_total", "what" => what, "outcome" => outcome).increment(1);
}

/// Counts what came of a mailed token, or of a password that was asked for once more.
pub(super) fn recovered<T>(what: &'static str, done: &Result<T, RecoveryError>) {
    let outcome = match done {
        Ok(_) => "done",
        Err(RecoveryError::InvalidToken) => "invalid_token",
        Err(RecoveryError::WrongPassword) => "wrong_password",
        Err(RecoveryError::NewPassword(error)) if matches!(**error, JudgePasswordError::Refused(_)) => {
            "weak_password"
        }
        Err(RecoveryError::TooOften { .. }) => "too_often",
        Err(RecoveryError::Hash(HashError::Overloaded { .. })) => "overloaded",
        Err(
            RecoveryError::Hash(_)
            | RecoveryError::Limits(_)
            | RecoveryError::Store(_)
            | RecoveryError::Internal(_),
        ) => "error",
        Err(_) => "refused",
    };
    recovery(what, outcome);
}

pub(super) fn sessions_revoked(why: Revocation, sessions: u64) {
    counter!("saas_sessions_revoked_total", "reason" => why.as_str()).increment(sessions);
}

/// How a new password was judged.
pub(super) fn password_judged(judged: &Result<JudgedPassword, JudgePasswordError>) {
    let outcome = match judged {
        Ok(_) => "accepted",
        Err(JudgePasswordError::Refused(refused)) => match refused.why() {
            WeakPassword::TooLong => "too_long",
            WeakPassword::TooShort(_) => "too_short",
            WeakPassword::Repeated => "repetitive",
            WeakPassword::Common => "common",
            WeakPassword::Context(_) => "context",
            WeakPassword::Breached => "breached",
            WeakPassword::Reused => "reused",
        },
        Err(_) => "error",
    };
    counter!("saas_passwords_judged_total", "outcome" => outcome).increment(1);
}

/// How a hash at today's parameters went.
pub(super) fn rehashed(outcome: &'static str) {
    counter!("saas_password_rehashes_total", "outcome" => outcome).increment(1);
}

/// What the list of stolen passwords said, and when it was asked.
pub(super) fn breached_looked_up(when: &'static str, found: &Result<bool, BreachedError>) {
    let outcome = match found {
        Ok(true) => "found",
        Ok(false) => "not_found",
        Err(_) => "unavailable",
    };
    counter!("saas_breached_password_lookups_total", "when" => when, "outcome" => outcome).increment(1);
}
