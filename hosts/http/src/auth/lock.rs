//! Unlocking an account by mail.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use saas_core::Secret;
use saas_kit::Saas;
use serde::{Deserialize, Serialize};

use super::wire::{NO_STORE, SuccessResponse};
use crate::{
    Problem,
    answer::Answer,
    bearer::Anyone,
    body::Json,
    fields::Fields,
    problem::described::{BodyProblems, InvalidUnlockToken},
};

/// The token of a mail.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct UnlockRequest {
    /// The token, from the link of the mail.
    #[schema(required, value_type = String, min_length = 1, max_length = 256, example = "saas_mt_AZiQpdrJZ0u8zrMCCZqAVw")]
    token: Option<Secret<String>>,
}

impl UnlockRequest {
    fn token(self) -> Result<Secret<String>, Problem> {
        let mut fields = Fields::default();
        let token = fields.required("token", self.token.as_ref(), |token| {
            if token.expose().is_empty() { Err("the token may not be empty") } else { Ok(token.clone()) }
        });
        token.ok_or_else(|| fields.problem().err().unwrap_or_else(Problem::internal))
    }
}

/// Whether somebody may sign in again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Unlocked {
    /// Always true.
    unlocked: bool,
}

/// Unlocks an account after too many wrong passwords.
///
/// The token is that of the mail about the lock. It works once, for a week, and while the lock stands.
#[utoipa::path(
    post,
    path = "/api/v1/auth/unlock",
    operation_id = "unlock",
    tag = "auth",
    request_body = UnlockRequest,
    responses(
        (status = 200, description = "Unlocked.", body = SuccessResponse<Unlocked>),
        BodyProblems,
        InvalidUnlockToken
    )
)]
pub(crate) async fn unlock(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<UnlockRequest>,
) -> Result<Response, Problem> {
    saas.auth().unlock(&actor, &request.token()?).await?;
    Ok((NO_STORE, Answer(SuccessResponse::new("Unlocked: sign in again.", Unlocked { unlocked: true })))
        .into_response())
}
