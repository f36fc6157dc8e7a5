//! One item of a conversation as the model's API knows it, kept byte for byte.

use std::fmt;

use saas_core::InternalError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

/// An item of the Responses API (`message`, `reasoning`, `function_call`, …): known ones and unknown ones alike are kept as the bytes
/// that they came as, and sent back so.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Item(Box<RawValue>);

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(default, borrow)]
    role: Option<&'a str>,
}

impl Item {
    /// An item out of a vendor's answer or out of storage.
    pub fn from_json(json: String) -> Result<Self, InternalError> {
        RawValue::from_string(json).map(Self).map_err(InternalError::new)
    }

    /// What a user says.
    pub fn user(text: &str) -> Self {
        Self::message(
            &json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] }),
        )
    }

    /// What the assistant said.
    pub fn assistant(text: &str) -> Self {
        let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
        Self::message(&json!({ "type": "message", "role": "assistant", "content": content }))
    }

    fn message(value: &Value) -> Self {
        // A value made of strings always serializes.
        Self(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// The bytes.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The text of its parts, refusals included, if it is a message that has any.
    pub fn text(&self) -> Option<String> {
        let value: Value = serde_json::from_str(self.as_json()).ok()?;
        if value.get("type").is_some_and(|kind| kind != "message") {
            return None;
        }
        let parts = match value.get("content")? {
            Value::String(text) => return Some(text.clone()),
            Value::Array(parts) => parts,
            _ => return None,
        };
        let texts: Vec<&str> = parts.iter().filter_map(said).collect();
        if texts.is_empty() { None } else { Some(texts.concat()) }
    }

    /// Whether it is a user's message: where a turn begins.
    pub fn is_user(&self) -> bool {
        serde_json::from_str::<Head<'_>>(self.as_json()).is_ok_and(|head| head.role == Some("user"))
    }

    /// How many tokens it takes, roughly: four bytes of JSON each. For budgets; what is billed is what the vendor counts.
    pub fn rough_tokens(&self) -> usize {
        self.as_json().len().div_ceil(4)
    }
}

/// What one part of a message says.
fn said(part: &Value) -> Option<&str> {
    part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str)
}

/// What people say does not belong in logs.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} bytes)", self.as_json().len())
    }
}

#[cfg(test)]
mod tests {
    use super::Item;

    #[test]
    fn a_message_says_its_texts_and_refusals_and_nothing_else_does() {
        let text = |json: &str| Item::from_json(json.to_owned()).ok().and_then(|item| item.text());
        assert_eq!(Item::user("hello").text(), Some("hello".to_owned()));
        assert_eq!(text(r#"{"role":"user","content":"plain"}"#), Some("plain".to_owned()));
        let mixed = r#"{"type":"message","content":[{"type":"output_text","text":"No. "},{"type":"refusal","refusal":"Never."},{"type":"new"}]}"#;
        assert_eq!(text(mixed), Some("No. Never.".to_owned()));
        assert_eq!(text(r#"{"type":"reasoning","content":[{"text":"hm"}]}"#), None);
        assert_eq!(text("7"), None);
    }

    #[test]
    fn an_unknown_item_keeps_its_bytes() {
        let json = r#"{ "type":"later" , "n":1.50, "a":{"z":1,"a":2} }"#;
        let item = Item::from_json(json.to_owned()).ok();
        assert_eq!(item.as_ref().map(Item::as_json), Some(json));
        assert_eq!(item.and_then(|item| serde_json::to_string(&[item]).ok()), Some(format!("[{json}]")));
    }
}
