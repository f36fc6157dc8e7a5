//! Every metric there is: its name, its labels, what it means. The page `docs/operations/metrics.md` is made of it, and a test holds it
//! against what is served.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// One metric.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: &'static [Label],
    /// What it means.
    pub help: &'static str,
}

/// What kind a metric is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How often a value was at most each of these.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word for it in Prometheus' text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What tells a metric's series apart.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it can be.
    pub values: Values,
}

/// What a label can be. Whichever: never what a caller makes up.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Values {
    /// One of these.
    Listed(&'static [&'static str]),
    /// As many as the program has, as these words say.
    OfTheProgram(&'static str),
}

const fn listed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Listed(values) }
}

const fn of_the_program(name: &'static str, words: &'static str) -> Label {
    Label { name, values: Values::OfTheProgram(words) }
}

/// From what a request of ours takes to what a proxy waits for: those of the earlier system, and two more.
const REQUEST: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Signing and verifying take microseconds.
const SIGNATURE: &[f64] = &[0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025];
/// Models think for seconds, and some for minutes.
const RUN: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// From a file to a mail server that looks everything up first.
const MAIL: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const METHOD: Label = listed(
    "method",
    &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "_OTHER"],
);
const ROUTE: Label =
    of_the_program("route", "a route's template, as `/api/v1/runs/{run_id}`, or `unmatched`");
const POOL: Label = listed("pool", &["read", "write"]);
const JOB_KIND: Label = of_the_program("kind", "the job's kind, as `mail.send`");
const RUN_STATUS: Label = listed("status", &["completed", "failed", "cancelled", "interrupted"]);
const RESULT: Label = listed("result", &["success", "failure"]);
const TRANSPORT: Label = listed("transport", &["folder", "smtp", "resend", "own"]);
const TOKEN_USE: Label = listed("token_use", &["access", "unknown"]);
const RECOVERY: Label = listed(
    "what",
    &["verification", "password_reset", "password_change", "email_change", "email_change_undo", "unlock"],
);
const RECOVERY_OUTCOME: Label = listed(
    "outcome",
    &[
        "requested",
        "done",
        "invalid_token",
        "wrong_password",
        "weak_password",
        "too_often",
        "overloaded",
        "refused",
        "error",
    ],
);
macro_rules! metrics {
    ($($name:literal $kind:expr, [$($label:expr),*], $help:literal;)+) => {
        /// Every metric, in the order of the documentation.
        pub const CATALOGUE: &[Metric] = &[$(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help }),+];
    };
}

metrics! {
    "http_requests_total" Kind::Counter,
        [METHOD, ROUTE, of_the_program("status", "the answer's status, as `200`")],
        "Requests that were answered.";
    "http_request_duration_seconds" Kind::Histogram(REQUEST), [METHOD, ROUTE],
        "From a request's head to the head of its answer; a stream's body is not in it.";
    "http_requests_in_flight" Kind::Gauge, [], "Requests that are being answered.";
    "saas_http_connections_open" Kind::Gauge, [], "Connections that are open.";
    "saas_http_streams_open" Kind::Gauge, [], "Streams of events that somebody follows.";

    "saas_sign_in_attempts_total" Kind::Counter,
        [listed("outcome", &["success", "invalid_credentials", "tenant_required", "second_factor_required", "password_compromised", "throttled", "overloaded", "error"])],
        "Sign-ins with a password, by what came of them.";
    "saas_sign_in_refusals_total" Kind::Counter,
        [of_the_program("reason", "why, as `wrong_password`, `unknown_account` or `locked`")],
        "Sign-ins that let nobody in although they got as far as a password, by a reason that whoever asks is not told.";
    "saas_guess_locks_total" Kind::Counter,
        [listed("kind", &["account", "device", "own_password", "second_factor"]), listed("lock", &["wait", "ceiling"])],
        "Locks after wrong guesses: for a while, or until somebody unlocks; each longer wait counts.";
    "saas_guess_unlocks_total" Kind::Counter, [listed("by", &["mail", "operator"])], "Accounts that somebody unlocked.";
    "saas_stuffing_suspected_total" Kind::Counter, [listed("scope", &["address", "password"])],
        "Networks and passwords that were wrong for so many accounts that they are suspected of trying out stolen ones.";
    "rate_limit_hits_total" Kind::Counter,
        [of_the_program("quota", "the quota, as `sign_in` or `password_reset`"), of_the_program("scope", "whose it was, as `address`, `subnet` or `email`")],
        "Requests that a quota turned away.";
    "saas_second_factor_attempts_total" Kind::Counter,
        [listed("factor", &["totp", "recovery_code"]), listed("outcome", &["success", "invalid_challenge", "invalid_code", "locked", "error"])],
        "Second factors that were shown after a password, by what came of them.";
    "saas_second_factors_total" Kind::Counter, [listed("change", &["added", "removed"])],
        "Authenticator apps that were added and removed.";
    "saas_step_ups_total" Kind::Counter, [listed("outcome", &["success", "refused", "exhausted", "locked", "error"])],
        "Users who were to prove again who they are within a session, by what came of it.";
    "saas_refresh_attempts_total" Kind::Counter,
        [listed("outcome", &["rotated", "grace", "reuse", "invalid", "error"])],
        "Uses of refresh tokens, by what came of them; `reuse` ended a session, because somebody else may hold a copy.";
    "saas_recovery_total" Kind::Counter, [RECOVERY, RECOVERY_OUTCOME],
        "Mails that prove an address or set a password, as they were asked for and used; changes of passwords and addresses.";
    "saas_sessions_opened_total" Kind::Counter, [], "Sessions whose first tokens were given out.";
    "saas_sessions_revoked_total" Kind::Counter,
        [listed("reason", &["logout", "logout_all", "logout_others", "revoked_from_list", "refresh_reuse", "user_disabled", "factor_removed", "password_change", "password_reset", "email_change_undone"])],
        "Sessions that were ended; those that expire are not in it.";
    "saas_session_switches_total" Kind::Counter,
        [listed("outcome", &["switched", "invalid", "tenant_not_found", "moved_on", "error"])],
        "Sessions that were to be taken to another tenant, by what came of it.";
    "saas_session_places_total" Kind::Counter, [listed("outcome", &["found", "unknown", "unavailable"])],
        "Addresses that sessions were opened from and that somebody was asked about, by what came of it.";
    "saas_authentications_total" Kind::Counter,
        [listed("decision", &["remembered", "asked", "refused", "error"])],
        "Access tokens and session cookies that were decided on: by what was remembered of them, by asking the storage, refused, or not for a fault of ours.";
    "signup_attempts_total" Kind::Counter,
        [listed("result", &["register_success", "register_error"]), listed("policy", &["public", "invite_only", "approval"])],
        "Registrations; one that joins a transaction of an embedder's is not in it.";

    "saas_password_hash_slots" Kind::Gauge, [], "Passwords that can be hashed at once.";
    "saas_password_hashes_running" Kind::Gauge, [], "Passwords that are being hashed, or looked at for advice.";
    "saas_password_hashes_waiting" Kind::Gauge, [], "Passwords that wait for that.";
    "saas_password_hashes_shed_total" Kind::Counter, [], "Passwords that were turned away because too many waited.";
    "saas_password_hash_duration_seconds" Kind::Histogram(REQUEST), [], "How long hashing a password took, without the wait.";

    "saas_passwords_judged_total" Kind::Counter,
        [listed("outcome", &[
            "accepted", "too_short", "too_long", "repetitive", "common", "context", "breached", "reused", "error",
        ])],
        "New passwords, by what was found of them; `error` is a fault of ours, or nobody to ask.";
    "saas_password_rehashes_total" Kind::Counter, [listed("outcome", &["done", "overtaken", "failed"])],
        "Right passwords whose hashes were older than the parameters or the pepper; `overtaken` was changed meanwhile, `failed` comes again.";
    "saas_breached_password_lookups_total" Kind::Counter,
        [listed("when", &["set", "sign_in"]), listed("outcome", &["found", "not_found", "unavailable"])],
        "Passwords that were looked up in the list of stolen ones; what is `unavailable` goes by `BREACHED_PASSWORDS_WHEN_UNKNOWN`.";

    "jwt_signings_total" Kind::Counter, [RESULT, TOKEN_USE], "Access tokens that were to be signed.";
    "jwt_signing_duration_seconds" Kind::Histogram(SIGNATURE), [RESULT, TOKEN_USE], "How long signing a token took.";
    "jwt_verifications_total" Kind::Counter, [RESULT, TOKEN_USE],
        "Access tokens that were verified; one that is remembered is not verified again.";
    "jwt_verification_duration_seconds" Kind::Histogram(SIGNATURE), [RESULT, TOKEN_USE], "How long verifying a token took.";
    "jwks_requests_total" Kind::Counter, [], "Requests for the public keys.";
    "jwks_not_modified_total" Kind::Counter, [], "Those of them whose sender had the keys already.";
    "saas_signing_key_age_seconds" Kind::Gauge, [], "How long the active key has been signing.";

    "saas_runs_total" Kind::Counter, [RUN_STATUS], "Runs that ended.";
    "saas_run_duration_seconds" Kind::Histogram(RUN), [RUN_STATUS],
        "From a run's turn to its stored outcome; one that was lost or cancelled before its turn is not in it.";
    "saas_model_errors_total" Kind::Counter,
        [listed("code", &[
            "model_rate_limited", "model_unavailable", "model_access", "conversation_too_long", "model_refused", "model_truncated",
            "model_malformed",
        ])],
        "Answers that a model did not give or finish.";
    "email_delivery_attempts_total" Kind::Counter,
        [listed("category", &saas_mail::Letter::NAMES), TRANSPORT, listed("result", &["success", "later", "refused", "unavailable"])],
        "Mails that were handed to what delivers them, by what came of it; one that fails is counted again when it is tried again.";
    "email_delivery_latency_seconds" Kind::Histogram(MAIL), [TRANSPORT], "How long handing a mail over took, whatever came of it.";

    "saas_jobs" Kind::Gauge, [listed("state", &["waiting", "running", "dead"])],
        "Jobs that are not done, in the whole deployment, as a process that does jobs counts them each quarter of a minute, up to 10,000 of a state.";
    "saas_job_attempts_total" Kind::Counter,
        [JOB_KIND, listed("outcome", &["done", "retried", "dead", "lease_lost"])],
        "Attempts at jobs, by what came of them.";
    "saas_job_attempt_duration_seconds" Kind::Histogram(RUN), [JOB_KIND], "How long attempts at jobs took.";

    "saas_event_log_batches_total" Kind::Counter, [], "Transactions that appended events of runs.";
    "saas_event_log_events_total" Kind::Counter, [], "Events of runs that were appended.";
    "saas_event_log_trimmed_total" Kind::Counter, [],
        "Events of runs that were removed by age or because a run had too many; those of removed conversations are not in it.";

    "saas_audit_rows_total" Kind::Counter, [of_the_program("action", "what was done, as `auth.session.opened`")],
        "Rows of the audit log that were recorded.";
    "saas_audit_unsealed_rows" Kind::Gauge, [],
        "Rows of the audit log that had no place in their chain after the last round of sealing; where it grows, look at `saas audit verify`.";

    "saas_storage_pool_connections" Kind::Gauge, [POOL, listed("state", &["idle", "in_use"])], "Connections to the database.";
    "saas_storage_pool_connections_limit" Kind::Gauge, [POOL], "Connections to the database that there may be.";
    "saas_storage_pool_timeouts_total" Kind::Counter, [POOL],
        "Waits in vain for a connection, or for SQLite's one writer.";
    "saas_storage_begin_wait_seconds" Kind::Histogram(REQUEST), [], "How long transactions waited to begin.";

    "saas_build_info" Kind::Gauge, [of_the_program("version", "the release, as `0.1.0`")], "1, with what runs as labels.";
    "saas_uptime_seconds" Kind::Gauge, [], "Seconds since the product was opened.";
    "process_cpu_seconds_total" Kind::Counter, [], "Seconds that the process has spent on processors.";
    "process_threads" Kind::Gauge, [], "Threads of the process.";
    "process_start_time_seconds" Kind::Gauge, [], "When the process was started, in seconds since 1970.";
    "process_virtual_memory_bytes" Kind::Gauge, [], "Address space of the process.";
    "process_resident_memory_bytes" Kind::Gauge, [], "Memory of the process that is in RAM.";
    "process_open_fds" Kind::Gauge, [], "File descriptors that are open.";
    "process_max_fds" Kind::Gauge, [], "File descriptors that may be open.";
}

/// The metric of that name.
pub(super) fn named(name: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| metric.name == name)
}

/// Tells the installed recorder of all but the process's, which do not pass through it. A series that can be named before it happens is
/// there from the beginning: a counter that appears with 1 has no rate.
pub(super) fn describe() {
    for metric in CATALOGUE.iter().filter(|metric| !metric.name.starts_with("process_")) {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
        match metric.labels {
            [] => begin(metric, &[]),
            [Label { name, values: Values::Listed(values) }] => {
                values.iter().for_each(|value| begin(metric, &[(name, value)]));
            }
            _ => {}
        }
    }
}

fn begin(metric: &Metric, labels: &[(&'static str, &'static str)]) {
    match metric.kind {
        Kind::Counter => drop(counter!(metric.name, labels)),
        Kind::Gauge => drop(gauge!(metric.name, labels)),
        Kind::Histogram(_) => drop(histogram!(metric.name, labels)),
    }
}
