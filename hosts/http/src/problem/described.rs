//! Problems in the API's description: shared responses, each with its codes as examples.
//!
//! A handler names the types of this file among its `responses`. What can happen to every operation is added by `description.rs`.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use http::StatusCode;
use saas_core::{FieldError, RequestId, Role};
use serde_json::{Value, json};
use utoipa::{
    IntoResponses,
    openapi::{Content, Ref, RefOr, Response, example::Example},
};
use uuid::Uuid;

use super::{Problem, ProblemBody};
use crate::auth::wire::{PasswordAdviceBody, RoleName};

/// A tenant to choose from.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) struct ProblemTenant {
    /// For `tenant_id` of the sign-in.
    tenant_id: Uuid,
    /// Its name in URLs.
    slug: String,
    /// Its name for people.
    name: String,
    /// The user's role in it.
    role: RoleName,
}

/// What some codes add.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) struct ProblemMembers {
    /// With `tenant_required`: the tenants to choose from.
    #[schema(required = false)]
    tenants: Vec<ProblemTenant>,
    /// With `second_factor_required`: what stands for the password until `expires_at`.
    #[schema(required = false)]
    challenge: String,
    /// With `second_factor_required`: when the challenge ends.
    #[schema(required = false, format = DateTime)]
    expires_at: String,
    /// With `step_up_required`: how many seconds ago the user may have proved who they are.
    #[schema(required = false)]
    max_age: u64,
    /// With `invalid_password`: how hard the password would be to guess.
    #[schema(required = false)]
    password_advice: PasswordAdviceBody,
    /// With `not_ready`: `ok` or `failed` for each part that serving needs.
    #[schema(required = false)]
    checks: HashMap<String, String>,
    /// With `run_failed`: why, as `model_rate_limited`.
    #[schema(required = false)]
    reason: String,
    /// With `run_failed` and `events_trimmed`: the run, to look at.
    #[schema(required = false)]
    run_id: Uuid,
    /// With `events_trimmed`: the id to follow after, for what is still kept.
    #[schema(required = false, pattern = "^[0-9]+[.][0-9]+$", example = "1.42")]
    after: String,
}

/// Makes, of each line, a response of the description's components and a type that stands for a reference to it.
macro_rules! problems {
    ($($name:ident $status:ident $description:literal {
        $($code:literal $detail:literal $(. $method:ident($($argument:expr),*))?;)+
    })+) => {
        $(
            #[doc = $description]
            #[derive(Debug)]
            pub(crate) enum $name {}

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let reference = Ref::from_response_name(stringify!($name));
                    BTreeMap::from([(StatusCode::$status.as_str().to_owned(), RefOr::Ref(reference))])
                }
            }
        )+

        /// The responses, by name.
        pub(crate) fn components() -> Vec<(&'static str, Response)> {
            vec![$((
                stringify!($name),
                response(
                    StatusCode::$status,
                    $description,
                    vec![$(($code, Problem::new(StatusCode::$status, $code, $detail)$(.$method($($argument),*))?)),+],
                ),
            )),+]
        }
    };
}

problems! {
    NotJson BAD_REQUEST "The body is not JSON." {
        "invalid_json" "the body is not JSON";
        "incomplete_body" "the body ended before it was complete";
    }
    InvalidQuery BAD_REQUEST "The query string cannot be read." {
        "invalid_query" "the query string cannot be read: is a parameter there twice?";
    }
    Unauthenticated UNAUTHORIZED "No access token, a bad one, or its session has ended." {
        "unauthenticated" "send an access token as Authorization: Bearer <token>";
        "invalid_token" "the access token is not well formed";
        "token_expired" "the access token has expired";
        "session_ended" "the session has ended: sign in again";
    }
    NotSignedIn UNAUTHORIZED "Address or password wrong, or a second factor is asked for: `challenge` stands for the password until `expires_at`." {
        "invalid_credentials" "the e-mail address or the password is wrong";
        "second_factor_required" "the second factor is asked for: send a code of it with the challenge".with_challenge();
    }
    SecondFactorRefused UNAUTHORIZED "The code is wrong, or the challenge is not good any more." {
        "invalid_second_factor" "the code is wrong or was used already";
        "invalid_challenge" "the challenge is not good any more: sign in again";
    }
    SecondFactorBlocked FORBIDDEN "As many codes were wrong as may be." {
        "second_factor_blocked" "too many codes were wrong: use a recovery code, or ask support";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    SecondFactorHeld TOO_MANY_REQUESTS "Too many codes were wrong: try again after `Retry-After`, or use a recovery code." {
        "second_factor_locked" "too many codes were wrong: try again later, or use a recovery code".with_retry_after(Duration::from_secs(30));
    }
    StepUpHeld TOO_MANY_REQUESTS "Too many codes or passwords were wrong: try again after `Retry-After`." {
        "second_factor_locked" "too many codes were wrong: try again later".with_retry_after(Duration::from_secs(30));
        "too_many_requests" "too many passwords were wrong: try again later".with_retry_after(Duration::from_mins(12));
    }
    StepUpRequired UNAUTHORIZED "No good access token, or the user has to prove again who they are, `max_age` seconds ago at the latest: see `/api/v1/auth/step-up`." {
        "unauthenticated" "send an access token as Authorization: Bearer <token>";
        "invalid_token" "the access token is not well formed";
        "token_expired" "the access token has expired";
        "session_ended" "the session has ended: sign in again";
        "step_up_required" "prove again who you are: with your second factor if you have one, else with your password".with_step_up(Duration::from_mins(10));
    }
    StepUpRefused FORBIDDEN "It proves nothing, or too many did not." {
        "step_up_refused" "the password or the code is wrong";
        "step_up_exhausted" "too many passwords or codes were wrong in this session: sign in again";
        "second_factor_blocked" "too many codes were wrong: use a recovery code, or ask support";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    InvalidRefreshToken UNAUTHORIZED "The refresh token, or the cookie, is not good any more: sign in again." {
        "invalid_refresh_token" "the refresh token is not valid: sign in again";
        "session_ended" "the session has ended: sign in again";
    }
    MetricsTokenRequired UNAUTHORIZED "The token of `METRICS_TOKEN` is missing or wrong." {
        "unauthenticated" "send the token of METRICS_TOKEN as Authorization: Bearer <token>";
    }
    MetricsNotFound NOT_FOUND "Metrics are not served here." {
        "unknown_route" "there is nothing at this path";
        "metrics_not_installed" "this program counts nothing: call saas_http::metrics::install, and give the router its handle";
    }
    CrossSiteRequest FORBIDDEN "With a cookie: the request does not come from a page of ours." {
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    Forbidden FORBIDDEN "The role does not allow it, the address is to be proved first, or the request has a cookie and does not come from a page of ours." {
        "forbidden" "your role does not allow this";
        "email_unverified" "prove your e-mail address first: the mail says how, and POST /api/v1/auth/email/send sends another one";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    RoleTooLow FORBIDDEN "The role does not allow it." {
        "forbidden" "your role does not allow this";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    WrongPassword FORBIDDEN "The current password is wrong." {
        "wrong_password" "the current password is wrong";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    RegistrationClosed FORBIDDEN "Registration is not open, or asks for a cookie and does not come from a page of ours." {
        "registration_closed" "registration is not open: ask for an invitation";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    RefreshTokenNotYours FORBIDDEN "The refresh token is not one of this user's." {
        "refresh_token_not_yours" "the refresh token is not one of yours";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    PasswordCompromised FORBIDDEN "The password is right, and stolen: it is to be reset by mail, which is an operator's choice, `BREACHED_PASSWORDS_AT_SIGN_IN`. Or a cookie is asked for, and not from a page of ours." {
        "password_compromised" "this password is in a list of stolen ones: reset it by mail, then sign in with the new one";
        "cross_site_request" "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS";
    }
    SessionNotFound NOT_FOUND "No live session of this user has that id." {
        "session_not_found" "the session is not there or has ended already";
    }
    TenantNotFound NOT_FOUND "The user does not belong to that tenant, or it is closed." {
        "tenant_not_found" "there is no such tenant";
    }
    UserNotFound NOT_FOUND "The tenant has no such member." {
        "user_not_found" "there is no such user";
    }
    NoSecondFactor NOT_FOUND "The user has no second factor." {
        "second_factor_not_found" "there is no second factor";
    }
    AgentNotFound NOT_FOUND "There is no such agent." {
        "agent_not_found" "there is no such agent";
    }
    RunNotFound NOT_FOUND "This user has no such run." {
        "run_not_found" "there is no such run";
    }
    ConversationNotFound NOT_FOUND "This user has no such conversation." {
        "conversation_not_found" "there is no such conversation";
    }
    ChatNotFound NOT_FOUND "The conversation is somebody else's, or was removed meanwhile." {
        "conversation_not_found" "there is no such conversation";
        "run_not_found" "there is no such run";
    }
    BodyTimedOut REQUEST_TIMEOUT "The body did not arrive in time." {
        "body_timed_out" "the body did not arrive in time: send the request again";
    }
    EmailTaken CONFLICT "The address is registered already." {
        "email_taken" "the e-mail address is already registered";
    }
    SecondFactorExists CONFLICT "There is an authenticator app already." {
        "second_factor_enrolled" "there is an authenticator app already: remove it first";
    }
    SecondFactorNotBegun CONFLICT "No authenticator app waits for its first code." {
        "second_factor_not_begun" "no authenticator app waits for its first code: begin to add one first";
        "second_factor_enrolled" "there is an authenticator app already: remove it first";
    }
    LastOwner CONFLICT "The user is the only owner of a tenant with other members." {
        "last_owner" "the user is the only owner of a tenant with other members: give somebody the role, or remove the members first";
    }
    PasswordChangedMeanwhile CONFLICT "Somebody changed the password at the same time." {
        "password_changed_meanwhile" "the password was changed at the same time: try again";
    }
    TenantRequired CONFLICT "The user belongs to several tenants; `tenants` lists them." {
        "tenant_required" "the user belongs to several tenants: name one of them as tenant_id".with_member("tenants", tenants());
    }
    SessionMovedOn CONFLICT "The session was refreshed or switched in this moment." {
        "session_moved_on" "the session was just refreshed or switched: take what that answered, and ask again";
    }
    IdempotencyKeyReused CONFLICT "The `Idempotency-Key` was used for another request." {
        "idempotency_key_reused" "the Idempotency-Key was used for another request: use a new one";
    }
    EventsTrimmed GONE "Events that were to come next are not kept any more; the stored answer is, and `after` says where the stream begins now." {
        "events_trimmed" "this part of the stream is not kept any more: read the run or its conversation, then follow after 1.42".trimmed();
    }
    BodyTooLarge PAYLOAD_TOO_LARGE "The body is too large." {
        "body_too_large" "the body is larger than 1048576 bytes";
    }
    UriTooLong URI_TOO_LONG "The path and query are too long." {
        "uri_too_long" "the URI is longer than 8192 bytes";
    }
    NotDeclaredAsJson UNSUPPORTED_MEDIA_TYPE "The body is not declared as JSON." {
        "unsupported_media_type" "send the body as application/json, with that Content-Type";
    }
    InvalidFields UNPROCESSABLE_ENTITY "Fields are not valid; `errors` names them." {
        "invalid_request" "some fields are not valid".naming("refresh_token", "required", "this field is required");
    }
    InvalidParameters UNPROCESSABLE_ENTITY "Parameters are not valid; `errors` names them." {
        "invalid_request" "some fields are not valid".naming("limit", "invalid", "send a number from 1 to 100");
    }
    InvalidPage UNPROCESSABLE_ENTITY "Parameters are not valid, or the cursor is not of this list." {
        "invalid_request" "some fields are not valid".naming("limit", "invalid", "send a number from 1 to 100");
        "invalid_cursor" "the cursor does not belong to this list: start again without one";
    }
    InvalidTotpCode UNPROCESSABLE_ENTITY "The code is not that of the app now, or has not the form of one." {
        "invalid_request" "some fields are not valid".naming("code", "required", "this field is required");
        "invalid_code" "the code is wrong: type the one that the app shows now, and see that the device's time is right";
    }
    InvalidStepUp UNPROCESSABLE_ENTITY "Fields are not valid, or a password came where the second factor is asked for." {
        "invalid_request" "some fields are not valid".naming("password", "second_factor_needed", "this user has a second factor: send a code of it, or a recovery code");
    }
    InvalidRegistration UNPROCESSABLE_ENTITY "Fields are not valid, or the password is weak; `errors` says why." {
        "invalid_request" "some fields are not valid".naming("email", "invalid", "the address needs the form name@domain");
        "invalid_password" "the password is not accepted"
            .of_password("password_too_short", "use at least 15 characters; a sentence is easy to remember");
    }
    InvalidOneTimeToken UNPROCESSABLE_ENTITY "Fields are not valid, or the token is wrong, used or over." {
        "invalid_request" "some fields are not valid".naming("token", "required", "this field is required");
        "invalid_one_time_token" "the token is not good: ask for a new mail";
    }
    InvalidReset UNPROCESSABLE_ENTITY "Fields are not valid, the token is wrong, used or over, or the password is weak." {
        "invalid_request" "some fields are not valid".naming("token", "required", "this field is required");
        "invalid_one_time_token" "the token is not good: ask for a new mail";
        "invalid_password" "the password is not accepted"
            .naming("new_password", "weak_password", "use at least 15 characters; a sentence is easy to remember");
    }
    InvalidPasswordChange UNPROCESSABLE_ENTITY "Fields are not valid, or the password is weak." {
        "invalid_request" "some fields are not valid".naming("current_password", "required", "this field is required");
        "invalid_password" "the password is not accepted"
            .naming("new_password", "weak_password", "use at least 15 characters; a sentence is easy to remember");
    }
    InvalidMessage UNPROCESSABLE_ENTITY "Fields are not valid, the message is too long, or nobody is called so." {
        "invalid_request" "some fields are not valid".naming("message", "required", "this field is required");
        "invalid_message" "a message has 1 to 32000 characters";
        "unknown_agent" "no agent has that name: one of triage, code_assistant, data_analyst";
    }
    Misdirected MISDIRECTED_REQUEST "The request is for a host that is not one of ours." {
        "host_not_allowed" "this server does not answer to that host: its operator names hosts in ALLOWED_HOSTS";
    }
    TooManyAttempts TOO_MANY_REQUESTS "Too many sign-ins that failed came from the client's network, whomever they were for." {
        "too_many_attempts" "too many sign-ins that failed came from your network: try again later";
    }
    TooManyRequests TOO_MANY_REQUESTS "Asked for too often: try again after `Retry-After`." {
        "too_many_requests" "that was asked for too often: try again later";
    }
    QueueFull TOO_MANY_REQUESTS "Too many messages wait in this conversation." {
        "queue_full" "too many messages wait in this conversation: let it answer first";
    }
    TooManyHeaders REQUEST_HEADER_FIELDS_TOO_LARGE "The request has too many header fields." {
        "too_many_headers" "the request has more than 100 header fields";
    }
    InternalError INTERNAL_SERVER_ERROR "A fault of ours; the logs have it under `request_id`." {
        "internal" "an internal error occurred";
    }
    RunFailed BAD_GATEWAY "The model failed; `reason` says how, and the run has what it said." {
        "run_failed" "the agent could not complete its answer: send the message again".of_run();
    }
    Busy SERVICE_UNAVAILABLE "Busy: try again after `Retry-After`." {
        "unavailable" "the service is busy or a part of it is away: try again soon";
        "overloaded" "the service is busy or a part of it is away: try again soon";
        "breached_passwords_unavailable" "the service is busy or a part of it is away: try again soon";
        "timed_out" "the request took too long: try again";
    }
    NotReady SERVICE_UNAVAILABLE "A part that serving needs is away; `checks` says which." {
        "not_ready" "a part that serving needs is away".with_member("checks", checks());
        "stopping" "the server is stopping: ask another one";
        "timed_out" "the request took too long: try again";
    }
}

/// What several routes have in common.
macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident: $($problem:ident),+;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) enum $name {}

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    [$($problem::responses()),+].into_iter().flatten().collect()
                }
            }
        )+
    };
}

groups! {
    /// Of every route that takes a body.
    BodyProblems: NotJson, BodyTimedOut, BodyTooLarge, NotDeclaredAsJson, InvalidFields;
    /// Of every route that takes a query.
    QueryProblems: InvalidQuery, InvalidParameters;
    /// Of every list in pages.
    PageProblems: InvalidQuery, InvalidPage;
    /// Of every route that sends a message.
    ChatProblems: ChatNotFound, IdempotencyKeyReused, EventsTrimmed, QueueFull, InvalidMessage;
}

/// The request that the examples are answers to.
const REQUEST: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057);

fn response(status: StatusCode, description: &str, problems: Vec<(&'static str, Problem)>) -> Response {
    let mut content = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    for (code, problem) in problems {
        let body: ProblemBody = problem.body(Some(RequestId::from_uuid(REQUEST)));
        let mut example = Example::new();
        example.value = serde_json::to_value(body).ok();
        content.examples.insert(code.to_owned(), example.into());
    }
    let mut response = Response::new(description);
    response.content.insert("application/problem+json".to_owned(), content.into());
    let header = match status {
        StatusCode::UNAUTHORIZED => Some("WWW-Authenticate"),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some("Retry-After"),
        _ => None,
    };
    response.headers.extend(header.map(|name| (name.to_owned(), crate::description::header(name))));
    response
}

impl Problem {
    fn naming(mut self, field: &'static str, code: &'static str, message: &str) -> Self {
        self.errors.push(FieldError::new(field, code, message));
        self
    }

    fn trimmed(self) -> Self {
        self.with_member("after", json!("1.42")).with_member("run_id", json!(REQUEST))
    }

    fn with_challenge(self) -> Self {
        self.with_member("challenge", json!("saas_sf_AZiQpdrJZ0u8zrMCCZqAVw"))
            .with_member("expires_at", json!("2026-01-01T00:05:00Z"))
    }

    fn of_password(self, code: &'static str, message: &str) -> Self {
        self.naming("password", code, message).with_member("password_advice", advice())
    }

    fn of_run(self) -> Self {
        self.with_member("reason", json!("model_rate_limited")).with_member("run_id", json!(REQUEST))
    }
}

fn tenants() -> Value {
    let tenant = |slug: &str, name: &str, role: Role| json!({ "tenant_id": REQUEST, "slug": slug, "name": name, "role": role.as_str() });
    json!([
        tenant("analytical-engines", "Analytical Engines", Role::Owner),
        tenant("compilers", "Compilers", Role::Member)
    ])
}

fn advice() -> Value {
    json!({
        "score": 1,
        "warning": "Repeats like \"aaa\" are easy to guess.",
        "suggestions": ["Add another word or two. Uncommon words are better.", "Avoid repeated words and characters."]
    })
}

fn checks() -> Value {
    json!({ "storage": "failed", "migrations": "failed", "signing_key": "ok" })
}
