//! What sign-in and sessions look like on the wire.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_auth::{PasswordAdvice, Tokens};
use saas_core::Secret;
use saas_kit::Saas;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Problem,
    answer::Answer,
    cookie::{self, Carrier},
};

/// A date on the wire: RFC 3339, UTC.
pub(crate) fn date(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A role in a tenant.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes answers")]
pub(crate) enum RoleName {
    Owner,
    Admin,
    Member,
    Viewer,
}

/// Answers with tokens are nobody's to keep (RFC 6749 section 5.1).
pub(crate) const NO_STORE: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Tokens of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct UserSessionResponse {
    /// For `Authorization: Bearer`.
    #[schema(example = "eyJhbGciOiJFZERTQSJ9.e30.c2ln")]
    access_token: String,
    /// For one refresh.
    #[schema(example = "saas_rt_AZiQpdrJZ0u8zrMCCZqAVw")]
    refresh_token: String,
    /// Always `bearer`.
    #[schema(pattern = "^bearer$", example = "bearer")]
    token_type: &'static str,
    /// When the access token ends.
    #[schema(format = DateTime, example = "2026-01-01T00:15:00Z")]
    expires_at: String,
    /// When the session ends unless it is refreshed.
    #[schema(format = DateTime, example = "2026-01-31T00:00:00Z")]
    refresh_expires_at: String,
    /// The key that the access token is signed with.
    #[schema(example = "3q3WtAkLP1yEPf1zFhYtgQ")]
    kid: String,
    /// Always null: refresh tokens are opaque.
    #[schema(required, example = json!(null))]
    refresh_kid: Option<String>,
    /// What the access token allows.
    #[schema(example = json!(["conversations:read", "conversations:write"]))]
    scopes: Vec<String>,
    /// The tenant.
    tenant_id: Uuid,
    /// The user.
    user_id: Uuid,
    /// Whether the user's address is verified.
    email_verified: bool,
    /// Whether the password was found among stolen ones: it is to be changed, here and wherever else it is in use.
    password_change_required: bool,
    /// The session.
    session_id: Uuid,
    /// At a sign-in: keep it on the device, past the session's end, and send it with the next sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "saas_dt_oAaTzQAAAABpVbkAAZiQpdrJZ0u8zrMCCZqAVw")]
    device_token: Option<String>,
}

impl From<Tokens> for UserSessionResponse {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token.expose().clone(),
            refresh_token: tokens.refresh_token.expose().clone(),
            token_type: "bearer",
            expires_at: date(tokens.expires_at),
            refresh_expires_at: date(tokens.refresh_expires_at),
            kid: tokens.kid,
            refresh_kid: None,
            scopes: tokens.scopes.iter().map(ToString::to_string).collect(),
            tenant_id: tokens.tenant.as_uuid(),
            user_id: tokens.user.as_uuid(),
            email_verified: tokens.email_verified,
            password_change_required: tokens.password_change_required,
            session_id: tokens.session.as_uuid(),
            device_token: tokens.device_token.map(|token| token.expose().clone()),
        }
    }
}

/// A session that its browser holds by a cookie.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct CookieSessionResponse {
    /// Always `cookie`: there are no tokens.
    #[schema(pattern = "^cookie$", example = "cookie")]
    session: &'static str,
    /// When it ends unless it is used before.
    #[schema(format = DateTime, example = "2026-01-31T00:00:00Z")]
    idle_expires_at: String,
    /// When it ends whatever happens.
    #[schema(format = DateTime, example = "2026-04-01T00:00:00Z")]
    expires_at: String,
    /// What the user may do.
    #[schema(example = json!(["conversations:read", "conversations:write"]))]
    scopes: Vec<String>,
    /// The tenant.
    tenant_id: Uuid,
    /// The user.
    user_id: Uuid,
    /// Whether the user's address is verified.
    email_verified: bool,
    /// Whether the password was found among stolen ones: it is to be changed, here and wherever else it is in use.
    password_change_required: bool,
    /// The session.
    session_id: Uuid,
    /// At a sign-in: keep it on the device, past the session's end, and send it with the next sign-in. It opens nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "saas_dt_oAaTzQAAAABpVbkAAZiQpdrJZ0u8zrMCCZqAVw")]
    device_token: Option<String>,
}

impl From<&Tokens> for CookieSessionResponse {
    fn from(tokens: &Tokens) -> Self {
        Self {
            session: "cookie",
            idle_expires_at: date(tokens.refresh_expires_at),
            expires_at: date(tokens.session_expires_at),
            scopes: tokens.scopes.iter().map(ToString::to_string).collect(),
            tenant_id: tokens.tenant.as_uuid(),
            user_id: tokens.user.as_uuid(),
            email_verified: tokens.email_verified,
            password_change_required: tokens.password_change_required,
            session_id: tokens.session.as_uuid(),
            device_token: tokens.device_token.as_ref().map(|token| token.expose().clone()),
        }
    }
}

/// A session, as it was asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum SignedIn {
    /// By tokens.
    Tokens(UserSessionResponse),
    /// By a cookie.
    Cookie(CookieSessionResponse),
}

/// What a session is held by, and what is said of it: its tokens in the body, or its cookie in a header and no tokens.
pub(super) fn carried(
    saas: &Saas,
    carrier: Carrier,
    tokens: Tokens,
) -> Result<(HeaderMap, SignedIn), Problem> {
    let mut headers = HeaderMap::new();
    let session = match carrier {
        Carrier::Tokens => SignedIn::Tokens(tokens.into()),
        Carrier::Cookie => {
            headers.insert(header::SET_COOKIE, cookie::given(saas, &tokens)?);
            SignedIn::Cookie((&tokens).into())
        }
    };
    Ok((headers, session))
}

/// Gives a session to whoever opened it.
pub(super) fn signed_in(saas: &Saas, carrier: Carrier, tokens: Tokens) -> Result<Response, Problem> {
    let (cookie, session) = carried(saas, carrier, tokens)?;
    Ok((NO_STORE, cookie, Answer(session)).into_response())
}

/// Adds to an answer that the browser's session has ended, if it had a cookie.
pub(super) fn signed_out(saas: &Saas, by_cookie: bool, answer: Response) -> Result<Response, Problem> {
    let mut answer = answer;
    if by_cookie {
        answer.headers_mut().insert(header::SET_COOKIE, cookie::taken(saas.settings())?);
    }
    Ok(answer)
}

/// How hard a password is to guess, and how to make it harder. It is advice: what is refused says why in `errors`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PasswordAdviceBody {
    /// From 0, guessed at once, to 4, hardly ever.
    #[schema(minimum = 0, maximum = 4, example = 1)]
    score: u8,
    /// What is wrong with it.
    #[schema(required, example = "Repeats like \"aaa\" are easy to guess.")]
    warning: Option<String>,
    /// How to make it better.
    #[schema(example = json!(["Add another word or two. Uncommon words are better."]))]
    suggestions: Vec<String>,
}

impl From<PasswordAdvice> for PasswordAdviceBody {
    fn from(advice: PasswordAdvice) -> Self {
        Self { score: advice.score, warning: advice.warning, suggestions: advice.suggestions }
    }
}

/// A token of a mail, as it came.
pub(super) fn token(text: &Secret<String>) -> Result<Secret<String>, &'static str> {
    if text.expose().is_empty() { Err("the token may not be empty") } else { Ok(text.clone()) }
}

/// What was asked for is done by mail.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Accepted {
    /// Always true. Whether anybody was mailed is not told.
    accepted: bool,
}

/// The same answer whoever was asked for.
pub(super) fn accepted(message: &'static str) -> Response {
    let body = SuccessResponse::new(message, Accepted { accepted: true });
    (StatusCode::ACCEPTED, NO_STORE, Answer(body)).into_response()
}

/// A command that was carried out.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SuccessResponse<T> {
    /// Always true.
    success: bool,
    /// What happened, for people.
    #[schema(example = "Done.")]
    message: &'static str,
    /// What happened, for programs.
    data: T,
}

impl<T> SuccessResponse<T> {
    pub(super) const fn new(message: &'static str, data: T) -> Self {
        Self { success: true, message, data }
    }
}
