//! Signing in, refreshing, signing out.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use saas_auth::{SignIn, SignInError};
use saas_core::{Email, Secret, TenantChoice, TenantId};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wire::{NO_STORE, SignedIn, SuccessResponse, date, signed_in, signed_out};
use crate::{
    Problem,
    answer::Answer,
    bearer::{Anyone, Bearer},
    body::Json,
    cookie::{Carrier, CarrierParams, Presented},
    fields::Fields,
    problem::described::{
        BodyProblems, CrossSiteRequest, InvalidRefreshToken, NotSignedIn, PasswordCompromised,
        RefreshTokenNotYours, StepUpRequired, TenantRequired, TooManyAttempts, Unauthenticated,
    },
};

/// Who wants in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct TokenRequest {
    /// The address.
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// The password.
    #[schema(required, value_type = String, format = Password, max_length = 1024, example = "correct horse battery")]
    password: Option<Secret<String>>,
    /// The tenant; needed by those who belong to several. Empty is the same as absent.
    #[schema(
        pattern = "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$",
        example = "01890a5d-ac96-774b-bcce-b302099a8057"
    )]
    tenant_id: Option<String>,
    /// What an earlier sign-in on this device answered with: nobody elsewhere can lock it out then. One that is not good any more is like
    /// none. Empty is the same as absent.
    #[schema(value_type = Option<String>, max_length = 256, example = "saas_dt_oAaTzQAAAABpVbkAAZiQpdrJZ0u8zrMCCZqAVw")]
    device_token: Option<Secret<String>>,
}

impl TokenRequest {
    fn command(self) -> Result<SignIn, Problem> {
        let mut fields = Fields::default();
        let email = fields.required("email", self.email.as_deref(), Email::parse);
        let password =
            fields.required("password", self.password.as_ref(), |password| Ok::<_, &str>(password.clone()));
        let tenant_id = self.tenant_id.as_deref().filter(|id| !id.is_empty());
        let tenant: Option<TenantId> = fields.optional("tenant_id", tenant_id, str::parse);
        match (email, password) {
            (Some(email), Some(password)) => {
                fields.problem()?;
                Ok(SignIn::new(email, password).with_tenant(tenant).with_device_token(self.device_token))
            }
            _ => Err(fields.problem().err().unwrap_or_else(Problem::internal)),
        }
    }
}

/// The tenants to choose from go with the answer, and so does the challenge for a second factor.
fn problem(error: SignInError) -> Problem {
    let choices: Option<Vec<Value>> = match &error {
        SignInError::TenantRequired { choices } => Some(choices.iter().map(choice).collect()),
        _ => None,
    };
    let challenge = match &error {
        SignInError::SecondFactorRequired { challenge, expires_at } => {
            Some((challenge.expose().clone(), date(*expires_at)))
        }
        _ => None,
    };
    let problem = Problem::from(error);
    match (choices, challenge) {
        (Some(choices), _) => problem.with_member("tenants", choices.into()),
        (None, Some((challenge, expires_at))) => {
            problem.with_member("challenge", challenge.into()).with_member("expires_at", expires_at.into())
        }
        (None, None) => problem,
    }
}

fn choice(choice: &TenantChoice) -> Value {
    json!({ "tenant_id": choice.tenant, "slug": choice.slug, "name": choice.name.as_str(), "role": choice.role })
}

/// Signs in with a password.
///
/// Who has a second factor gets a challenge instead of tokens, for `/api/v1/auth/token/second-factor`.
///
/// Wrong passwords lock an account for a while, which no answer tells: it is that of a wrong password. Send along the `device_token` of the
/// last sign-in on the device, and nobody elsewhere can lock it out.
///
/// A browser sends `X-Session: cookie` where the operator has `AUTH_COOKIES` on: it gets a cookie that no script can read, and no tokens.
#[utoipa::path(
    post,
    path = "/api/v1/auth/token",
    operation_id = "sign_in",
    tag = "auth",
    request_body = TokenRequest,
    params(CarrierParams),
    responses(
        (status = 200, description = "Signed in.", body = SignedIn),
        NotSignedIn,
        PasswordCompromised,
        TenantRequired,
        TooManyAttempts,
        BodyProblems
    )
)]
pub(crate) async fn token(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    carrier: Carrier,
    Json(request): Json<TokenRequest>,
) -> Result<Response, Problem> {
    let tokens = saas.auth().sign_in(&actor, request.command()?).await.map_err(problem)?;
    signed_in(&saas, carrier, tokens)
}

/// A refresh token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct RefreshRequest {
    /// The token; who has a cookie leaves it out.
    #[schema(value_type = Option<String>, min_length = 1, example = "saas_rt_AZiQpdrJZ0u8zrMCCZqAVw")]
    refresh_token: Option<Secret<String>>,
}

impl RefreshRequest {
    fn token(self) -> Result<Secret<String>, Problem> {
        let mut fields = Fields::default();
        let token = fields.required("refresh_token", self.refresh_token.as_ref(), |token| {
            if token.expose().is_empty() { Err("the token may not be empty") } else { Ok(token.clone()) }
        });
        token.ok_or_else(|| fields.problem().err().unwrap_or_else(Problem::internal))
    }
}

/// Exchanges a refresh token for new tokens; the old one is spent.
///
/// Using a spent token ends its session: somebody may have stolen it. A browser with a cookie sends no token, and keeps its cookie: it learns how
/// long the session goes on, and what its user may do by now.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    operation_id = "refresh",
    tag = "auth",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "The session goes on with these.", body = SignedIn),
        InvalidRefreshToken,
        CrossSiteRequest,
        BodyProblems
    )
)]
pub(crate) async fn refresh(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Presented(cookie): Presented,
    Json(request): Json<RefreshRequest>,
) -> Result<Response, Problem> {
    if let (None, Some(cookie)) = (&request.refresh_token, &cookie) {
        return signed_in(&saas, Carrier::Cookie, saas.auth().refresh_by_cookie(cookie).await?);
    }
    let tokens = saas.auth().refresh(&actor, &request.token()?).await?;
    signed_in(&saas, Carrier::Tokens, tokens)
}

/// Which session to sign out of.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct LogoutRequest {
    /// The session's refresh token; who has a cookie leaves it out and signs out of its session.
    #[schema(value_type = Option<String>, min_length = 1, example = "saas_rt_AZiQpdrJZ0u8zrMCCZqAVw")]
    refresh_token: Option<Secret<String>>,
}

/// Whether a session was ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Revoked {
    /// False when it had ended already.
    revoked: bool,
}

/// Signs out of the session of a refresh token, or of a cookie.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    operation_id = "sign_out",
    tag = "auth",
    security(("bearer" = [])),
    request_body = LogoutRequest,
    responses(
        (status = 200, description = "The session has ended.", body = SuccessResponse<Revoked>),
        RefreshTokenNotYours,
        BodyProblems,
        Unauthenticated
    )
)]
pub(crate) async fn logout(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<LogoutRequest>,
) -> Result<Response, Problem> {
    let here = authenticated.is_by_cookie() && request.refresh_token.is_none();
    let revoked = if here {
        saas.auth().logout_here(&authenticated.actor).await?
    } else {
        let token = RefreshRequest { refresh_token: request.refresh_token }.token()?;
        saas.auth().logout(&authenticated.actor, &token).await?
    };
    let message = if revoked { "Signed out." } else { "The session had ended already." };
    let answer = (NO_STORE, Answer(SuccessResponse::new(message, Revoked { revoked }))).into_response();
    signed_out(&saas, here, answer)
}

/// How many sessions were ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RevokedCount {
    /// The number.
    #[schema(example = 2)]
    pub(super) revoked: u64,
}

/// Signs out everywhere.
///
/// Only after a fresh proof of who one is, for it ends other sessions.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout/all",
    operation_id = "sign_out_everywhere",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Every session has ended.", body = SuccessResponse<RevokedCount>),
        StepUpRequired
    )
)]
pub(crate) async fn logout_all(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    let revoked = saas.auth().logout_all(&authenticated.actor).await?;
    let answer = SuccessResponse::new("Signed out everywhere.", RevokedCount { revoked });
    signed_out(&saas, authenticated.is_by_cookie(), (NO_STORE, Answer(answer)).into_response())
}
