//! What sign-in and sessions look like on the wire.

use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderValue, header};
use saas_auth::Tokens;
use serde::Serialize;
use uuid::Uuid;

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
    /// The session.
    session_id: Uuid,
    /// At a sign-in with a password alone: keep it on the device, past the session's end, and send it with the next sign-in.
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
            session_id: tokens.session.as_uuid(),
            device_token: tokens.device_token.map(|token| token.expose().clone()),
        }
    }
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
