//! Runs: looking at one, following it, stopping it.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use saas_agents::{Run, RunId};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::stream;
use crate::{
    Problem,
    auth::wire::{NO_STORE, date},
    bearer::Bearer,
    fields::Fields,
    path::Path,
    problem::{ProblemBody, QueryProblems, RoleProblem, TokenProblems},
    query::Query,
};

/// Tokens, as the vendor counted them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RunUsage {
    #[serde(rename = "input_tokens")]
    input: i64,
    #[serde(rename = "cached_input_tokens")]
    cached_input: i64,
    #[serde(rename = "output_tokens")]
    output: i64,
    #[serde(rename = "reasoning_tokens")]
    reasoning: i64,
}

/// A run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunResponse {
    /// Its id.
    run_id: Uuid,
    /// Its conversation.
    conversation_id: String,
    /// Who answers.
    agent_used: String,
    /// The model that was asked.
    model_used: Option<String>,
    /// `queued`, `running`, `completed`, `failed`, `cancelled` or `interrupted`.
    #[schema(example = "completed")]
    status: &'static str,
    /// The answer, as far as it came; empty while it runs.
    response: String,
    /// Why it failed.
    error: Option<String>,
    /// What it took.
    usage: RunUsage,
    /// When it was asked for.
    created_at: String,
    /// When it ended.
    finished_at: Option<String>,
}

impl From<Run> for RunResponse {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.id.as_uuid(),
            conversation_id: run.conversation_key.to_string(),
            agent_used: run.agent.to_string(),
            model_used: run.model,
            status: run.status.as_str(),
            response: run.answer,
            error: run.error,
            usage: RunUsage {
                input: run.usage.input,
                cached_input: run.usage.cached_input,
                output: run.usage.output,
                reasoning: run.usage.reasoning,
            },
            created_at: date(run.created_at),
            finished_at: run.finished_at.map(date),
        }
    }
}

fn id(text: &str) -> Result<RunId, Problem> {
    let mut fields = Fields::default();
    let id = fields.required("run_id", Some(text), str::parse);
    id.ok_or_else(|| fields.problem().err().unwrap_or_else(Problem::internal))
}

/// Shows one of one's own runs.
#[utoipa::path(
    get,
    path = "/runs/{run_id}",
    operation_id = "show_run",
    tag = "agents",
    security(("bearer" = [])),
    params(("run_id" = Uuid, Path, description = "The run.")),
    responses(
        (status = 200, body = RunResponse),
        (status = 404, description = "This user has no such run.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not an id.", body = ProblemBody, content_type = "application/problem+json"),
        TokenProblems,
        RoleProblem
    )
)]
pub(crate) async fn show(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(run_id): Path<String>,
) -> Result<Response, Problem> {
    let run = saas.agents().run(&authenticated.actor, id(&run_id)?).await?;
    Ok((NO_STORE, Answer(RunResponse::from(run))).into_response())
}

/// Where to go on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowQuery {
    /// The id of the last event that was seen; `Last-Event-ID` goes before it.
    #[param(example = "1.42")]
    after: Option<String>,
}

/// Follows one of one's own runs: what it said already, then what it says, then its one terminal event.
#[utoipa::path(
    get,
    path = "/runs/{run_id}/stream",
    operation_id = "follow_run",
    tag = "agents",
    security(("bearer" = [])),
    params(
        ("run_id" = Uuid, Path, description = "The run."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
        FollowQuery
    ),
    responses(
        (status = 200, description = "The answer, bit by bit.", content_type = "text/event-stream", body = String),
        (status = 404, description = "This user has no such run.", body = ProblemBody, content_type = "application/problem+json"),
        QueryProblems,
        TokenProblems,
        RoleProblem
    )
)]
pub(crate) async fn follow(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(run_id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<FollowQuery>,
) -> Result<Response, Problem> {
    let run = id(&run_id)?;
    let mut fields = Fields::default();
    let after =
        fields.required("after", Some(&headers), |headers| stream::after(headers, query.after.as_deref()));
    fields.problem()?;
    let events = saas.agents().follow(&authenticated.actor, run, after.unwrap_or(0)).await?;
    Ok(stream::answer(events, saas.clock().clone()))
}

/// Stops one of one's own runs; what it said is kept. One that is over stays as it is.
#[utoipa::path(
    post,
    path = "/runs/{run_id}/cancel",
    operation_id = "cancel_run",
    tag = "agents",
    security(("bearer" = [])),
    params(("run_id" = Uuid, Path, description = "The run.")),
    responses(
        (status = 202, description = "It is told to stop, or is over.", body = RunResponse),
        (status = 404, description = "This user has no such run.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not an id.", body = ProblemBody, content_type = "application/problem+json"),
        TokenProblems,
        RoleProblem
    )
)]
pub(crate) async fn cancel(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(run_id): Path<String>,
) -> Result<Response, Problem> {
    let run = saas.agents().cancel(&authenticated.actor, id(&run_id)?).await?;
    Ok((http::StatusCode::ACCEPTED, NO_STORE, Answer(RunResponse::from(run))).into_response())
}
