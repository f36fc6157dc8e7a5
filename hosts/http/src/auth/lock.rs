//! Unlocking an account by mail.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use saas_kit::Saas;
use serde::Serialize;

use super::{
    email::OneTimeTokenRequest,
    wire::{NO_STORE, SuccessResponse},
};
use crate::{
    Problem,
    answer::Answer,
    bearer::Anyone,
    body::Json,
    problem::described::{BodyProblems, InvalidOneTimeToken},
};

/// Whether somebody may sign in again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Unlocked {
    /// Always true.
    unlocked: bool,
}

/// Unlocks an account after too many wrong passwords.
///
/// The token is that of the mail about the lock. It is good once, for a week.
#[utoipa::path(
    post,
    path = "/api/v1/auth/unlock",
    operation_id = "unlock",
    tag = "auth",
    request_body = OneTimeTokenRequest,
    responses(
        (status = 200, description = "Unlocked.", body = SuccessResponse<Unlocked>),
        BodyProblems,
        InvalidOneTimeToken
    )
)]
pub(crate) async fn unlock(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Json(request): Json<OneTimeTokenRequest>,
) -> Result<Response, Problem> {
    saas.auth().unlock(&actor, &request.token()?).await?;
    let body = SuccessResponse::new("Unlocked: sign in again.", Unlocked { unlocked: true });
    Ok((NO_STORE, Answer(body)).into_response())
}
