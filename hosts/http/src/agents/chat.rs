//! Talking to an agent.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_agents::{AgentName, ConversationKey, IdempotencyKey, RunStatus, StartRun};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::stream;
use crate::{
    Problem,
    bearer::Bearer,
    body::Json,
    fields::Fields,
    problem::{BodyProblems, ProblemBody, RoleProblem, TokenProblems},
};

/// A message for an agent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ChatRequest {
    /// What is said, 1 to 32,000 characters.
    #[schema(required, example = "What is 6 * 7?")]
    message: Option<String>,
    /// Where: a key of your own choice, 1 to 255 characters; a new conversation without it.
    #[schema(example = "homework")]
    conversation_id: Option<String>,
    /// To whom; `triage` without it.
    #[schema(example = "triage")]
    agent_type: Option<String>,
    /// Accepted for earlier clients, and not used.
    #[schema(value_type = Option<Object>)]
    context: Option<Value>,
}

impl ChatRequest {
    fn command(self, headers: &HeaderMap) -> Result<StartRun, Problem> {
        let mut fields = Fields::default();
        let message =
            fields.required("message", self.message.as_deref(), |text| Ok::<_, &str>(text.to_owned()));
        let conversation = self.conversation_id.as_deref().filter(|key| !key.is_empty());
        let conversation = fields.optional("conversation_id", conversation, ConversationKey::parse);
        let agent = fields.optional("agent_type", self.agent_type.as_deref(), AgentName::parse);
        let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or("\u{7f}"));
        let key = fields.optional("Idempotency-Key", key, IdempotencyKey::parse);
        let _ = self.context;
        fields.problem()?;
        let message = message.ok_or_else(Problem::internal)?;
        Ok(StartRun::new(message).in_conversation(conversation).to_agent(agent).with_idempotency_key(key))
    }
}

/// What the answer was made with.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ChatMetadata {
    /// The model.
    model_used: Option<String>,
    /// The tools that the agent could use.
    tools_available: Vec<String>,
}

/// An agent's answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChatResponse {
    /// What it said.
    response: String,
    /// Where.
    conversation_id: String,
    /// Who said it.
    #[schema(example = "triage")]
    agent_used: String,
    /// Whether another agent took over.
    handoff_occurred: bool,
    /// The run, to look at or follow.
    run_id: Uuid,
    /// What it was made with.
    metadata: ChatMetadata,
}

/// Asks an agent and waits for the whole answer.
#[utoipa::path(
    post,
    path = "/chat",
    tag = "agents",
    security(("bearer" = [])),
    request_body = ChatRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request under the same key gets the same run.")),
    responses(
        (status = 200, body = ChatResponse),
        (status = 404, description = "The conversation is somebody else's.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The key was used for another request.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many messages wait in this conversation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The model failed; `code` says how.", body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
        TokenProblems,
        RoleProblem
    )
)]
pub(crate) async fn chat(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    headers: HeaderMap,
    Json(request): Json<ChatRequest>,
) -> Result<Response, Problem> {
    let (agents, actor) = (saas.agents(), &authenticated.actor);
    let run = agents.start(actor, request.command(&headers)?).await?;
    let mut events = agents.follow(actor, run.id, 0).await?;
    stream::end(&mut events).await?;
    let run = agents.run(actor, run.id).await?;
    if run.status != RunStatus::Completed {
        let code = run.error.unwrap_or_else(|| run.status.as_str().to_owned());
        let problem = Problem::new(
            StatusCode::BAD_GATEWAY,
            "run_failed",
            "the agent could not complete its answer: send the message again",
        );
        return Err(problem
            .with_member("reason", code.into())
            .with_member("run_id", run.id.to_string().into()));
    }
    let body = ChatResponse {
        response: run.answer,
        conversation_id: run.conversation_key.to_string(),
        agent_used: run.agent.to_string(),
        handoff_occurred: false,
        run_id: run.id.as_uuid(),
        metadata: ChatMetadata { model_used: run.model, tools_available: Vec::new() },
    };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Answer(body)).into_response())
}

/// Asks an agent and streams the answer as server-sent events.
///
/// The run goes on when the caller leaves; `Location` says where to follow it again.
#[utoipa::path(
    post,
    path = "/chat/stream",
    tag = "agents",
    security(("bearer" = [])),
    request_body = ChatRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request under the same key gets the same run.")),
    responses(
        (status = 200, description = "The answer, bit by bit.", content_type = "text/event-stream", body = String,
            headers(("Location" = String, description = "Where the run can be followed again."))),
        (status = 404, description = "The conversation is somebody else's.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The key was used for another request.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many messages wait in this conversation.", body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
        TokenProblems,
        RoleProblem
    )
)]
pub(crate) async fn chat_stream(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    headers: HeaderMap,
    Json(request): Json<ChatRequest>,
) -> Result<Response, Problem> {
    let run = saas.agents().start(&authenticated.actor, request.command(&headers)?).await?;
    let events = saas.agents().follow(&authenticated.actor, run.id, 0).await?;
    Ok(stream::answer(events, saas.clock().clone()))
}
