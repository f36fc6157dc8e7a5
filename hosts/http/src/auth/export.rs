//! Everything that is held of oneself.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use http::{HeaderValue, header};
use saas_core::{Secret, fault::chain};
use saas_kit::Saas;
use serde::Deserialize;
use uuid::Uuid;

use super::wire::NO_STORE;
use crate::{
    Problem,
    bearer::Bearer,
    body::Json,
    fields::Fields,
    problem::described::{BodyProblems, StepUpRequired, TooManyRequests, WrongPassword},
};

/// Who one is, once more.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ExportAccountRequest {
    /// The user's password.
    #[schema(required, value_type = String, format = Password, max_length = 1024, example = "correct horse battery")]
    current_password: Option<Secret<String>>,
}

/// One of the things that are held.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) struct ExportedItem {
    /// Its id, if it has one. What else it has stands in `docs/security/accounts.md`.
    #[schema(required = false)]
    id: Uuid,
}

/// Everything that is held of a user, but for what is a secret or made of one.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) struct AccountDocument {
    /// The version of this form. A member that is taken away or changes its meaning makes a new one.
    #[schema(example = 1)]
    version: u32,
    /// When it was begun. What changes while it is read may be in it or not.
    #[schema(format = DateTime, example = "2026-01-01T00:00:00Z")]
    exported_at: String,
    /// The user.
    user: ExportedItem,
    /// Their second factor, without its secrets; null where there is none.
    #[schema(required, value_type = Option<ExportedItem>)]
    second_factor: Option<ExportedItem>,
    /// How often their secrets were guessed wrong.
    guesses: Vec<ExportedItem>,
    /// Their sessions, those that have ended, too, for as long as they are kept; last seen first.
    sessions: Vec<ExportedItem>,
    /// What is stored of mails with a token.
    mailed_tokens: Vec<ExportedItem>,
    /// The tenants that they belong to.
    memberships: Vec<ExportedItem>,
    /// Their conversations in these tenants, each with `messages`, `runs`, and `memory`, what the model is shown again.
    conversations: Vec<ExportedItem>,
    /// What the audit log says that they did, and that others did to them and to their sessions.
    audit: Vec<ExportedItem>,
}

/// Gives everything that is held of oneself, as a file.
///
/// It comes as it is read, and may be long. One that breaks off is no JSON: ask again. It is noted in the audit log, and wrong passwords are
/// counted. Who has a second factor shows it first, at `/api/v1/auth/step-up`, unless they did lately.
#[utoipa::path(
    post,
    path = "/api/v1/auth/account/export",
    operation_id = "export_account",
    tag = "auth",
    security(("bearer" = [])),
    request_body = ExportAccountRequest,
    responses(
        (status = 200, description = "Everything that is held of the user.", body = AccountDocument),
        BodyProblems,
        WrongPassword,
        TooManyRequests,
        StepUpRequired
    )
)]
pub(crate) async fn export(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Json(request): Json<ExportAccountRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let password = fields.required("current_password", request.current_password.as_ref(), |password| {
        Ok::<_, &str>(password.clone())
    });
    fields.problem()?;
    let password = password.ok_or_else(Problem::internal)?;
    let export = saas.export_own_account(&authenticated.actor, &password).await?;
    // The status has gone by then: the connection breaks, and who reads sees no end.
    let chunks =
        export.chunks().inspect_err(|error| tracing::error!(error = chain(error), "an export broke off"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"account.json\"")),
    ];
    Ok((NO_STORE, headers, Body::from_stream(chunks)).into_response())
}
