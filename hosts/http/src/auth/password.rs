//! Passwords: forgotten, set by a mailed token, changed, and reset by an administrator.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use saas_core::{Email, Secret, UserId};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::{Accepted, NO_STORE, SignedIn, SuccessResponse, accepted, signed_in, token};
use crate::{
    Problem,
    answer::Answer,
    bearer::{Anyone, Bearer},
    body::Json,
    cookie::Carrier,
    fields::Fields,
    problem::described::{
        BodyProblems, InvalidPasswordChange, InvalidReset, PasswordChangedMeanwhile, RoleTooLow,
        StepUpRequired, TooManyRequests, Unauthenticated, UserNotFound, WrongPassword,
    },
};

/// Whose password was forgotten.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ForgotRequest {
    /// Their address.
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
}

/// Mails what sets a new password.
///
/// The answer is the same for every address. The link in the mail is good once, for `PASSWORD_RESET_TOKEN_TTL_MINUTES`; a newer one takes
/// its place.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password/forgot",
    operation_id = "forgot_password",
    tag = "auth",
    request_body = ForgotRequest,
    responses(
        (status = 202, description = "Whoever has the address and may sign in is mailed.", body = SuccessResponse<Accepted>),
        BodyProblems,
        TooManyRequests
    )
)]
pub(crate) async fn forgot(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<ForgotRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let email = fields.required("email", request.email.as_deref(), Email::parse);
    fields.problem()?;
    saas.auth().forgot_password(&actor, &email.ok_or_else(Problem::internal)?).await?;
    Ok(accepted("If the address has an account, it was mailed how to set a new password."))
}

/// A new password, and what allows it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ConfirmResetRequest {
    /// The token of the mail.
    #[schema(required, value_type = String, min_length = 1, example = "saas_mt_AZiQpdrJZ0u8zrMCCZqAVw")]
    token: Option<Secret<String>>,
    /// At least 15 characters, unless the operator has set another number; at most 1,024 bytes.
    #[schema(required, value_type = String, format = Password, min_length = 15, max_length = 1024, example = "a new horse battery")]
    new_password: Option<Secret<String>>,
}

/// Whether a password was set.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PasswordSet {
    /// Always true.
    password_set: bool,
}

/// Sets a new password with the token of a mail, and ends every session.
///
/// Nobody is signed in by it: what else signing in asks for is asked for as before. A password that is not accepted leaves the token good.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password/confirm",
    operation_id = "confirm_password_reset",
    tag = "auth",
    request_body = ConfirmResetRequest,
    responses(
        (status = 200, description = "The password is set, and every session has ended.", body = SuccessResponse<PasswordSet>),
        BodyProblems,
        InvalidReset
    )
)]
pub(crate) async fn confirm(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<ConfirmResetRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let token = fields.required("token", request.token.as_ref(), token);
    let new = fields.required("new_password", request.new_password.as_ref(), any);
    fields.problem()?;
    let (token, new) = token.zip(new).ok_or_else(Problem::internal)?;
    saas.auth().reset_password(&actor, &token, &new).await?;
    let body =
        SuccessResponse::new("The password is set: sign in with it.", PasswordSet { password_set: true });
    Ok((NO_STORE, Answer(body)).into_response())
}

/// Another password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ChangePasswordRequest {
    /// The password so far.
    #[schema(required, value_type = String, format = Password, max_length = 1024, example = "correct horse battery")]
    current_password: Option<Secret<String>>,
    /// At least 15 characters, unless the operator has set another number; at most 1,024 bytes.
    #[schema(required, value_type = String, format = Password, min_length = 15, max_length = 1024, example = "a new horse battery")]
    new_password: Option<Secret<String>>,
    /// Whether the user's other sessions go on. They end unless this is true.
    #[schema(example = false)]
    keep_other_sessions: Option<bool>,
}

/// Changes the password, and ends the user's other sessions.
///
/// The session goes on with the tokens of the answer; those before it have ended. Wrong passwords are counted.
/// Who has a second factor shows it first, at `/api/v1/auth/step-up`, unless they did lately.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password/change",
    operation_id = "change_password",
    tag = "auth",
    security(("bearer" = [])),
    request_body = ChangePasswordRequest,
    responses(
        (status = 200, description = "The password is changed.", body = SignedIn),
        BodyProblems,
        InvalidPasswordChange,
        WrongPassword,
        PasswordChangedMeanwhile,
        TooManyRequests,
        StepUpRequired
    )
)]
pub(crate) async fn change(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<ChangePasswordRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let current = fields.required("current_password", request.current_password.as_ref(), any);
    let new = fields.required("new_password", request.new_password.as_ref(), any);
    fields.problem()?;
    let (current, new) = current.zip(new).ok_or_else(Problem::internal)?;
    let keep = request.keep_other_sessions.unwrap_or_default();
    let tokens = saas.auth().change_password(&authenticated.actor, &current, &new, keep).await?;
    signed_in(&saas, Carrier::of(&authenticated), tokens)
}

/// Who is to set a new password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct AdministrativeResetRequest {
    /// The member.
    #[schema(required, value_type = Uuid, example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    user_id: Option<String>,
    /// Nobody sets somebody else's password.
    #[schema(ignore)]
    new_password: Option<Value>,
}

/// Has a member of the tenant mailed what sets a new password.
///
/// For administrators, and for members in no higher role than theirs. Nothing changes until the member uses the mail; nobody sets
/// somebody else's password.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password/reset",
    operation_id = "request_password_reset",
    tag = "auth",
    security(("bearer" = [])),
    request_body = AdministrativeResetRequest,
    responses(
        (status = 202, description = "The member is mailed.", body = SuccessResponse<Accepted>),
        BodyProblems,
        RoleTooLow,
        UserNotFound,
        TooManyRequests,
        Unauthenticated
    )
)]
pub(crate) async fn reset(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<AdministrativeResetRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let user: Option<UserId> = fields.required("user_id", request.user_id.as_deref(), str::parse);
    if request.new_password.is_some() {
        fields.invalid(
            "new_password",
            "nobody sets somebody else's password: leave it out, and they are mailed",
        );
    }
    fields.problem()?;
    let user = user.ok_or_else(Problem::internal)?;
    saas.auth().request_password_reset(&authenticated.actor, user).await?;
    Ok(accepted("The member was mailed how to set a new password."))
}

/// A password as it was typed.
#[expect(clippy::unnecessary_wraps, reason = "it stands where fields are parsed")]
fn any(password: &Secret<String>) -> Result<Secret<String>, &'static str> {
    Ok(password.clone())
}
