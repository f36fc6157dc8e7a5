//! The routes.

use std::error::Error;

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use saas_auth::{Registration, SignIn, Tokens};
use saas_core::{Actor, Client, DisplayName, Email, ErrorKind, Fault, Reach, Secret, Storage, fault::chain};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{accounts::Accounts, own_users};

pub(crate) fn router(accounts: &Accounts) -> Router {
    Router::new()
        .route("/register", post(register))
        .route("/sign-in", post(sign_in))
        .route("/refresh", post(refresh))
        .route("/me", get(me))
        .route("/sign-out", post(sign_out))
        .with_state(accounts.clone())
}

#[derive(Deserialize)]
struct Register {
    email: String,
    password: Secret<String>,
    nickname: String,
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: Secret<String>,
}

#[derive(Deserialize)]
struct Presented {
    refresh_token: Secret<String>,
}

/// An error answer.
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, detail) = self;
        (status, Json(json!({ "code": code, "detail": detail }))).into_response()
    }
}

/// Every error of auth's says what a caller can do about it; what is our fault is told to the log alone.
impl<E: Fault> From<E> for Refusal {
    fn from(error: E) -> Self {
        let report = error.report();
        let status = match report.kind {
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            eprintln!("{}", chain(&error));
            return Self(status, report.code, "try again later".to_owned());
        }
        let detail = report.fields.first().map_or_else(|| error.to_string(), |field| field.message.clone());
        Self(status, report.code, detail)
    }
}

fn email(typed: &str) -> Result<Email, Refusal> {
    Email::parse(typed).map_err(|error| invalid("invalid_email", &error))
}

fn invalid(code: &'static str, error: &dyn Error) -> Refusal {
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string())
}

fn anybody() -> Actor {
    Actor::anonymous(None, Client::default())
}

fn shown(tokens: &Tokens) -> Value {
    json!({ "access_token": tokens.access_token.expose(), "refresh_token": tokens.refresh_token.expose() })
}

async fn register(
    State(accounts): State<Accounts>,
    Json(form): Json<Register>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let nickname = DisplayName::parse(&form.nickname).map_err(|error| invalid("invalid_nickname", &error))?;
    let registration = Registration::new(email(&form.email)?, form.password);
    let (own, tokens) = accounts.register(&anybody(), registration, &nickname).await?;
    let mut answer = shown(&tokens);
    answer["id"] = own.id.into();
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn sign_in(
    State(accounts): State<Accounts>,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Refusal> {
    let command = SignIn::new(email(&form.email)?, form.password);
    Ok(Json(shown(&accounts.auth.sign_in(&anybody(), command).await?)))
}

async fn refresh(
    State(accounts): State<Accounts>,
    Json(form): Json<Presented>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(shown(&accounts.auth.refresh(&anybody(), &form.refresh_token).await?)))
}

/// Whoever the access token says, as their session and our table have it now.
struct SignedIn(Actor);

impl FromRequestParts<Accounts> for SignedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, accounts: &Accounts) -> Result<Self, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        Ok(Self(accounts.auth.authenticate(token, None, Client::default()).await?.actor))
    }
}

async fn me(State(accounts): State<Accounts>, SignedIn(actor): SignedIn) -> Result<Json<Value>, Refusal> {
    let account = accounts.auth.me(&actor).await?;
    let mut conn = accounts.storage.read(Reach::Platform("own profile")).await?;
    let own = own_users::by_account(&mut conn, account.id).await?;
    let own = own.ok_or(Refusal(StatusCode::NOT_FOUND, "unknown_user", "you are not here".to_owned()))?;
    Ok(Json(json!({ "id": own.id, "nickname": own.nickname.as_str(), "email": account.email.shown() })))
}

async fn sign_out(
    State(accounts): State<Accounts>,
    SignedIn(actor): SignedIn,
    Json(form): Json<Presented>,
) -> Result<StatusCode, Refusal> {
    accounts.auth.logout(&actor, &form.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}
