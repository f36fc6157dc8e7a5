//! Talking to an agent.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_agents::{AgentName, ConversationKey, IdempotencyKey, RunStatus, StartRun};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::stream::{self, StreamEvent};
use crate::{
    Problem,
    answer::Answer,
    bearer::Bearer,
    body::Json,
    fields::Fields,
    problem::described::{BodyProblems, ChatProblems, Forbidden, RunFailed, Unauthenticated},
    stopping::Stopping,
};

/// A message for an agent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ChatRequest {
    /// What is said, 1 to 32,000 characters.
    #[schema(required, value_type = String, min_length = 1, max_length = 32_000, example = "What is 6 * 7?")]
    message: Option<String>,
    /// Where: a key of your own choice, at most 255 characters; a new conversation without it, or when it is empty.
    #[schema(max_length = 255, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$", example = "homework")]
    conversation_id: Option<String>,
    /// To whom; `triage` without it.
    #[schema(pattern = "^[a-z0-9_]{1,64}$", example = "triage")]
    agent_type: Option<String>,
    /// Accepted for earlier clients, and not used.
    #[schema(value_type = Option<Value>, example = json!({}))]
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

/// What makes a request safe to send twice.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that is read in `command`")]
struct IdempotencyHeader {
    /// The same request under the same key gets the same run.
    #[param(rename = "Idempotency-Key", required = false, value_type = String, min_length = 1, max_length = 255, pattern = "^[ -~]+$", example = "5f0c6a0e")]
    key: Option<String>,
}

/// What the answer was made with.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ChatMetadata {
    /// The model.
    #[schema(required, example = "gpt-5-mini")]
    model_used: Option<String>,
    /// The tools that the agent could use.
    #[schema(example = json!([]))]
    tools_available: Vec<String>,
}

/// An agent's answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChatResponse {
    /// What it said.
    #[schema(example = "6 * 7 is 42.")]
    response: String,
    /// Where.
    #[schema(min_length = 1, max_length = 255, example = "homework")]
    conversation_id: String,
    /// Who said it.
    #[schema(example = "triage")]
    agent_used: String,
    /// Whether another agent took over.
    #[schema(example = false)]
    handoff_occurred: bool,
    /// The run, to look at or follow.
    run_id: Uuid,
    /// What it was made with.
    metadata: ChatMetadata,
}

/// Asks an agent and waits for the whole answer.
#[utoipa::path(
    post,
    path = "/api/v1/chat",
    operation_id = "chat",
    tag = "agents",
    security(("bearer" = [])),
    request_body = ChatRequest,
    params(IdempotencyHeader),
    responses(
        (status = 200, description = "The answer.", body = ChatResponse, links(
            ("run" = (operation_id = "show_run", parameters(("run_id" = "$response.body#/run_id")))),
            ("events" = (operation_id = "follow_run", parameters(("run_id" = "$response.body#/run_id")))),
            ("cancel" = (operation_id = "cancel_run", parameters(("run_id" = "$response.body#/run_id")))),
            ("conversation" = (operation_id = "show_conversation", parameters(("conversation_id" = "$response.body#/conversation_id"))))
        )),
        RunFailed,
        BodyProblems,
        ChatProblems,
        Unauthenticated,
        Forbidden
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
    // Under the key of a run that has been over for long there may be nothing left to follow, and nothing to wait for.
    let run = if run.status.is_final() {
        run
    } else {
        let followed = agents.follow(actor, run.id, 0).await;
        let mut events = followed.map_err(|error| stream::problem(error, run.id))?;
        stream::end(&mut events).await?;
        agents.run(actor, run.id).await?
    };
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
///
/// An event is a line `id:` and a line `data:`, whose JSON has a bit of the answer. Exactly one event has `is_complete: true`, and it is the
/// last one; a stream that ends without it has broken off: follow the run again. A line that begins with `:` is a comment.
#[utoipa::path(
    post,
    path = "/api/v1/chat/stream",
    operation_id = "chat_stream",
    tag = "agents",
    security(("bearer" = [])),
    request_body = ChatRequest,
    params(IdempotencyHeader),
    responses(
        (status = 200, description = "The answer, bit by bit.", content_type = "text/event-stream",
            body = StreamEvent, headers(("Location"))),
        BodyProblems,
        ChatProblems,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn chat_stream(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    stopping: Stopping,
    headers: HeaderMap,
    Json(request): Json<ChatRequest>,
) -> Result<Response, Problem> {
    let run = saas.agents().start(&authenticated.actor, request.command(&headers)?).await?;
    let followed = saas.agents().follow(&authenticated.actor, run.id, 0).await;
    let events = followed.map_err(|error| stream::problem(error, run.id))?;
    Ok(stream::answer(events, saas.clock().clone(), stopping))
}
