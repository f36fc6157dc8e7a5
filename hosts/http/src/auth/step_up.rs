//! Proving again who one is.

use axum::{extract::State, response::Response};
use saas_auth::StepUpProof;
use saas_core::Secret;
use saas_kit::Saas;
use serde::Deserialize;

use super::{
    second_factor::proof,
    wire::{SignedIn, signed_in},
};
use crate::{
    Problem,
    bearer::Bearer,
    body::Json,
    cookie::Carrier,
    fields::Fields,
    problem::described::{BodyProblems, InvalidStepUp, StepUpHeld, StepUpRefused, Unauthenticated},
};

/// What proves who the user is: exactly one of these. Who has a second factor shows that one.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct StepUpRequest {
    /// The password, of those without a second factor.
    #[schema(value_type = Option<String>, format = Password, max_length = 1024, example = "correct horse battery")]
    password: Option<Secret<String>>,
    /// The six digits that the authenticator app shows.
    #[schema(value_type = Option<String>, max_length = 16, example = "287082")]
    code: Option<Secret<String>>,
    /// One of the recovery codes; it is used up.
    #[schema(value_type = Option<String>, max_length = 64, example = "7G2K-M4QX-T9RB-W0CZ")]
    recovery_code: Option<Secret<String>>,
}

impl StepUpRequest {
    fn proof(self) -> Result<StepUpProof, Problem> {
        let mut fields = Fields::default();
        let factor = proof(&mut fields, self.code.as_ref(), self.recovery_code.as_ref());
        let shown = self.code.is_some() || self.recovery_code.is_some();
        match (&self.password, shown) {
            (Some(_), true) => fields.invalid("password", "send either the password or the second factor"),
            (None, false) => fields.missing("password"),
            _ => {}
        }
        fields.problem()?;
        let factor = factor.map(StepUpProof::SecondFactor);
        self.password.map(StepUpProof::Password).or(factor).ok_or_else(Problem::internal)
    }
}

/// Proves again who the user is, for what is sensitive.
///
/// The session goes on with the tokens of the answer; those before them have ended. Five wrong proofs are all that a session may bring.
#[utoipa::path(
    post,
    path = "/api/v1/auth/step-up",
    operation_id = "step_up",
    tag = "auth",
    security(("bearer" = [])),
    request_body = StepUpRequest,
    responses(
        (status = 200, description = "Proved: the session goes on with these.", body = SignedIn),
        Unauthenticated,
        StepUpRefused,
        StepUpHeld,
        BodyProblems,
        InvalidStepUp
    )
)]
pub(crate) async fn step_up(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<StepUpRequest>,
) -> Result<Response, Problem> {
    let tokens = saas.auth().step_up(&authenticated.actor, &request.proof()?).await?;
    signed_in(&saas, Carrier::of(&authenticated), tokens)
}
