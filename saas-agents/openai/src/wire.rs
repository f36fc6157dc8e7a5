//! The request as it goes over the wire ("API reference", "Create a model response").

use saas_agents::{Item, ModelRequest};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: &'a [Item],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    stream: bool,
    /// Conversations are ours: the vendor keeps none.
    store: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include: &'a [&'a str],
}

/// The request's bytes; items stand in it as they came.
pub(crate) fn body(request: &ModelRequest) -> Result<Vec<u8>, serde_json::Error> {
    let model = request.model.as_str();
    serde_json::to_vec(&Body {
        model,
        instructions: &request.instructions,
        input: &request.input,
        max_output_tokens: request.max_output_tokens,
        stream: true,
        store: false,
        include: if may_reason(model) { &["reasoning.encrypted_content"] } else { &[] },
    })
}

/// Whether to ask for the thoughts in a form that can be sent back. The vendor keeps nothing (`store`), so a model that reasons needs them
/// ("Reasoning models", "Encrypted reasoning items"); one that does not refuses a request that asks for them. Names that we do not know
/// are taken for models that reason.
fn may_reason(model: &str) -> bool {
    let name = model.strip_prefix("ft:").unwrap_or(model);
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    !["gpt-3.5", "gpt-4", "chatgpt-", "gpt-5-chat"].iter().any(|silent| name.starts_with(silent))
}

#[cfg(test)]
mod tests {
    use saas_agents::ModelName;

    use super::*;

    fn sent(model: &str, items: &[&str], tokens: Option<u32>) -> String {
        let input = items.iter().map(|json| Item::from_json((*json).to_owned()).unwrap()).collect();
        let mut request = ModelRequest::new(ModelName::new(model), "Be brief.", input);
        request.max_output_tokens = tokens;
        String::from_utf8(body(&request).unwrap()).unwrap()
    }

    #[test]
    fn items_go_out_byte_for_byte() {
        let items = [r#"{"z": 1.50, "a":"\u00fc",  "type":"of_tomorrow"}"#, r#"{"type":"message"}"#];
        assert_eq!(
            sent("gpt-5.1", &items, Some(64)),
            r#"{"model":"gpt-5.1","instructions":"Be brief.","input":[{"z": 1.50, "a":"\u00fc",  "type":"of_tomorrow"},{"type":"message"}],"max_output_tokens":64,"stream":true,"store":false,"include":["reasoning.encrypted_content"]}"#
        );
    }

    #[test]
    fn thoughts_are_asked_of_models_that_think() {
        for model in ["gpt-5.1", "gpt-5-mini", "o3", "o4-mini", "llama", "openai/gpt-5.1"] {
            assert!(may_reason(model), "{model}");
        }
        for model in ["gpt-4o", "gpt-4.1-mini", "ft:gpt-4o-mini:acme", "openai/gpt-4o", "chatgpt-4o-latest"] {
            assert!(!may_reason(model), "{model}");
        }
    }
}
