//! A session's cookie: how a browser holds its session where `AUTH_COOKIES` is on.
//!
//! A browser asks for it with `X-Session: cookie` and gets no tokens, so that no script can read or keep what makes a session.

use axum::extract::FromRequestParts;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use saas_auth::{Authenticated, Tokens};
use saas_core::{FieldError, Secret};
use saas_kit::{
    Saas,
    settings::{Profile, Settings},
};

use crate::{Problem, bearer, same_origin};

/// Says that a session is to be held by a cookie.
pub(crate) const X_SESSION: HeaderName = HeaderName::from_static("x-session");

/// A browser takes it only from us, over TLS, and for this host alone (RFC 6265bis, section 4.1.3.2).
const NAME: &str = "__Host-saas_session";

/// Where there is no TLS, on the developer's own machine.
const NAME_WITHOUT_TLS: &str = "saas_session";

fn is_without_tls(settings: &Settings) -> bool {
    settings.environment == Profile::Development && !settings.app_public_url.is_https()
}

fn name(settings: &Settings) -> &'static str {
    if is_without_tls(settings) { NAME_WITHOUT_TLS } else { NAME }
}

/// How whoever signs in wants to hold the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// By tokens, in the body of the answer.
    Tokens,
    /// By a cookie, of which no script learns.
    Cookie,
}

impl Carrier {
    /// What the session of a request is held by.
    pub(crate) const fn of(authenticated: &Authenticated) -> Self {
        if authenticated.is_by_cookie() { Self::Cookie } else { Self::Tokens }
    }
}

/// How a request says it.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes requests")]
pub(crate) struct CarrierParams {
    /// `cookie` to hold the session by a cookie, where the operator has `AUTH_COOKIES` on; else `tokens`.
    #[param(rename = "X-Session", pattern = "^(tokens|cookie)$", example = "tokens")]
    x_session: Option<String>,
}

impl FromRequestParts<Saas> for Carrier {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, saas: &Saas) -> Result<Self, Problem> {
        let Some(wanted) = parts.headers.get(X_SESSION) else { return Ok(Self::Tokens) };
        let wrong = |message| Err(Problem::fields(vec![FieldError::new("X-Session", "invalid", message)]));
        match wanted.as_bytes() {
            b"tokens" => Ok(Self::Tokens),
            b"cookie" if !saas.settings().auth_cookies => {
                wrong("cookies are off here: their operator turns them on with AUTH_COOKIES")
            }
            b"cookie" => {
                // Or a page of a stranger could sign its visitor in as somebody else.
                same_origin::check(saas.settings(), &parts.headers)?;
                Ok(Self::Cookie)
            }
            _ => wrong("send tokens or cookie"),
        }
    }
}

/// The session cookie that a request came with, if it may act by it.
#[derive(Debug)]
pub(crate) struct Presented(pub(crate) Option<Secret<String>>);

impl FromRequestParts<Saas> for Presented {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, saas: &Saas) -> Result<Self, Problem> {
        presented(parts, saas.settings()).map(Self)
    }
}

/// Whether a request says who it is from: by a token, or by a cookie where those count.
pub(crate) fn is_of_somebody(parts: &Parts, settings: &Settings) -> bool {
    let by_cookie = settings.auth_cookies && named(&parts.headers, name(settings)).is_some();
    by_cookie || parts.headers.contains_key(header::AUTHORIZATION)
}

/// The one cookie of ours; of two, one is somebody else's. Whoever sends `Authorization` goes by that: a browser sends cookies by itself.
fn presented(parts: &Parts, settings: &Settings) -> Result<Option<Secret<String>>, Problem> {
    if !settings.auth_cookies || parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let Some(cookie) = named(&parts.headers, name(settings)) else { return Ok(None) };
    if !parts.method.is_safe() {
        same_origin::check(settings, &parts.headers)?;
    }
    Ok(Some(Secret::new(cookie.to_owned())))
}

fn named<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let cookie = found.next()?;
    found.next().is_none().then_some(cookie)
}

/// Who a request without `Authorization` is from.
pub(crate) async fn authenticate(parts: &Parts, saas: &Saas) -> Result<Authenticated, Problem> {
    let Some(cookie) = presented(parts, saas.settings())? else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send an access token as Authorization: Bearer <token>",
        ));
    };
    let (request_id, client) = bearer::origin(parts);
    let freshness = bearer::freshness(parts);
    Ok(saas.auth().authenticate_cookie(freshness, cookie.expose(), request_id, client).await?)
}

/// What gives a browser its cookie. It lasts as long as the session may; that a session has ended before, we know ourselves.
pub(crate) fn given(saas: &Saas, tokens: &Tokens) -> Result<HeaderValue, Problem> {
    let cookie = saas.auth().session_cookie(tokens).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a session's cookie could not be made");
        Problem::internal()
    })?;
    set(saas.settings(), cookie.expose(), tokens.session_expires_at)
}

/// What takes it away again.
pub(crate) fn taken(settings: &Settings) -> Result<HeaderValue, Problem> {
    set(settings, "", DateTime::UNIX_EPOCH)
}

fn set(settings: &Settings, cookie: &str, until: DateTime<Utc>) -> Result<HeaderValue, Problem> {
    let secure = if is_without_tls(settings) { "" } else { "; Secure" };
    let until = until.format("%a, %d %b %Y %H:%M:%S GMT");
    let text =
        format!("{}={cookie}; Path=/; Expires={until}; HttpOnly; SameSite=Lax{secure}", name(settings));
    let mut value = HeaderValue::try_from(text).map_err(|_| Problem::internal())?;
    value.set_sensitive(true);
    Ok(value)
}
