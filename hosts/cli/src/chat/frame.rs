//! What a run says, as the event log and the server both write it.

use serde::Deserialize;

use crate::failure::{Exit, Failure};

/// One frame of a chat stream.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) chunk: String,
    pub(super) conversation_id: String,
    pub(super) is_complete: bool,
    pub(super) agent_used: String,
    pub(super) run_id: String,
    pub(super) status: Option<String>,
    pub(super) code: Option<String>,
    pub(super) error: Option<String>,
}

impl Frame {
    pub(super) fn parse(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json)
            .map_err(|error| Failure::caused(Exit::Failed, "unknown_answer", &error).with_hint(OTHER_RELEASE))
    }
}

const OTHER_RELEASE: &str = "the server may be of another release";

/// An event of a stream: its id and its data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) data: String,
}

/// Takes events out of a stream of bytes (WHATWG HTML section 9.2, as far as our server writes it).
#[derive(Debug, Default)]
pub(super) struct Events {
    bytes: Vec<u8>,
}

impl Events {
    /// Adds what came.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event that is whole; comments are passed over.
    pub(super) fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block).into_owned();
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(|value| value.trim_start().to_owned())
            };
            if let Some(data) = field("data:") {
                return Some(Event { id: field("id:").unwrap_or_default(), data });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let text = "id: 1.1\ndata: {\"a\":\"é\"}\n\n: heartbeat\n\nid: 1.2\ndata: {}\n\nid: 1.3\ndata";
        for size in 1..=text.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for bytes in text.as_bytes().chunks(size) {
                events.feed(bytes);
                found.extend(std::iter::from_fn(|| events.next()));
            }
            let event = |id: &str, data: &str| Event { id: id.to_owned(), data: data.to_owned() };
            assert_eq!(found, [event("1.1", "{\"a\":\"é\"}"), event("1.2", "{}")], "by {size}");
        }
    }
}
