//! Switching to another tenant.

use axum::{extract::State, response::Response};
use saas_auth::SessionCredential;
use saas_core::{Secret, TenantId};
use saas_kit::Saas;
use serde::Deserialize;

use super::wire::{SignedIn, signed_in};
use crate::{
    Problem,
    bearer::Anyone,
    body::Json,
    cookie::{Carrier, Presented},
    fields::Fields,
    problem::described::{
        BodyProblems, CrossSiteRequest, InvalidRefreshToken, SessionMovedOn, TenantNotFound,
    },
};

/// Where to.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct SwitchRequest {
    /// The tenant.
    #[schema(required, value_type = Uuid)]
    tenant_id: Option<String>,
    /// The session's refresh token, which is spent; who has a cookie leaves it out.
    #[schema(value_type = Option<String>, min_length = 1, example = "saas_rt_AZiQpdrJZ0u8zrMCCZqAVw")]
    refresh_token: Option<Secret<String>>,
}

impl SwitchRequest {
    fn parts(self, by_cookie: bool) -> Result<(TenantId, Option<Secret<String>>), Problem> {
        let mut fields = Fields::default();
        let tenant: Option<TenantId> = fields.required("tenant_id", self.tenant_id.as_deref(), str::parse);
        if self.refresh_token.is_none() && !by_cookie {
            fields.required("refresh_token", None::<&str>, |_| Ok::<_, &str>(()));
        }
        fields.problem()?;
        Ok((tenant.ok_or_else(Problem::internal)?, self.refresh_token))
    }
}

/// Takes the session to another of the user's tenants.
///
/// It is exchanged as at a refresh: the refresh token or the cookie that it was asked with is spent, and access tokens for the tenant before
/// are refused from then on. A tenant that the user does not belong to, or that is closed, is `tenant_not_found`, and nothing has changed.
#[utoipa::path(
    post,
    path = "/api/v1/auth/switch",
    operation_id = "switch_tenant",
    tag = "auth",
    request_body = SwitchRequest,
    responses(
        (status = 200, description = "The session goes on in that tenant.", body = SignedIn),
        InvalidRefreshToken,
        CrossSiteRequest,
        TenantNotFound,
        SessionMovedOn,
        BodyProblems
    )
)]
pub(crate) async fn switch(
    State(saas): State<Saas>,
    Anyone(actor): Anyone,
    Presented(cookie): Presented,
    Json(request): Json<SwitchRequest>,
) -> Result<Response, Problem> {
    let (tenant, token) = request.parts(cookie.is_some())?;
    let (by, carrier) = match (&token, &cookie) {
        (Some(token), _) => (SessionCredential::RefreshToken(token), Carrier::Tokens),
        (None, Some(cookie)) => (SessionCredential::Cookie(cookie), Carrier::Cookie),
        (None, None) => return Err(Problem::internal()),
    };
    let tokens = saas.auth().switch(&actor, by, tenant).await?;
    signed_in(&saas, carrier, tokens)
}
