//! From the vendor's events to the port's.

use std::borrow::Cow;

use saas_agents::{Finish, Item, ModelEvent, Usage};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    failure::{Failure, Unreadable},
    sse,
};

/// Reads the events of one answer ("API reference", "Streaming events"). It knows the few that matter, takes from them only the fields that
/// it needs, and lets everything else pass.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    over: bool,
    /// A bit of text was given since the last message.
    spoken: bool,
    given: usize,
    given_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta {
    delta: String,
}

#[derive(Deserialize)]
struct ItemDone<'a> {
    #[serde(borrow)]
    item: &'a RawValue,
}

#[derive(Deserialize)]
struct Terminal<'a> {
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Response<'a> {
    #[serde(default)]
    status: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    incomplete_details: Value,
    #[serde(default)]
    usage: Value,
    #[serde(borrow, default)]
    output: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct ItemHead {
    #[serde(default)]
    id: Value,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    content: Value,
}

impl Decoder {
    /// Whether the terminal event has been read: what follows it does not belong to the answer.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Appends what an event means.
    pub(crate) fn event(&mut self, event: &sse::Event, out: &mut Vec<ModelEvent>) -> Result<(), Failure> {
        // Some gateways end their streams so; the API itself does not.
        if self.over || event.data == "[DONE]" || event.data.is_empty() {
            return Ok(());
        }
        let head: Head<'_> = read("an event", &event.data)?;
        match head.kind.as_deref().unwrap_or(&event.name) {
            "response.output_text.delta" | "response.refusal.delta" => {
                let Delta { delta } = read("a piece of text", &event.data)?;
                self.text(delta, out);
            }
            "response.output_item.done" => {
                let done: ItemDone<'_> = read("an item", &event.data)?;
                self.item(done.item, out)?;
            }
            "response.completed" => self.ended(&event.data, "completed", out)?,
            "response.incomplete" => self.ended(&event.data, "incomplete", out)?,
            "response.failed" => self.ended(&event.data, "failed", out)?,
            "error" => {
                self.over = true;
                let body: Value = read("an error", &event.data)?;
                return Err(Failure::reported(
                    body.get("error").filter(|error| error.is_object()).unwrap_or(&body),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends what a whole response means, as a gateway gives it that does not stream.
    pub(crate) fn whole(&mut self, json: &str, out: &mut Vec<ModelEvent>) -> Result<(), Failure> {
        self.over = true;
        self.response(read("a response", json)?, "completed", out)
    }

    fn text(&mut self, text: String, out: &mut Vec<ModelEvent>) {
        if !text.is_empty() {
            self.spoken = true;
            out.push(ModelEvent::Text(text));
        }
    }

    fn item(&mut self, json: &RawValue, out: &mut Vec<ModelEvent>) -> Result<(), Failure> {
        let head: ItemHead = read("an item", json.get())?;
        if head.kind == "message" && !std::mem::take(&mut self.spoken) {
            // The port promises the text of every message; not every gateway sends it in pieces.
            self.text(text_of(&head.content), out);
            self.spoken = false;
        }
        self.given += 1;
        self.given_ids.extend(head.id.as_str().map(str::to_owned));
        let item = Item::from_json(json.get().to_owned()).map_err(Failure::malformed)?;
        out.push(ModelEvent::Item(item));
        Ok(())
    }

    fn ended(&mut self, data: &str, status: &str, out: &mut Vec<ModelEvent>) -> Result<(), Failure> {
        self.over = true;
        let terminal: Terminal<'_> = read("the last event", data)?;
        let response = match terminal.response {
            Some(json) => read("the response", json.get())?,
            None => Response::default(),
        };
        self.response(response, status, out)
    }

    /// The response's own status counts more than the name of the event that brings it: some servers have one name for all.
    fn response(
        &mut self,
        response: Response<'_>,
        status: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), Failure> {
        let finish = match response.status.as_str().unwrap_or(status) {
            "incomplete" => finish(&response.incomplete_details),
            "failed" | "cancelled" => return Err(Failure::reported(&response.error)),
            _ if response.error.is_object() => return Err(Failure::reported(&response.error)),
            _ if status == "incomplete" => finish(&response.incomplete_details),
            _ if status == "failed" => return Err(Failure::reported(&response.error)),
            _ => Finish::Complete,
        };
        for (index, json) in response.output.unwrap_or_default().into_iter().enumerate() {
            if !self.was_given(index, json)? {
                self.item(json, out)?;
            }
        }
        out.push(ModelEvent::Done { finish, usage: usage(&response.usage) });
        Ok(())
    }

    fn was_given(&self, index: usize, json: &RawValue) -> Result<bool, Failure> {
        let head: ItemHead = read("an item", json.get())?;
        Ok(match head.id.as_str() {
            Some(id) => self.given_ids.iter().any(|given| given == id),
            None => index < self.given,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(what: &'static str, json: &'a str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::malformed(Unreadable::new(what, &error)))
}

/// A message's text, refusals included.
fn text_of(content: &Value) -> String {
    let part = |part: &Value| {
        ["text", "refusal"].iter().find_map(|field| Some(part.get(field)?.as_str()?.to_owned()))
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(part).collect(),
        _ => String::new(),
    }
}

fn finish(details: &Value) -> Finish {
    match details.get("reason").and_then(Value::as_str) {
        Some("content_filter") => Finish::Filtered,
        _ => Finish::OutOfTokens,
    }
}

fn usage(usage: &Value) -> Usage {
    let count = |pointer| usage.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    Usage {
        input: count("/input_tokens"),
        cached_input: count("/input_tokens_details/cached_tokens"),
        output: count("/output_tokens"),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(events: &[&str]) -> (Vec<String>, Option<String>) {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        let mut parser = sse::Parser::new(1 << 16);
        let mut parsed = Vec::new();
        for data in events {
            parser.feed(format!("data: {data}\n\n").as_bytes(), &mut parsed).unwrap();
        }
        let error = parsed.iter().find_map(|event| decoder.event(event, &mut out).err());
        let shown = out.iter().map(|event| match event {
            ModelEvent::Text(text) => format!("text {text}"),
            ModelEvent::Item(item) => format!("item {}", item.as_json()),
            ModelEvent::Done { finish, usage } => format!("{finish:?} {}/{}", usage.input, usage.output),
            _ => String::new(),
        });
        (shown.collect(), error.map(|failure| format!("{:?}", failure.error)))
    }

    #[test]
    fn items_that_only_the_response_brings_are_given_with_their_text() {
        let (out, error) = decoded(&[
            r#"{"type":"response.output_item.done","item":{"type":"reasoning","id":"rs_1"}}"#,
            r#"{"type":"response.completed","response":{"output":[{"type":"reasoning","id":"rs_1"}, {"type":"message", "id":"msg_1","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"b"}]}],"usage":null}}"#,
        ]);
        assert_eq!(error, None);
        assert_eq!(
            out,
            [
                r#"item {"type":"reasoning","id":"rs_1"}"#,
                "text ab",
                r#"item {"type":"message", "id":"msg_1","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"b"}]}"#,
                "Complete 0/0"
            ]
        );
    }

    #[test]
    fn items_without_ids_are_told_apart_by_their_place() {
        let (out, _) = decoded(&[
            r#"{"type":"response.output_item.done","item":{"type":"x"}}"#,
            r#"{"type":"response.completed","response":{"output":[{"type":"x"},{"type":"y"}]}}"#,
        ]);
        assert_eq!(out, [r#"item {"type":"x"}"#, r#"item {"type":"y"}"#, "Complete 0/0"]);
    }

    #[test]
    fn the_response_status_counts_more_than_the_name_of_its_event() {
        let end = |data: &str| decoded(&[data]);
        assert_eq!(
            end(r#"{"type":"response.completed","response":{"status":"incomplete"}}"#).0,
            ["OutOfTokens 0/0"]
        );
        assert_eq!(
            end(r#"{"type":"response.incomplete","response":{"incomplete_details":{"reason":"content_filter"}}}"#).0,
            ["Filtered 0/0"]
        );
        assert_eq!(
            end(r#"{"type":"response.completed","response":{"status":"failed","error":{"code":"invalid_prompt"}}}"#).1,
            Some(r#"Refused { code: "invalid_prompt" }"#.to_owned())
        );
    }

    #[test]
    fn odd_shapes_are_told_without_being_quoted() {
        for data in [r#"{"type":"response.output_text.delta","delta":["secret"]}"#, r#"{"secret"#, "17"] {
            let (out, error) = decoded(&[data]);
            assert_eq!(out, [""; 0]);
            let error = error.unwrap();
            assert!(error.starts_with("Malformed") && !error.contains("secret"), "{error}");
        }
    }
}
