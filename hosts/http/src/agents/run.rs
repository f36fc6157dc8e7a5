//! Runs: looking at one, following it, stopping it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use saas_agents::{Run, RunId};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::stream::{self, StreamEvent};
use crate::{
    Problem,
    answer::Answer,
    auth::wire::{NO_STORE, date},
    bearer::Bearer,
    fields::Fields,
    path::Path,
    problem::described::{
        EventsTrimmed, Forbidden, InvalidParameters, QueryProblems, RunNotFound, Unauthenticated,
    },
    query::Query,
    stopping::Stopping,
};

/// Tokens, as the vendor counted them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RunUsage {
    /// Read.
    #[serde(rename = "input_tokens")]
    #[schema(minimum = 0, example = 120)]
    input: i64,
    /// Of those, read from the vendor's cache.
    #[serde(rename = "cached_input_tokens")]
    #[schema(minimum = 0, example = 0)]
    cached_input: i64,
    /// Written.
    #[serde(rename = "output_tokens")]
    #[schema(minimum = 0, example = 9)]
    output: i64,
    /// Of those, thought and not said.
    #[serde(rename = "reasoning_tokens")]
    #[schema(minimum = 0, example = 0)]
    reasoning: i64,
}

/// How far a run is.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes answers")]
pub(super) enum RunStatusName {
    Completed,
    Queued,
    Running,
    Failed,
    Cancelled,
    Interrupted,
}

/// A run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunResponse {
    /// Its id.
    run_id: Uuid,
    /// Its conversation.
    #[schema(min_length = 1, max_length = 255, example = "homework")]
    conversation_id: String,
    /// Who answers.
    #[schema(pattern = "^[a-z0-9_]{1,64}$", example = "triage")]
    agent_used: String,
    /// The model that was asked.
    #[schema(required, example = "gpt-5-mini")]
    model_used: Option<String>,
    /// How far it is.
    #[schema(value_type = RunStatusName)]
    status: &'static str,
    /// The answer, as far as it came; empty while it runs.
    #[schema(example = "6 * 7 is 42.")]
    response: String,
    /// Why it failed.
    #[schema(required, example = json!(null))]
    error: Option<String>,
    /// What it took.
    usage: RunUsage,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ended.
    #[schema(required, format = DateTime, example = "2026-01-01T00:00:02Z")]
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
    path = "/api/v1/runs/{run_id}",
    operation_id = "show_run",
    tag = "agents",
    security(("bearer" = [])),
    params(("run_id" = Uuid, Path, description = "The run.", example = "01890a5d-ac96-774b-bcce-b302099a8057")),
    responses(
        (status = 200, description = "The run as it is now.", body = RunResponse),
        RunNotFound,
        InvalidParameters,
        Unauthenticated,
        Forbidden
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

/// Where to go on, as browsers say it.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that `stream::after` reads")]
struct LastEventHeader {
    /// The id of the last event that was seen; it goes before `after`.
    #[param(rename = "Last-Event-ID", required = false, value_type = String, pattern = r"^(([^.]*\.)?[0-9]{1,18})?$", example = "1.42")]
    id: Option<String>,
}

/// Where to go on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowQuery {
    /// The id of the last event that was seen; `Last-Event-ID` goes before it.
    #[param(pattern = r"^(([^.]*\.)?[0-9]{1,18})?$", example = "1.42")]
    after: Option<String>,
}

/// Follows one of one's own runs: what it said already, then what it says, then its one terminal event.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{run_id}/stream",
    operation_id = "follow_run",
    tag = "agents",
    security(("bearer" = [])),
    params(
        ("run_id" = Uuid, Path, description = "The run.", example = "01890a5d-ac96-774b-bcce-b302099a8057"),
        LastEventHeader,
        FollowQuery
    ),
    responses(
        (status = 200, description = "The answer, bit by bit, as `chat_stream` describes it.", content_type = "text/event-stream",
            body = StreamEvent, headers(("Location"))),
        RunNotFound,
        EventsTrimmed,
        QueryProblems,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn follow(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(run_id): Path<String>,
    stopping: Stopping,
    headers: HeaderMap,
    Query(query): Query<FollowQuery>,
) -> Result<Response, Problem> {
    let run = id(&run_id)?;
    let mut fields = Fields::default();
    let after =
        fields.required("after", Some(&headers), |headers| stream::after(headers, query.after.as_deref()));
    fields.problem()?;
    let followed = saas.agents().follow(&authenticated.actor, run, after.unwrap_or(0)).await;
    let events = followed.map_err(|error| stream::problem(error, run))?;
    Ok(stream::answer(events, saas.clock().clone(), stopping))
}

/// Stops one of one's own runs; what it said is kept. One that is over stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{run_id}/cancel",
    operation_id = "cancel_run",
    tag = "agents",
    security(("bearer" = [])),
    params(("run_id" = Uuid, Path, description = "The run.", example = "01890a5d-ac96-774b-bcce-b302099a8057")),
    responses(
        (status = 202, description = "It is told to stop, or is over.", body = RunResponse),
        RunNotFound,
        InvalidParameters,
        Unauthenticated,
        Forbidden
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
