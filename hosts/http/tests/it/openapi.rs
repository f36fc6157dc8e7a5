//! The API's description.

use serde_json::Value;

fn described() -> Value {
    serde_json::to_value(saas_http::openapi()).expect("the description is JSON")
}

#[test]
fn the_description_is_what_was_released() {
    let text = serde_json::to_string_pretty(&described()).expect("JSON can be written");
    insta::assert_snapshot!(text);
}

#[test]
fn every_route_is_described() {
    let description = described();
    let mut routes = Vec::new();
    for (path, item) in description["paths"].as_object().expect("there are paths") {
        for method in item.as_object().expect("a path has operations").keys() {
            routes.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes.sort();
    assert_eq!(
        routes,
        [
            "DELETE /api/v1/auth/sessions/{session_id}",
            "DELETE /api/v1/conversations/{conversation_id}",
            "GET /",
            "GET /.well-known/jwks.json",
            "GET /api/v1/agents",
            "GET /api/v1/agents/{agent_name}/status",
            "GET /api/v1/auth/me",
            "GET /api/v1/auth/sessions",
            "GET /api/v1/conversations",
            "GET /api/v1/conversations/{conversation_id}",
            "GET /api/v1/runs/{run_id}",
            "GET /api/v1/runs/{run_id}/stream",
            "GET /health",
            "GET /health/ready",
            "PATCH /api/v1/conversations/{conversation_id}",
            "POST /api/v1/auth/logout",
            "POST /api/v1/auth/logout/all",
            "POST /api/v1/auth/refresh",
            "POST /api/v1/auth/register",
            "POST /api/v1/auth/token",
            "POST /api/v1/chat",
            "POST /api/v1/chat/stream",
            "POST /api/v1/runs/{run_id}/cancel",
        ]
    );
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let description = described();
    let paths = description["paths"].as_object().expect("there are paths");
    let operations = paths.values().filter_map(Value::as_object).flat_map(serde_json::Map::values);
    let mut names: Vec<&str> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let description = described();
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference stays in the document");
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}
