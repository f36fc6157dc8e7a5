//! Conversations: listing, reading, naming, removing.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use saas_agents::{Agents, Conversation, ConversationKey, ConversationTitle, Message};
use saas_core::{Cursor, PageSize};
use saas_kit::Saas;
use serde::{Deserialize, Serialize};

use crate::{
    Problem,
    answer::Answer,
    auth::wire::{NO_STORE, date},
    bearer::Bearer,
    body::Json,
    fields::Fields,
    path::Path,
    problem::described::{
        BodyProblems, ConversationNotFound, Forbidden, InvalidParameters, PageProblems, QueryProblems,
        Unauthenticated,
    },
    query::Query,
};

/// A conversation in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConversationSummary {
    /// Its key.
    #[schema(min_length = 1, max_length = 255, example = "homework")]
    conversation_id: String,
    /// What its owner calls it.
    #[schema(required, example = "Homework")]
    title: Option<String>,
    /// How many messages it has.
    #[schema(minimum = 0, example = 2)]
    message_count: i64,
    /// The beginning of its last message, 120 characters.
    #[schema(max_length = 120, example = "6 * 7 is 42.")]
    last_message: String,
    /// When it began.
    #[schema(format = DateTime)]
    created_at: String,
    /// When its last message came.
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<Conversation> for ConversationSummary {
    fn from(conversation: Conversation) -> Self {
        Self {
            conversation_id: conversation.key.to_string(),
            title: conversation.title,
            message_count: conversation.message_count,
            last_message: conversation.preview,
            created_at: date(conversation.created_at),
            updated_at: date(conversation.updated_at),
        }
    }
}

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// How many, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// Where to go on, from the `Link` of the page before.
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// Lists one's own conversations, last changed first.
#[utoipa::path(
    get,
    path = "/api/v1/conversations",
    operation_id = "list_conversations",
    tag = "agents",
    security(("bearer" = [])),
    params(ListQuery),
    responses(
        (status = 200, description = "A page of conversations.", body = Vec<ConversationSummary>, headers(("Link"))),
        PageProblems,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn list(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let size = fields.optional("limit", query.limit.as_deref(), |text| {
        text.parse().ok().and_then(PageSize::new).ok_or("send a number from 1 to 100")
    });
    let cursor = fields.optional("cursor", query.cursor.as_deref(), Cursor::from_wire);
    fields.problem()?;
    let size = size.unwrap_or_default();
    let page = saas.agents().conversations(&authenticated.actor, cursor.as_ref(), size).await?;
    let body: Vec<ConversationSummary> = page.items.into_iter().map(ConversationSummary::from).collect();
    let mut response = (NO_STORE, Answer(body)).into_response();
    if let Some(next) = page.next {
        let url =
            format!("</api/v1/conversations?limit={}&cursor={}>; rel=\"next\"", size.get(), next.as_str());
        if let Ok(link) = HeaderValue::from_str(&url) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// Who says something.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes answers")]
enum SpeakerName {
    User,
    Assistant,
}

/// A message.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ConversationMessage {
    /// Its place, from 1.
    #[schema(minimum = 1, example = 1)]
    position: i64,
    /// Who said it.
    #[schema(value_type = SpeakerName)]
    role: &'static str,
    /// What was said.
    #[schema(example = "What is 6 * 7?")]
    content: String,
    /// Whether it ended before it was complete.
    #[schema(example = false)]
    partial: bool,
    /// When.
    #[schema(format = DateTime)]
    timestamp: String,
}

impl From<Message> for ConversationMessage {
    fn from(message: Message) -> Self {
        Self {
            position: message.position,
            role: message.speaker.as_str(),
            content: message.text,
            partial: message.partial,
            timestamp: date(message.created_at),
        }
    }
}

/// A conversation with its messages.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConversationResponse {
    /// Its key.
    #[schema(min_length = 1, max_length = 255, example = "homework")]
    conversation_id: String,
    /// What its owner calls it.
    #[schema(required, example = "Homework")]
    title: Option<String>,
    /// Oldest first.
    messages: Vec<ConversationMessage>,
    /// When it began.
    #[schema(format = DateTime)]
    created_at: String,
    /// When its last message came.
    #[schema(format = DateTime)]
    updated_at: String,
    /// Always null.
    #[schema(nullable)]
    agent_context: Option<String>,
}

/// How many messages a page has unless the caller says.
const MESSAGES: u32 = 100;

/// Which messages.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessagesQuery {
    /// Those after this position.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_223_372_036_854_775_806_u64)]
    after: Option<String>,
    /// How many, 1 to 500; 100 without it. A page also ends after 256 KiB of text.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
}

fn key(text: &str) -> Result<ConversationKey, Problem> {
    let mut fields = Fields::default();
    let key = fields.required("conversation_id", Some(text), ConversationKey::parse);
    key.ok_or_else(|| fields.problem().err().unwrap_or_else(Problem::internal))
}

/// Shows one of one's own conversations with its messages.
#[utoipa::path(
    get,
    path = "/api/v1/conversations/{conversation_id}",
    operation_id = "show_conversation",
    tag = "agents",
    security(("bearer" = [])),
    params(("conversation_id" = String, Path, description = "The conversation's key.", min_length = 1, max_length = 255, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$", example = "homework"), MessagesQuery),
    responses(
        (status = 200, description = "The conversation.", body = ConversationResponse, headers(("Link"))),
        ConversationNotFound,
        QueryProblems,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn show(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(conversation_id): Path<String>,
    Query(query): Query<MessagesQuery>,
) -> Result<Response, Problem> {
    let key = key(&conversation_id)?;
    let mut fields = Fields::default();
    let after = fields.optional("after", query.after.as_deref(), |text| {
        text.parse()
            .ok()
            .filter(|after| (0..i64::MAX).contains(after))
            .ok_or("send the position of a message")
    });
    let limit = fields.optional("limit", query.limit.as_deref(), |text| {
        text.parse()
            .ok()
            .filter(|limit| (1..=Agents::MESSAGES_MAX).contains(limit))
            .ok_or("send a number from 1 to 500")
    });
    fields.problem()?;
    let limit = limit.unwrap_or(MESSAGES);
    let transcript = saas.agents().transcript(&authenticated.actor, &key, after.unwrap_or(0), limit).await?;
    let last = transcript.messages.last().filter(|_| transcript.more).map(|message| message.position);
    let conversation = transcript.conversation;
    let body = ConversationResponse {
        conversation_id: conversation.key.to_string(),
        title: conversation.title,
        messages: transcript.messages.into_iter().map(ConversationMessage::from).collect(),
        created_at: date(conversation.created_at),
        updated_at: date(conversation.updated_at),
        agent_context: None,
    };
    let mut response = (NO_STORE, Answer(body)).into_response();
    // A reference of a query alone keeps the path (RFC 3986 section 5.2.2), whatever is in the key.
    let link = last
        .and_then(|last| HeaderValue::from_str(&format!("<?after={last}&limit={limit}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// What to change.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct RenameRequest {
    /// 1 to 128 characters; null takes the name away.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$",
        example = "Homework"
    )]
    title: Option<String>,
}

/// Names one of one's own conversations.
#[utoipa::path(
    patch,
    path = "/api/v1/conversations/{conversation_id}",
    operation_id = "rename_conversation",
    tag = "agents",
    security(("bearer" = [])),
    params(("conversation_id" = String, Path, description = "The conversation's key.", min_length = 1, max_length = 255, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$", example = "homework")),
    request_body = RenameRequest,
    responses(
        (status = 200, description = "The conversation as it is now.", body = ConversationSummary),
        ConversationNotFound,
        BodyProblems,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn rename(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(conversation_id): Path<String>,
    Json(request): Json<RenameRequest>,
) -> Result<Response, Problem> {
    let key = key(&conversation_id)?;
    let mut fields = Fields::default();
    let title = fields.optional("title", request.title.as_deref(), ConversationTitle::parse);
    fields.problem()?;
    let conversation = saas.agents().rename(&authenticated.actor, &key, title.as_ref()).await?;
    Ok((NO_STORE, Answer(ConversationSummary::from(conversation))).into_response())
}

/// Removes one of one's own conversations: messages, what the model remembers, runs.
#[utoipa::path(
    delete,
    path = "/api/v1/conversations/{conversation_id}",
    operation_id = "remove_conversation",
    tag = "agents",
    security(("bearer" = [])),
    params(("conversation_id" = String, Path, description = "The conversation's key.", min_length = 1, max_length = 255, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$", example = "homework")),
    responses(
        (status = 204, description = "It is gone."),
        ConversationNotFound,
        InvalidParameters,
        Unauthenticated,
        Forbidden
    )
)]
pub(crate) async fn remove(
    State(saas): State<Saas>,
    Bearer(authenticated): Bearer,
    Path(conversation_id): Path<String>,
) -> Result<StatusCode, Problem> {
    saas.agents().remove(&authenticated.actor, &key(&conversation_id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
