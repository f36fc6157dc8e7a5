//! Server-sent events (WHATWG HTML section 9.2) of a run.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_agents::{AgentsError, RunEvent, RunEvents, RunId};
use saas_core::Clock;
use uuid::Uuid;

use super::run::RunStatusName;
use crate::{
    Problem,
    metrics::{self, Open},
    stopping::Stopping,
};

/// How long a stream is silent before it says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// An event of a stream.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) struct StreamEvent {
    /// `<attempt>.<seq>`, for `Last-Event-ID`.
    #[schema(pattern = "^[0-9]+[.][0-9]+$", example = "1.2")]
    id: String,
    /// A `StreamFrame`, as JSON.
    #[schema(
        content_media_type = "application/json",
        example = r#"{"chunk":"42","conversation_id":"homework","is_complete":false,"agent_used":"triage","run_id":"01890a5d-ac96-774b-bcce-b302099a8057"}"#
    )]
    data: String,
}

/// What an event of a stream says.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) struct StreamFrame {
    /// A bit of the answer; empty in the first frame and in the last.
    #[schema(example = "42")]
    chunk: String,
    /// Where.
    #[schema(min_length = 1, max_length = 255, example = "homework")]
    conversation_id: String,
    /// Whether it is the last frame; then the answer is stored.
    #[schema(example = false)]
    is_complete: bool,
    /// Who says it.
    #[schema(pattern = "^[a-z0-9_]{1,64}$", example = "triage")]
    agent_used: String,
    /// The run.
    run_id: Uuid,
    /// How it ended: only in the last frame.
    #[schema(required = false)]
    status: RunStatusName,
    /// Why it was not completed, for programs: only in the last frame.
    #[schema(required = false, example = "model_unavailable")]
    code: String,
    /// Why it was not completed, for people: only in the last frame.
    #[schema(required = false, example = "the answer could not be completed: send the message again")]
    error: String,
}

const LAST_EVENT_ID: &str = "last-event-id";

/// Where to go on: the `Last-Event-ID` of a browser that reconnects, or what the caller says. Both have the form `<attempt>.<seq>`; a
/// plain number is a `seq`.
pub(super) fn after(headers: &HeaderMap, query: Option<&str>) -> Result<i64, &'static str> {
    let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let said = [header, query].into_iter().flatten().filter(|text| !text.is_empty());
    // Both have to be of the form, also where the first one counts.
    let places = said.map(place).collect::<Result<Vec<_>, _>>()?;
    Ok(places.first().copied().unwrap_or(0))
}

fn place(text: &str) -> Result<i64, &'static str> {
    let seq = text.split_once('.').map_or(text, |(_, seq)| seq);
    let number = !seq.is_empty() && seq.len() <= 18 && seq.bytes().all(|byte| byte.is_ascii_digit());
    if number { seq.parse().map_err(|_| FORM) } else { Err(FORM) }
}

const FORM: &str = "send the id of an event of this run, as 1.42";

/// The last words of a stream whose reader is so slow that what comes next is not kept any more: asking again says where to go on.
const TRIMMED: &[u8] = b": the next events are not kept any more, resume\n\n";

/// Why a run cannot be followed; where the stream begins now, if that is why.
pub(super) fn problem(error: AgentsError, run: RunId) -> Problem {
    let after = match &error {
        AgentsError::EventsTrimmed { after } => Some(after.clone()),
        _ => None,
    };
    let problem = Problem::from(error);
    match after {
        Some(after) => {
            problem.with_member("after", after.into()).with_member("run_id", run.to_string().into())
        }
        None => problem,
    }
}

/// The last words of a stream whose server stops: no event, so that the client comes back for the rest, after a second.
const RESUME: &[u8] = b": server is stopping, resume\nretry: 1000\n\n";

/// What is left to send.
enum Sending {
    Events(Box<RunEvents>, Arc<dyn Clock>, Open),
    Nothing,
}

/// The events as they come, and a comment whenever nothing came for a while. The run does not notice when the caller leaves.
pub(super) fn answer(events: RunEvents, clock: Arc<dyn Clock>, stopping: Stopping) -> Response {
    let location = format!("/api/v1/runs/{}/stream", events.run().id);
    let sending = Sending::Events(Box::new(events), clock, metrics::stream_opened());
    let frames = stream::unfold((sending, stopping), |(sending, stopping)| async move {
        let Sending::Events(mut events, clock, open) = sending else { return None };
        let (bytes, over) = tokio::select! {
            biased;
            next = events.next() => match next {
                Ok(Some(event)) => (frame(&event), event.terminal),
                Ok(None) => return None,
                Err(AgentsError::EventsTrimmed { .. }) => (Bytes::from_static(TRIMMED), true),
                Err(error) => {
                    // The stream breaks without a terminal event: the client resumes.
                    tracing::warn!(error = saas_core::fault::chain(&error), "a stream broke off");
                    (Bytes::from_static(b": try again\n\n"), true)
                }
            },
            () = stopping.streams_over() => (Bytes::from_static(RESUME), true),
            () = clock.sleep(HEARTBEAT) => (Bytes::from_static(b": heartbeat\n\n"), false),
        };
        let left = if over { Sending::Nothing } else { Sending::Events(events, clock, open) };
        Some((Ok::<_, Infallible>(bytes), (left, stopping)))
    });
    let mut response = (StatusCode::OK, Body::from_stream(frames)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would gather the frames.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// JSON holds no line break, so one `data:` line carries it.
fn frame(event: &RunEvent) -> Bytes {
    Bytes::from(format!("id: {}\ndata: {}\n\n", event.id, event.data))
}

/// Waits for the end of a run that is not over.
pub(super) async fn end(events: &mut RunEvents) -> Result<(), Problem> {
    let run = events.run().id;
    while let Some(event) = events.next().await.map_err(|error| problem(error, run))? {
        if event.terminal {
            break;
        }
    }
    Ok(())
}
