//! Examples of whole bodies in the description, put together from those of their members.

use serde_json::{Map, Value, json};
use utoipa::openapi::Content;

/// Gives a body an example, unless it has one.
pub(crate) fn complete(content: &mut Content, schemas: &Value) {
    if content.example.is_none() && content.examples.is_empty() {
        content.example = serde_json::to_value(&content.schema).ok().map(|schema| of(&schema, schemas));
    }
}

/// The example of a schema; `schemas` are the description's, by name.
fn of(schema: &Value, schemas: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return of(&schemas[name], schemas);
    }
    if let Some(example) = schema.get("example").or_else(|| schema["enum"].get(0)) {
        return example.clone();
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let members = parts.iter().filter_map(|part| of(part, schemas).as_object().cloned()).flatten();
        return Value::Object(members.collect());
    }
    // What may be null is shown as what it is otherwise.
    if let Some(choice) =
        schema["oneOf"].as_array().and_then(|choices| choices.iter().find(|one| one["type"] != "null"))
    {
        return of(choice, schemas);
    }
    if let Some(properties) = schema["properties"].as_object() {
        // What may be absent and has no example stays away.
        let members = properties.iter().map(|(name, schema)| (name, of(schema, schemas)));
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
        };
        let members: Map<_, _> = members
            .filter(|(name, example)| !example.is_null() || required(name))
            .map(|(name, example)| (name.clone(), example))
            .collect();
        return Value::Object(members);
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("array"), _) => json!([of(&schema["items"], schemas)]),
        (_, Some("uuid")) => json!("01890a5d-ac96-774b-bcce-b302099a8057"),
        (_, Some("date-time")) => json!("2026-01-01T00:00:00Z"),
        (Some("boolean"), _) => json!(true),
        _ => Value::Null,
    }
}
