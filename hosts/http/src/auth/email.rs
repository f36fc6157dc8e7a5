//! Addresses: proving one, changing it, taking that back.

use axum::{
    extract::{FromRequest, FromRequestParts, Request, State},
    response::{IntoResponse, Response},
};
use saas_core::{Email, Secret};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};

use super::wire::{Accepted, NO_STORE, SuccessResponse, accepted, token};
use crate::{
    Problem,
    answer::Answer,
    bearer::{Anyone, Bearer},
    body::Json,
    cookie,
    fields::Fields,
    problem::described::{
        BodyProblems, EmailTaken, InvalidOneTimeToken, StepUpRequired, TooManyRequests, Unauthenticated,
        WrongPassword,
    },
};

/// Whose address is to be proved.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct SendVerificationRequest {
    /// The address. Not needed with an access token: it is that user's.
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
}

/// Mails what proves an address.
///
/// With an access token it is the signed-in user's, and no body is needed. Without one the answer is the same for every address. The link in
/// the mail is good once, for `EMAIL_VERIFICATION_TOKEN_TTL_MINUTES`; a newer one takes its place.
#[utoipa::path(
    post,
    path = "/api/v1/auth/email/send",
    operation_id = "send_verification",
    tag = "auth",
    security((), ("bearer" = [])),
    request_body = SendVerificationRequest,
    responses(
        (status = 202, description = "Whoever has the address, and has not proved it, is mailed.", body = SuccessResponse<Accepted>),
        BodyProblems,
        TooManyRequests,
        Unauthenticated
    )
)]
pub(crate) async fn send(State(saas): State<Saas>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if cookie::is_of_somebody(&parts, saas.settings()) {
        let Bearer(authenticated) = Bearer::from_request_parts(&mut parts, &saas).await?;
        let sent = saas.auth().send_verification(&authenticated.actor).await?;
        return Ok(accepted(if sent {
            "You were mailed how to prove your address."
        } else {
            "Your address is proved already."
        }));
    }
    let Ok(Anyone(actor)) = Anyone::from_request_parts(&mut parts, &saas).await;
    let Json(request): Json<SendVerificationRequest> =
        Json::from_request(Request::from_parts(parts, body), &saas).await?;
    let mut fields = Fields::default();
    let email = fields.required("email", request.email.as_deref(), Email::parse);
    fields.problem()?;
    saas.auth().send_verification_to(&actor, &email.ok_or_else(Problem::internal)?).await?;
    Ok(accepted("If the address has an account and is not proved, it was mailed how to prove it."))
}

/// A token of a mail.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct OneTimeTokenRequest {
    /// The token.
    #[schema(required, value_type = String, min_length = 1, example = "saas_mt_AZiQpdrJZ0u8zrMCCZqAVw")]
    token: Option<Secret<String>>,
}

impl OneTimeTokenRequest {
    pub(super) fn token(self) -> Result<Secret<String>, Problem> {
        let mut fields = Fields::default();
        let token = fields.required("token", self.token.as_ref(), token);
        token.ok_or_else(|| fields.problem().err().unwrap_or_else(Problem::internal))
    }
}

/// Whether the address is proved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Verified {
    /// Always true.
    email_verified: bool,
}

/// Proves an address with the token of a mail.
///
/// Sessions go on, and may do at once what is asked of a proved address.
#[utoipa::path(
    post,
    path = "/api/v1/auth/email/verify",
    operation_id = "verify_email",
    tag = "auth",
    request_body = OneTimeTokenRequest,
    responses(
        (status = 200, description = "The address is proved.", body = SuccessResponse<Verified>),
        BodyProblems,
        InvalidOneTimeToken
    )
)]
pub(crate) async fn verify(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<OneTimeTokenRequest>,
) -> Result<Response, Problem> {
    saas.auth().verify_email(&actor, &request.token()?).await?;
    let body = SuccessResponse::new("The address is proved.", Verified { email_verified: true });
    Ok((NO_STORE, Answer(body)).into_response())
}

/// Another address.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ChangeEmailRequest {
    /// The new one.
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ada@analytical.example")]
    new_email: Option<String>,
    /// The user's password.
    #[schema(required, value_type = String, format = Password, max_length = 1024, example = "correct horse battery")]
    current_password: Option<Secret<String>>,
}

/// Asks for another address.
///
/// The new address is mailed what confirms it, and nothing changes before; the old one is mailed what undoes it, for seven days. The answer
/// does not tell whether somebody has the new address. Wrong passwords are counted.
/// Who has a second factor shows it first, at `/api/v1/auth/step-up`, unless they did lately.
#[utoipa::path(
    post,
    path = "/api/v1/auth/email/change",
    operation_id = "change_email",
    tag = "auth",
    security(("bearer" = [])),
    request_body = ChangeEmailRequest,
    responses(
        (status = 202, description = "Both addresses are mailed.", body = SuccessResponse<Accepted>),
        BodyProblems,
        WrongPassword,
        TooManyRequests,
        StepUpRequired
    )
)]
pub(crate) async fn change(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<ChangeEmailRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let new = fields.required("new_email", request.new_email.as_deref(), Email::parse);
    let password = fields.required("current_password", request.current_password.as_ref(), |password| {
        Ok::<_, &str>(password.clone())
    });
    fields.problem()?;
    let (new, password) = new.zip(password).ok_or_else(Problem::internal)?;
    saas.auth().request_email_change(&authenticated.actor, &password, &new).await?;
    Ok(accepted("The new address was mailed how to confirm it."))
}

/// Whether the address was changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EmailSet {
    /// Always true.
    email_set: bool,
}

/// Changes an address with the token that the new one was mailed.
#[utoipa::path(
    post,
    path = "/api/v1/auth/email/change/confirm",
    operation_id = "confirm_email_change",
    tag = "auth",
    request_body = OneTimeTokenRequest,
    responses(
        (status = 200, description = "The address is changed.", body = SuccessResponse<EmailSet>),
        BodyProblems,
        InvalidOneTimeToken
    )
)]
pub(crate) async fn confirm(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<OneTimeTokenRequest>,
) -> Result<Response, Problem> {
    saas.auth().confirm_email_change(&actor, &request.token()?).await?;
    let body = SuccessResponse::new("The address is changed.", EmailSet { email_set: true });
    Ok((NO_STORE, Answer(body)).into_response())
}

/// Gives an account its old address back, with the token that that was mailed.
///
/// It ends every session and takes the password away; the old address is mailed how to set a new one.
#[utoipa::path(
    post,
    path = "/api/v1/auth/email/change/undo",
    operation_id = "undo_email_change",
    tag = "auth",
    request_body = OneTimeTokenRequest,
    responses(
        (status = 200, description = "The account has its old address.", body = SuccessResponse<EmailSet>),
        EmailTaken,
        BodyProblems,
        InvalidOneTimeToken
    )
)]
pub(crate) async fn undo(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<OneTimeTokenRequest>,
) -> Result<Response, Problem> {
    saas.auth().undo_email_change(&actor, &request.token()?).await?;
    let message = "The account has its old address, and every session has ended: set a new password with the mail that you get.";
    let body = SuccessResponse::new(message, EmailSet { email_set: true });
    Ok((NO_STORE, Answer(body)).into_response())
}
