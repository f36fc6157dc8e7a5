//! A user's own sessions.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use saas_auth::{Auth, Device, Session, SessionFilter};
use saas_core::{Cursor, PageSize, Place, SessionId, TenantId};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    sign_in::RevokedCount,
    wire::{NO_STORE, SuccessResponse, date, signed_out},
};
use crate::{
    Problem,
    answer::Answer,
    bearer::Bearer,
    fields::Fields,
    path::Path,
    problem::described::{InvalidParameters, PageProblems, SessionNotFound, StepUpRequired, Unauthenticated},
    query::Query,
};

/// Which sessions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionsQuery {
    /// Those that have ended, too.
    #[param(value_type = Option<bool>)]
    include_revoked: Option<String>,
    /// How many, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// How many to skip; `cursor` is the better way.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 100_000, default = 0)]
    offset: Option<String>,
    /// Those of one tenant.
    #[param(value_type = Option<Uuid>)]
    tenant_id: Option<String>,
    /// Where to go on, from the `Link` of the page before.
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// The farthest that `offset` reaches.
const MAX_OFFSET: u32 = 100_000;

struct Wanted {
    filter: SessionFilter,
    size: PageSize,
    offset: u32,
    cursor: Option<Cursor>,
}

impl SessionsQuery {
    fn wanted(&self) -> Result<Wanted, Problem> {
        let mut fields = Fields::default();
        let ended = fields.optional("include_revoked", self.include_revoked.as_deref(), |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("send true or false"),
        });
        let size = fields.optional("limit", self.limit.as_deref(), |text| {
            text.parse().ok().and_then(PageSize::new).ok_or("send a number from 1 to 100")
        });
        let offset = fields.optional("offset", self.offset.as_deref(), |text| {
            text.parse()
                .ok()
                .filter(|offset| *offset <= MAX_OFFSET)
                .ok_or("send a number from 0 to 100000; cursor reaches farther")
        });
        let tenant: Option<TenantId> = fields.optional("tenant_id", self.tenant_id.as_deref(), str::parse);
        let cursor = fields.optional("cursor", self.cursor.as_deref(), Cursor::from_wire);
        fields.problem()?;
        Ok(Wanted {
            filter: SessionFilter::live().in_tenant(tenant).with_ended(ended.unwrap_or(false)),
            size: size.unwrap_or_default(),
            offset: offset.unwrap_or(0),
            cursor,
        })
    }

    /// Where the next page is: the same list from `cursor` on.
    fn next(wanted: &Wanted, cursor: &Cursor) -> Option<HeaderValue> {
        let tenant = wanted.filter.tenant.map(|tenant| format!("&tenant_id={tenant}")).unwrap_or_default();
        let ended = if wanted.filter.include_ended { "&include_revoked=true" } else { "" };
        let url = format!(
            "/api/v1/auth/sessions?limit={}{tenant}{ended}&cursor={}",
            wanted.size.get(),
            cursor.as_str()
        );
        HeaderValue::from_str(&format!("<{url}>; rel=\"next\"")).ok()
    }
}

/// The program of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SessionClient {
    /// The system that it runs on.
    #[schema(required, example = "Windows")]
    platform: Option<String>,
    /// The browser or library.
    #[schema(required, example = "Chrome")]
    browser: Option<String>,
    /// The kind of device.
    #[schema(required, example = "desktop")]
    device: Option<String>,
    /// What it calls itself.
    #[schema(required, example = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/143.0.0.0")]
    user_agent: Option<String>,
}

impl From<(Device, Option<String>)> for SessionClient {
    fn from((device, user_agent): (Device, Option<String>)) -> Self {
        let Device { platform, browser, device } = device;
        Self { platform, browser, device, user_agent }
    }
}

/// The place of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SessionLocation {
    /// The city.
    #[schema(required, example = "London")]
    city: Option<String>,
    /// The region.
    #[schema(required, example = "England")]
    region: Option<String>,
    /// The country, ISO 3166-1.
    #[schema(required, example = "GB")]
    country: Option<String>,
}

impl From<Place> for SessionLocation {
    fn from(place: Place) -> Self {
        Self { city: place.city, region: place.region, country: place.country }
    }
}

/// A session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SessionItem {
    /// Its id.
    id: Uuid,
    /// The tenant that it is in.
    tenant_id: Uuid,
    /// When the user signed in.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last refreshed.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// When it was ended.
    #[schema(required, format = DateTime, example = json!(null))]
    revoked_at: Option<String>,
    /// The address, with its end hidden.
    #[schema(required, example = "203.0.113.*")]
    ip_address_masked: Option<String>,
    /// Equal for equal devices at equal addresses; tells nothing else.
    #[schema(required, example = "b5bb9d8014a0f9b1")]
    fingerprint: Option<String>,
    /// Its program.
    client: SessionClient,
    /// Where it was opened; null until somebody has looked, and where nobody knows.
    #[schema(required)]
    location: Option<SessionLocation>,
    /// Whether it is the session that asks.
    current: bool,
}

fn item(auth: &Auth, session: Session, asking: SessionId) -> SessionItem {
    let location = auth.place_of(&session).map(SessionLocation::from);
    SessionItem {
        id: session.id.as_uuid(),
        tenant_id: session.tenant.as_uuid(),
        created_at: date(session.created_at),
        last_seen_at: date(session.last_seen_at),
        revoked_at: session.revoked_at.map(date),
        ip_address_masked: auth.address_of(&session),
        fingerprint: session.fingerprint,
        client: SessionClient::from((session.device, session.user_agent)),
        location,
        current: session.id == asking,
    }
}

/// A page of sessions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SessionsResponse {
    /// Last seen first.
    sessions: Vec<SessionItem>,
    /// How many there are on all pages.
    #[schema(minimum = 0, example = 1)]
    total: i64,
    /// How many this page may hold.
    #[schema(minimum = 1, maximum = 100, example = 20)]
    limit: u32,
    /// How many were skipped.
    #[schema(minimum = 0, maximum = 100_000, example = 0)]
    offset: u32,
}

/// Lists one's own sessions.
#[utoipa::path(
    get,
    path = "/api/v1/auth/sessions",
    operation_id = "list_sessions",
    tag = "auth",
    security(("bearer" = [])),
    params(SessionsQuery),
    responses(
        (status = 200, description = "A page of sessions.", body = SessionsResponse, headers(("Link"))),
        PageProblems,
        Unauthenticated
    )
)]
pub(crate) async fn list(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Query(query): Query<SessionsQuery>,
) -> Result<Response, Problem> {
    let wanted = query.wanted()?;
    let listed = saas
        .auth()
        .sessions(&authenticated.actor, &wanted.filter, wanted.cursor.as_ref(), wanted.offset, wanted.size)
        .await?;
    let next = listed.page.next.as_ref().and_then(|cursor| SessionsQuery::next(&wanted, cursor));
    let asking = authenticated.claims().sid;
    let body = SessionsResponse {
        sessions: listed.page.items.into_iter().map(|session| item(saas.auth(), session, asking)).collect(),
        total: listed.total,
        limit: wanted.size.get(),
        offset: wanted.offset,
    };
    let mut response = (NO_STORE, Answer(body)).into_response();
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, next);
    }
    Ok(response)
}

/// Signs out everywhere else: ends every session of the user's but the one that asks.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/sessions",
    operation_id = "revoke_other_sessions",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Every other session has ended.", body = SuccessResponse<RevokedCount>),
        StepUpRequired
    )
)]
pub(crate) async fn revoke_others(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    let revoked = saas.auth().logout_others(&authenticated.actor).await?;
    let answer = SuccessResponse::new("Signed out everywhere else.", RevokedCount { revoked });
    Ok((NO_STORE, Answer(answer)).into_response())
}

/// A session was ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SessionRevoked {
    /// Always true.
    revoked: bool,
}

/// Ends one of one's own sessions.
///
/// Another one than the session that asks only after a fresh proof of who one is.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/sessions/{session_id}",
    operation_id = "revoke_session",
    tag = "auth",
    security(("bearer" = [])),
    params(("session_id" = Uuid, Path, description = "The session.", example = "01890a5d-ac96-774b-bcce-b302099a8057")),
    responses(
        (status = 200, description = "The session has ended.", body = SuccessResponse<SessionRevoked>),
        SessionNotFound,
        InvalidParameters,
        StepUpRequired
    )
)]
pub(crate) async fn revoke(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(session_id): Path<String>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let session: Option<SessionId> = fields.required("session_id", Some(session_id.as_str()), str::parse);
    fields.problem()?;
    let session = session.ok_or_else(Problem::internal)?;
    saas.auth().revoke_session(&authenticated.actor, session).await?;
    let here = authenticated.is_by_cookie() && authenticated.claims().sid == session;
    let answer = SuccessResponse::new("Session revoked.", SessionRevoked { revoked: true });
    signed_out(&saas, here, (NO_STORE, Answer(answer)).into_response())
}
