//! What a run says to those who follow it, as JSON.

use saas_core::Event;
use serde::Serialize;

use crate::{Run, RunStatus};

/// One frame of a chat stream.
#[derive(Serialize)]
struct Frame<'a> {
    chunk: &'a str,
    conversation_id: &'a str,
    is_complete: bool,
    agent_used: &'a str,
    run_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl Frame<'_> {
    fn event(&self, seq: i64) -> Event {
        // A struct of strings and flags always serializes.
        Event { seq, data: serde_json::to_string(self).unwrap_or_default().into() }
    }
}

/// A bit of the answer.
pub(crate) fn chunk(run: &Run, seq: i64, chunk: &str) -> Event {
    let run_id = run.id.to_string();
    let (conversation_id, agent_used) = (run.conversation_key.as_str(), run.agent.as_str());
    Frame {
        chunk,
        conversation_id,
        is_complete: false,
        agent_used,
        run_id,
        status: None,
        code: None,
        error: None,
    }
    .event(seq)
}

/// The bit of the answer that a frame of ours carries.
pub(crate) fn chunk_of(event: &Event) -> Option<String> {
    let frame: serde_json::Value = serde_json::from_str(&event.data).ok()?;
    Some(frame.get("chunk")?.as_str()?.to_owned())
}

/// The one terminal frame, made of the run as it is stored: `None` while it is not over.
pub(crate) fn terminal(run: &Run) -> Option<Event> {
    let seq = run.final_seq.filter(|_| run.status.is_final())?;
    let error = match run.status {
        RunStatus::Failed => Some("the answer could not be completed: send the message again"),
        RunStatus::Interrupted => {
            Some("the server stopped before the answer was complete: send the message again")
        }
        _ => None,
    };
    let frame = Frame {
        chunk: "",
        conversation_id: run.conversation_key.as_str(),
        is_complete: true,
        agent_used: run.agent.as_str(),
        run_id: run.id.to_string(),
        status: Some(run.status.as_str()),
        code: run.error.as_deref(),
        error,
    };
    Some(frame.event(seq))
}
