//! Registering, and who one is.

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use saas_auth::Authenticated;
use saas_core::{DisplayName, Email, Permission, Secret, TenantName};
use saas_kit::Saas;
use saas_tenancy::{Register, RegisterError, Registered, SignedUp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::wire::{
    Accepted, NO_STORE, PasswordAdviceBody, RoleName, SignedIn, SuccessResponse, accepted, carried,
};
use crate::{
    Problem,
    answer::{self, Answer, Rendered},
    bearer::{Anyone, Bearer},
    body::Json,
    cookie::{Carrier, CarrierParams},
    fields::Fields,
    problem::described::{
        BodyProblems, EmailTaken, InvalidRegistration, RegistrationClosed, Unauthenticated,
    },
};

/// Who registers.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct RegisterRequest {
    /// The address; it is also the name at sign-in.
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// At least 15 characters, unless the operator has set another number; at most 1,024 bytes. Neither a common password, nor one that is
    /// little more than a name of the account's, nor a stolen one.
    #[schema(required, value_type = String, format = Password, min_length = 15, max_length = 1024, example = "correct horse battery")]
    password: Option<Secret<String>>,
    /// The name of the tenant that is founded, 2 to 128 characters.
    #[schema(required, value_type = String, min_length = 2, max_length = 128, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$", example = "Analytical Engines")]
    tenant_name: Option<String>,
    /// How to be called, 1 to 128 characters.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$",
        example = "Ada"
    )]
    display_name: Option<String>,
    /// Must be true.
    #[schema(required, value_type = bool, example = true)]
    accept_terms: Option<bool>,
    /// Not available in this release.
    #[schema(ignore)]
    plan_code: Option<Value>,
    /// Not available in this release.
    #[schema(ignore)]
    trial_days: Option<Value>,
    /// Not available in this release.
    #[schema(ignore)]
    invite_token: Option<Value>,
}

impl RegisterRequest {
    fn command(self) -> Result<Register, Problem> {
        let mut fields = Fields::default();
        let email = fields.required("email", self.email.as_deref(), Email::parse);
        let password =
            fields.required("password", self.password.as_ref(), |password| Ok::<_, &str>(password.clone()));
        let tenant_name = fields.required("tenant_name", self.tenant_name.as_deref(), TenantName::parse);
        let display_name = fields.optional("display_name", self.display_name.as_deref(), DisplayName::parse);
        fields.required("accept_terms", self.accept_terms.as_ref(), |accepted| {
            if *accepted { Ok(()) } else { Err("the terms must be accepted: send true") }
        });
        fields.not_available("plan_code", self.plan_code.is_some());
        fields.not_available("trial_days", self.trial_days.is_some());
        fields.not_available("invite_token", self.invite_token.is_some());
        match (email, password, tenant_name) {
            (Some(email), Some(password), Some(tenant_name)) => {
                fields.problem()?;
                Ok(Register::new(email, password, tenant_name).with_display_name(display_name))
            }
            _ => Err(fields.problem().err().unwrap_or_else(Problem::internal)),
        }
    }
}

/// Tokens of the first session, and the tenant's slug.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RegisterResponse {
    #[serde(flatten)]
    session: SignedIn,
    /// The tenant's name in URLs.
    #[schema(example = "analytical-engines", pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    tenant_slug: String,
    /// What is to be said of the password, if it could be better.
    #[schema(required)]
    password_advice: Option<PasswordAdviceBody>,
}

/// What is to be said of a refused password goes with the answer.
fn problem(error: RegisterError) -> Problem {
    let advice = error.password_advice().cloned();
    let problem = Problem::from(error);
    match advice.map(PasswordAdviceBody::from).and_then(|advice| serde_json::to_value(advice).ok()) {
        Some(advice) => problem.with_member("password_advice", advice),
        None => problem,
    }
}

/// Registers a user with a tenant of their own and signs them in.
///
/// The user owns the tenant. Who may register is a setting of the operator's, `SIGNUP_ACCESS_POLICY`. Where users have to prove their address
/// (`REQUIRE_EMAIL_VERIFICATION`) nobody is signed in: whoever has the address is mailed how it goes on, and the answer does not tell whether
/// it was registered before.
#[utoipa::path(
    post,
    path = "/api/v1/auth/register",
    operation_id = "register",
    tag = "auth",
    request_body = RegisterRequest,
    params(CarrierParams),
    responses(
        (status = 201, description = "Registered, and signed in.", body = RegisterResponse),
        (status = 202, description = "The address was mailed how it goes on.", body = SuccessResponse<Accepted>),
        RegistrationClosed,
        EmailTaken,
        BodyProblems,
        InvalidRegistration
    )
)]
pub(crate) async fn register(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    carrier: Carrier,
    Json(request): Json<RegisterRequest>,
) -> Result<Response, Problem> {
    let registered = match saas.tenancy().sign_up(&actor, request.command()?).await.map_err(problem)? {
        SignedUp::Registered(registered) => *registered,
        _ => {
            return Ok(accepted(
                "You were mailed how it goes on: follow the link in the mail, then sign in.",
            ));
        }
    };
    let Registered { tokens, tenant, password_advice, .. } = registered;
    let (cookie, session) = carried(&saas, carrier, tokens)?;
    let body = RegisterResponse {
        session,
        tenant_slug: tenant.slug.to_string(),
        password_advice: password_advice.map(PasswordAdviceBody::from),
    };
    Ok((StatusCode::CREATED, NO_STORE, cookie, Answer(body)).into_response())
}

/// Who one is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Me<'a> {
    /// The user.
    user_id: Uuid,
    /// Their address, as they typed it.
    #[schema(format = Email, example = "ada@example.com")]
    email: &'a str,
    /// How they want to be called.
    #[schema(required, example = "Ada")]
    display_name: Option<&'a str>,
    /// Whether the address is verified.
    email_verified: bool,
    /// The tenant that the token is for.
    tenant_id: Uuid,
    /// Their role in it now.
    #[schema(value_type = RoleName)]
    role: &'static str,
    /// What they may do with this token now.
    #[schema(example = json!(["conversations:read", "conversations:write"]))]
    scopes: Vec<&'a str>,
    /// The token's claims, as they were when it was made.
    #[schema(value_type = TokenClaims)]
    token_payload: &'a RawValue,
}

/// The claims of an access token (RFC 9068, RFC 7519). Times are seconds since 1970.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
struct TokenClaims {
    /// Who made it.
    #[schema(example = "http://localhost:8000")]
    iss: String,
    /// Who it is for.
    #[schema(example = "agent-api")]
    aud: String,
    /// Who it is about.
    #[schema(pattern = "^user:", example = "user:01890a5d-ac96-774b-bcce-b302099a8057")]
    sub: String,
    /// When it ends.
    #[schema(example = 1_767_226_500)]
    exp: i64,
    /// When it was made.
    #[schema(example = 1_767_225_600)]
    iat: i64,
    /// When it begins.
    #[schema(example = 1_767_225_600)]
    nbf: i64,
    /// Its own id.
    jti: Uuid,
    /// The kind of client.
    #[schema(example = "first-party")]
    client_id: String,
    /// Its session.
    sid: Uuid,
    /// The tenant that it is good in.
    tenant_id: Uuid,
    /// When the user last proved who they are.
    #[schema(example = 1_767_225_600)]
    auth_time: i64,
    /// How they did, in the words of RFC 8176.
    #[schema(example = json!(["pwd"]))]
    amr: Vec<String>,
    /// How much that is worth.
    #[schema(example = "aal1")]
    acr: String,
    /// The version of the session.
    #[schema(example = 1)]
    ver: i64,
    /// What it allows, separated by spaces.
    #[schema(example = "conversations:read conversations:write")]
    scope: String,
    /// The user's roles in the tenant.
    roles: Vec<RoleName>,
    /// Whether the address was verified.
    email_verified: bool,
    /// Always `access`.
    #[schema(pattern = "^access$", example = "access")]
    token_use: String,
}

/// Says who the token is of.
///
/// The answer is as fresh as any decision: with `Cache-Control: no-cache` it is what holds now.
#[utoipa::path(
    get,
    path = "/api/v1/auth/me",
    operation_id = "me",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Who the token is of.", body = SuccessResponse<Me<'static>>),
        Unauthenticated
    )
)]
pub(crate) async fn me(Bearer(authenticated): Bearer) -> Result<Response, Problem> {
    Ok((NO_STORE, Rendered(authenticated.view("me", || shown(&authenticated))?)).into_response())
}

fn shown(authenticated: &Authenticated) -> Result<Bytes, Problem> {
    let user = authenticated.user();
    let principal = authenticated.actor.user().ok_or_else(Problem::internal)?;
    let me = Me {
        user_id: user.id.as_uuid(),
        email: user.email.shown(),
        display_name: user.display_name.as_ref().map(DisplayName::as_str),
        email_verified: user.email_verified_at.is_some(),
        tenant_id: principal.tenant.as_uuid(),
        role: principal.role.as_str(),
        scopes: principal.permissions.iter().map(Permission::as_str).collect(),
        token_payload: authenticated.claims_json(),
    };
    answer::rendered(&SuccessResponse::new("This is you.", me))
}
