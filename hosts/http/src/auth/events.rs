//! What was done with one's account at the door.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use saas_auth::{Auth, SignInEvent, SignInOutcome};
use saas_core::{Cursor, PageSize};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    session::{SessionClient, SessionLocation},
    wire::{NO_STORE, date},
};
use crate::{
    Problem,
    answer::Answer,
    bearer::Bearer,
    fields::Fields,
    problem::described::{PageProblems, Unauthenticated},
    query::Query,
};

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignInsQuery {
    /// How many, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// Where to go on, from the `Link` of the page before.
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum SignInResult {
    /// A session was opened.
    SignedIn,
    /// Nobody was let in.
    Refused,
}

/// A sign-in, or a try at one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SignInItem {
    /// When.
    #[schema(format = DateTime, example = "2026-01-01T00:00:00Z")]
    at: String,
    /// What came of it.
    outcome: SignInResult,
    /// Why nobody was let in.
    #[schema(required, example = "wrong_password")]
    reason: Option<String>,
    /// The session that was opened, as long as it is listed.
    #[schema(required)]
    session_id: Option<Uuid>,
    /// Its address, with its end hidden. Of who was not let in nothing is kept.
    #[schema(required, example = "203.0.113.*")]
    ip_address_masked: Option<String>,
    /// Its program.
    #[schema(required)]
    client: Option<SessionClient>,
    /// Where it was opened; null until somebody has looked, and where nobody knows.
    #[schema(required)]
    location: Option<SessionLocation>,
}

fn item(auth: &Auth, event: SignInEvent) -> SignInItem {
    let empty = SignInItem {
        at: date(event.at),
        outcome: SignInResult::SignedIn,
        reason: None,
        session_id: None,
        ip_address_masked: None,
        client: None,
        location: None,
    };
    match event.outcome {
        SignInOutcome::SignedIn(Some(session)) => SignInItem {
            session_id: Some(session.id.as_uuid()),
            ip_address_masked: auth.address_of(&session),
            location: auth.place_of(&session).map(SessionLocation::from),
            client: Some(SessionClient::from((session.device, session.user_agent))),
            ..empty
        },
        SignInOutcome::Refused { reason } => SignInItem { outcome: SignInResult::Refused, reason, ..empty },
        _ => empty,
    }
}

/// A page of sign-ins.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SignInsResponse {
    /// The newest first.
    events: Vec<SignInItem>,
    /// How many this page may hold.
    #[schema(minimum = 1, maximum = 100, example = 20)]
    limit: u32,
}

/// Lists the sign-ins to one's own account, and the tries that were refused.
#[utoipa::path(
    get,
    path = "/api/v1/auth/events",
    operation_id = "list_sign_ins",
    tag = "auth",
    security(("bearer" = [])),
    params(SignInsQuery),
    responses(
        (status = 200, description = "A page of sign-ins.", body = SignInsResponse, headers(("Link"))),
        PageProblems,
        Unauthenticated
    )
)]
pub(crate) async fn list(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Query(query): Query<SignInsQuery>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let size = fields.optional("limit", query.limit.as_deref(), |text| {
        text.parse().ok().and_then(PageSize::new).ok_or("send a number from 1 to 100")
    });
    let cursor = fields.optional("cursor", query.cursor.as_deref(), Cursor::from_wire);
    fields.problem()?;
    let size = size.unwrap_or_default();
    let page = saas.auth().sign_ins(&authenticated.actor, cursor.as_ref(), size).await?;
    let limit = size.get();
    let next = page.next.as_ref().and_then(|cursor| {
        let url = format!("/api/v1/auth/events?limit={limit}&cursor={}", cursor.as_str());
        HeaderValue::from_str(&format!("<{url}>; rel=\"next\"")).ok()
    });
    let events = page.items.into_iter().map(|event| item(saas.auth(), event)).collect();
    let mut response = (NO_STORE, Answer(SignInsResponse { events, limit })).into_response();
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, next);
    }
    Ok(response)
}
