//! The agents there are.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use saas_agents::{AgentName, AgentSpec};
use saas_core::Permission;
use saas_kit::Saas;
use serde::Serialize;

use crate::{
    Problem,
    answer::Answer,
    bearer::Bearer,
    path::Path,
    problem::described::{AgentNotFound, Forbidden, InvalidParameters, Unauthenticated},
};

/// An agent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AgentSummary {
    /// Its name, for `agent_type`.
    #[schema(pattern = "^[a-z0-9_]{1,64}$", example = "triage")]
    name: String,
    /// Always `active`.
    #[schema(pattern = "^active$", example = "active")]
    status: &'static str,
    /// Its name for people.
    #[schema(example = "Triage Assistant")]
    title: String,
    /// What it is for.
    #[schema(example = "Answers questions, and finds who can.")]
    description: String,
}

impl From<&AgentSpec> for AgentSummary {
    fn from(spec: &AgentSpec) -> Self {
        Self {
            name: spec.name.to_string(),
            status: "active",
            title: spec.title.to_string(),
            description: spec.description.to_string(),
        }
    }
}

fn check(saas: &Saas, authenticated: &saas_auth::Authenticated) -> Result<(), Problem> {
    saas.agents().check(&authenticated.actor, &Permission::TOOLS_READ).map_err(Problem::from)
}

/// Lists the agents.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    operation_id = "list_agents",
    tag = "agents",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The agents, by name.", body = Vec<AgentSummary>),
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn list(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
) -> Result<Response, Problem> {
    check(&saas, &authenticated)?;
    let mut agents: Vec<AgentSummary> =
        saas.agents().config().catalogue.iter().map(AgentSummary::from).collect();
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Answer(agents).into_response())
}

/// Shows an agent.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{agent_name}/status",
    operation_id = "agent_status",
    tag = "agents",
    security(("bearer" = [])),
    params(("agent_name" = String, Path, description = "The agent's name.", min_length = 1, example = "triage")),
    responses(
        (status = 200, description = "The agent.", body = AgentSummary),
        AgentNotFound,
        InvalidParameters,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn status(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(agent_name): Path<String>,
) -> Result<Response, Problem> {
    check(&saas, &authenticated)?;
    let name = AgentName::parse(&agent_name).ok();
    let spec = name.and_then(|name| saas.agents().config().catalogue.get(&name));
    let spec =
        spec.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "agent_not_found", "there is no such agent"))?;
    Ok(Answer(AgentSummary::from(spec)).into_response())
}
