//! Second factors: signing in with one, adding and removing one.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use saas_auth::{AddedFactor, FactorProof, RecoveryCode, SecondFactorSignIn, TotpCode};
use saas_core::Secret;
use saas_kit::Saas;
use serde::{Deserialize, Serialize};

use super::wire::{NO_STORE, SignedIn, SuccessResponse, carried, date, signed_in};
use crate::{
    Problem,
    answer::Answer,
    bearer::{Anyone, Bearer},
    body::Json,
    cookie::{Carrier, CarrierParams},
    fields::Fields,
    problem::described::{
        BodyProblems, InvalidTotpCode, NoSecondFactor, SecondFactorBlocked, SecondFactorExists,
        SecondFactorHeld, SecondFactorNotBegun, SecondFactorRefused, StepUpRequired, Unauthenticated,
    },
};

/// A second factor for a challenge: a code of the authenticator app, or a recovery code.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct SecondFactorRequest {
    /// The challenge that the sign-in answered with.
    #[schema(required, value_type = String, min_length = 1, max_length = 256, example = "saas_sf_AZiQpdrJZ0u8zrMCCZqAVw")]
    challenge: Option<Secret<String>>,
    /// The six digits that the app shows.
    #[schema(value_type = Option<String>, max_length = 16, example = "287082")]
    code: Option<Secret<String>>,
    /// One of the recovery codes, in place of `code`.
    #[schema(value_type = Option<String>, max_length = 64, example = "7G2K-M4QX-T9RB-W0CZ")]
    recovery_code: Option<Secret<String>>,
    /// What an earlier sign-in on this device answered with, as with the password.
    #[schema(value_type = Option<String>, max_length = 256, example = "saas_dt_oAaTzQAAAABpVbkAAZiQpdrJZ0u8zrMCCZqAVw")]
    device_token: Option<Secret<String>>,
}

/// Exactly one of the two.
pub(super) fn proof(
    fields: &mut Fields,
    code: Option<&Secret<String>>,
    recovery_code: Option<&Secret<String>>,
) -> Option<FactorProof> {
    if code.is_some() && recovery_code.is_some() {
        fields.invalid("recovery_code", "send either code or recovery_code");
    }
    let code = fields.optional("code", code, |code| TotpCode::parse(code.expose()));
    let recovery = fields.optional("recovery_code", recovery_code, |code| RecoveryCode::parse(code.expose()));
    code.map(FactorProof::Code).or_else(|| recovery.map(FactorProof::RecoveryCode))
}

impl SecondFactorRequest {
    fn command(self) -> Result<SecondFactorSignIn, Problem> {
        let mut fields = Fields::default();
        let challenge = fields.required("challenge", self.challenge.as_ref(), |challenge| {
            if challenge.expose().is_empty() {
                Err("the challenge may not be empty")
            } else {
                Ok(challenge.clone())
            }
        });
        if self.code.is_none() && self.recovery_code.is_none() {
            fields.missing("code");
        }
        let proof = proof(&mut fields, self.code.as_ref(), self.recovery_code.as_ref());
        fields.problem()?;
        match (challenge, proof) {
            (Some(challenge), Some(proof)) => {
                Ok(SecondFactorSignIn::new(challenge, proof).with_device_token(self.device_token))
            }
            _ => Err(Problem::internal()),
        }
    }
}

/// Signs in with a second factor, after the password.
///
/// The challenge is good for five minutes and five codes. A code is good once.
#[utoipa::path(
    post,
    path = "/api/v1/auth/token/second-factor",
    operation_id = "sign_in_with_second_factor",
    tag = "auth",
    request_body = SecondFactorRequest,
    params(CarrierParams),
    responses(
        (status = 200, description = "Signed in.", body = SignedIn),
        SecondFactorRefused,
        SecondFactorBlocked,
        SecondFactorHeld,
        BodyProblems
    )
)]
pub(crate) async fn token(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    carrier: Carrier,
    Json(request): Json<SecondFactorRequest>,
) -> Result<Response, Problem> {
    let tokens = saas.auth().sign_in_with_second_factor(&actor, request.command()?).await?;
    signed_in(&saas, carrier, tokens)
}

/// What the user's second factor is like.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SecondFactorResponse {
    /// Whether signing in asks for it.
    enrolled: bool,
    /// Since when.
    #[schema(required, format = DateTime, example = "2026-01-01T00:00:00Z")]
    enrolled_at: Option<String>,
    /// How many recovery codes are left.
    #[schema(example = 10, minimum = 0)]
    recovery_codes_left: i64,
    /// Whether the user has to have one here. Until then their tokens allow nothing (`scopes` is empty) but to add one.
    required: bool,
}

/// Says what the second factor is like.
#[utoipa::path(
    get,
    path = "/api/v1/auth/second-factor",
    operation_id = "second_factor",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "What it is like.", body = SuccessResponse<SecondFactorResponse>),
        Unauthenticated
    )
)]
pub(crate) async fn state(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    let state = saas.auth().second_factor(&authenticated.actor).await?;
    let body = SecondFactorResponse {
        enrolled: state.enrolled_at.is_some(),
        enrolled_at: state.enrolled_at.map(date),
        recovery_codes_left: state.recovery_codes_left,
        required: state.required,
    };
    Ok((NO_STORE, Answer(SuccessResponse::new("This is your second factor.", body))).into_response())
}

/// What an authenticator app is told.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TotpResponse {
    /// For who types it: base32.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", pattern = "^[A-Z2-7]{32}$")]
    secret: String,
    /// For who shows it as a QR code.
    #[schema(
        example = "otpauth://totp/SaaS:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=SaaS&algorithm=SHA1&digits=6&period=30"
    )]
    uri: String,
}

/// Begins to add an authenticator app.
///
/// It counts for nothing until its first code is confirmed; beginning again makes another secret. The user must have proved who they are a short time
/// ago.
#[utoipa::path(
    post,
    path = "/api/v1/auth/second-factor/totp",
    operation_id = "enrol_totp",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Tell the app this. It is shown once.", body = SuccessResponse<TotpResponse>),
        StepUpRequired,
        SecondFactorExists
    )
)]
pub(crate) async fn enrol(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    let begun = saas.auth().enrol_totp(&authenticated.actor).await?;
    let body = TotpResponse { secret: begun.secret.expose().clone(), uri: begun.uri.expose().clone() };
    let message = "Add this to an authenticator app, and confirm its first code.";
    Ok((NO_STORE, Answer(SuccessResponse::new(message, body))).into_response())
}

/// A code of the authenticator app.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct TotpCodeRequest {
    /// The six digits that the app shows.
    #[schema(required, value_type = String, max_length = 16, example = "287082")]
    code: Option<Secret<String>>,
}

/// The recovery codes, and the tokens that the session goes on with.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TotpConfirmedResponse {
    #[serde(flatten)]
    session: SignedIn,
    /// Each signs in once in place of the app. They are shown once.
    #[schema(example = json!(["7G2K-M4QX-T9RB-W0CZ"]))]
    recovery_codes: Vec<String>,
}

/// Confirms an authenticator app by its first code: from now on signing in asks for it.
///
/// The session goes on with the tokens of the answer; those before them have ended.
#[utoipa::path(
    post,
    path = "/api/v1/auth/second-factor/totp/confirm",
    operation_id = "confirm_totp",
    tag = "auth",
    security(("bearer" = [])),
    request_body = TotpCodeRequest,
    responses(
        (status = 200, description = "It is added.", body = TotpConfirmedResponse),
        Unauthenticated,
        SecondFactorNotBegun,
        BodyProblems,
        InvalidTotpCode
    )
)]
pub(crate) async fn confirm(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<TotpCodeRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let code = fields.required("code", request.code.as_ref(), |code| TotpCode::parse(code.expose()));
    fields.problem()?;
    let code = code.ok_or_else(Problem::internal)?;
    let AddedFactor { recovery_codes, tokens, .. } =
        saas.auth().confirm_totp(&authenticated.actor, &code).await?;
    let (cookie, session) = carried(&saas, Carrier::of(&authenticated), tokens)?;
    let body = TotpConfirmedResponse { session, recovery_codes: shown(&recovery_codes) };
    Ok((NO_STORE, cookie, Answer(body)).into_response())
}

/// New recovery codes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RecoveryCodesResponse {
    /// Each signs in once in place of the app. They are shown once.
    #[schema(example = json!(["7G2K-M4QX-T9RB-W0CZ"]))]
    recovery_codes: Vec<String>,
}

fn shown(codes: &[Secret<String>]) -> Vec<String> {
    codes.iter().map(|code| code.expose().clone()).collect()
}

/// Makes new recovery codes; those before them are void.
///
/// The user must have proved who they are a short time ago, with the second factor.
#[utoipa::path(
    post,
    path = "/api/v1/auth/second-factor/recovery-codes",
    operation_id = "replace_recovery_codes",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "These are good from now on.", body = SuccessResponse<RecoveryCodesResponse>),
        StepUpRequired,
        NoSecondFactor
    )
)]
pub(crate) async fn recovery_codes(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    let codes = saas.auth().replace_recovery_codes(&authenticated.actor).await?;
    let body = RecoveryCodesResponse { recovery_codes: shown(&codes) };
    Ok((NO_STORE, Answer(SuccessResponse::new("Keep these where the app is not.", body))).into_response())
}

/// That it was removed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Removed {
    /// Always true.
    removed: bool,
}

/// Removes the authenticator app and the recovery codes.
///
/// The user must have proved who they are a short time ago, with the second factor; a recovery code will do.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/second-factor/totp",
    operation_id = "remove_totp",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Signing in asks for it no more.", body = SuccessResponse<Removed>),
        StepUpRequired,
        NoSecondFactor
    )
)]
pub(crate) async fn remove(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    saas.auth().remove_totp(&authenticated.actor).await?;
    let body = Removed { removed: true };
    Ok((NO_STORE, Answer(SuccessResponse::new("The second factor is removed.", body))).into_response())
}
