//! The end of one's own account.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use saas_core::Secret;
use saas_kit::Saas;
use serde::{Deserialize, Serialize};

use super::wire::{NO_STORE, SuccessResponse, signed_out};
use crate::{
    Problem,
    answer::Answer,
    bearer::Bearer,
    body::Json,
    fields::Fields,
    problem::described::{BodyProblems, LastOwner, StepUpRequired, TooManyRequests, WrongPassword},
};

/// That somebody means it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct DeleteAccountRequest {
    /// The user's password.
    #[schema(required, value_type = String, format = Password, max_length = 1024, example = "correct horse battery")]
    current_password: Option<Secret<String>>,
}

/// Whether the account is gone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AccountDeleted {
    /// Always true.
    deleted: bool,
}

/// Deletes one's own account.
///
/// Sessions and memberships are gone at once, conversations within moments. A tenant whose only member leaves is suspended; its only owner
/// cannot leave other members behind. Wrong passwords are counted.
/// Who has a second factor shows it first, at `/api/v1/auth/step-up`, unless they did lately.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/account",
    operation_id = "delete_account",
    tag = "auth",
    security(("bearer" = [])),
    request_body = DeleteAccountRequest,
    responses(
        (status = 200, description = "The account is gone.", body = SuccessResponse<AccountDeleted>),
        BodyProblems,
        WrongPassword,
        LastOwner,
        TooManyRequests,
        StepUpRequired
    )
)]
pub(crate) async fn delete(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<DeleteAccountRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let password = fields.required("current_password", request.current_password.as_ref(), |password| {
        Ok::<_, &str>(password.clone())
    });
    fields.problem()?;
    let password = password.ok_or_else(Problem::internal)?;
    saas.tenancy().delete_account(&authenticated.actor, &password).await?;
    let body = SuccessResponse::new("The account is gone.", AccountDeleted { deleted: true });
    signed_out(&saas, authenticated.is_by_cookie(), (NO_STORE, Answer(body)).into_response())
}
