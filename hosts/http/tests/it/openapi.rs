//! The API's description.

use serde_json::{Value, json};

use crate::described::{DESCRIPTION, assert_valid, operations, resolve};

#[test]
fn the_description_is_what_was_released() {
    let text = serde_json::to_string_pretty(&*DESCRIPTION).expect("JSON can be written");
    insta::assert_snapshot!(text);
}

#[test]
fn every_route_is_described() {
    let mut routes: Vec<String> = operations().map(|(method, path, _)| format!("{method} {path}")).collect();
    routes.sort();
    assert_eq!(
        routes,
        [
            "DELETE /api/v1/auth/account",
            "DELETE /api/v1/auth/second-factor/totp",
            "DELETE /api/v1/auth/sessions",
            "DELETE /api/v1/auth/sessions/{session_id}",
            "DELETE /api/v1/conversations/{conversation_id}",
            "GET /",
            "GET /.well-known/jwks.json",
            "GET /api/v1/agents",
            "GET /api/v1/agents/{agent_name}/status",
            "GET /api/v1/auth/events",
            "GET /api/v1/auth/me",
            "GET /api/v1/auth/second-factor",
            "GET /api/v1/auth/sessions",
            "GET /api/v1/conversations",
            "GET /api/v1/conversations/{conversation_id}",
            "GET /api/v1/runs/{run_id}",
            "GET /api/v1/runs/{run_id}/stream",
            "GET /health",
            "GET /health/ready",
            "GET /metrics",
            "GET /openapi.json",
            "PATCH /api/v1/conversations/{conversation_id}",
            "POST /api/v1/auth/account/export",
            "POST /api/v1/auth/email/change",
            "POST /api/v1/auth/email/change/confirm",
            "POST /api/v1/auth/email/change/undo",
            "POST /api/v1/auth/email/send",
            "POST /api/v1/auth/email/verify",
            "POST /api/v1/auth/logout",
            "POST /api/v1/auth/logout/all",
            "POST /api/v1/auth/password/change",
            "POST /api/v1/auth/password/confirm",
            "POST /api/v1/auth/password/forgot",
            "POST /api/v1/auth/password/reset",
            "POST /api/v1/auth/refresh",
            "POST /api/v1/auth/register",
            "POST /api/v1/auth/second-factor/recovery-codes",
            "POST /api/v1/auth/second-factor/totp",
            "POST /api/v1/auth/second-factor/totp/confirm",
            "POST /api/v1/auth/step-up",
            "POST /api/v1/auth/switch",
            "POST /api/v1/auth/token",
            "POST /api/v1/auth/token/second-factor",
            "POST /api/v1/auth/unlock",
            "POST /api/v1/chat",
            "POST /api/v1/chat/stream",
            "POST /api/v1/runs/{run_id}/cancel",
        ]
    );
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let mut names: Vec<&str> =
        operations().filter_map(|(_, _, operation)| operation["operationId"].as_str()).collect();
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
    let mut found = Vec::new();
    references(&DESCRIPTION, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference stays in the document");
        assert!(DESCRIPTION.pointer(pointer).is_some(), "{reference}");
    }
}

/// Every body that is taken or given: of which operation, and what is said of it.
fn contents() -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    for (method, path, operation) in operations() {
        let taken =
            operation["requestBody"]["content"].as_object().into_iter().flat_map(serde_json::Map::values);
        found.extend(taken.map(|content| (format!("{method} {path}"), content)));
        for (status, response) in operation["responses"].as_object().expect("an operation has responses") {
            let given =
                resolve(response)["content"].as_object().into_iter().flat_map(serde_json::Map::values);
            found.extend(given.map(|content| (format!("{method} {path} {status}"), content)));
        }
    }
    found
}

#[test]
fn every_body_has_an_example_and_every_example_is_valid() {
    for (of, content) in contents() {
        let named = content["examples"].as_object().into_iter().flat_map(serde_json::Map::values);
        let examples: Vec<&Value> =
            named.map(|example| &example["value"]).chain(content.get("example")).collect();
        assert!(!examples.is_empty(), "{of} has no example");
        for example in examples {
            assert_valid(&content["schema"], example, &of);
        }
    }
}

#[test]
fn every_example_of_a_schema_is_valid() {
    fn examples(schema: &Value, of: &str, judged: &mut u32) {
        if let Some(example) = schema.get("example") {
            assert_valid(schema, example, of);
            *judged += 1;
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            examples(member, &format!("{of}.{name}"), judged);
        }
        schema["allOf"].as_array().into_iter().flatten().for_each(|part| examples(part, of, judged));
    }
    let mut judged = 0;
    for (name, schema) in DESCRIPTION["components"]["schemas"].as_object().expect("there are schemas") {
        examples(schema, name, &mut judged);
    }
    for (method, path, operation) in operations() {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let of = format!("{method} {path} {}", parameter["name"]);
            parameter
                .get("example")
                .into_iter()
                .for_each(|example| assert_valid(&parameter["schema"], example, &of));
        }
    }
    assert!(judged > 50, "{judged}");
}

#[test]
fn the_example_of_an_event_has_a_frame() {
    let event = resolve(&DESCRIPTION["components"]["schemas"]["StreamEvent"]);
    let data = event["properties"]["data"]["example"].as_str().expect("data has an example");
    let frame = serde_json::from_str(data).expect("it is JSON");
    assert_valid(&event["properties"]["data"]["contentSchema"], &frame, "data");
}

#[test]
fn every_error_is_a_problem_that_names_its_codes() {
    for (method, path, operation) in operations() {
        for (status, response) in operation["responses"].as_object().expect("an operation has responses") {
            if status.starts_with(['4', '5']) {
                let of = format!("{method} {path} {status}");
                let content = &resolve(response)["content"]["application/problem+json"];
                assert_eq!(content["schema"]["$ref"], "#/components/schemas/ProblemBody", "{of}");
                for (code, example) in content["examples"].as_object().expect("a problem has examples") {
                    let problem = &example["value"];
                    assert_eq!(
                        (&problem["code"], &problem["status"]),
                        (&json!(code), &json!(status.parse::<u16>().ok())),
                        "{of}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_operation_says_what_it_needs_and_what_may_go_wrong() {
    for (method, path, operation) in operations() {
        let of = format!("{method} {path}");
        let answers = |status: &str| !operation["responses"][status].is_null();
        assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{of}");
        assert!(answers("500") && answers("503"), "{of}");
        let secured = operation["security"].as_array().unwrap_or_else(|| panic!("{of} says who may")).len();
        assert!(secured == 0 || answers("401"), "{of}");
        if !operation["requestBody"].is_null() {
            assert!(["400", "408", "413", "415", "422"].into_iter().all(answers), "{of}");
        }
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |place: &str| parameters.iter().any(|parameter| parameter["in"] == place);
        assert!(!has("query") || (answers("400") && answers("422")), "{of}");
        assert!(!has("path") || (answers("404") && answers("422")), "{of}");
        assert!(parameters.iter().all(|parameter| parameter["description"].is_string()), "{of}");
    }
}

#[test]
fn every_member_is_described() {
    for (name, schema) in DESCRIPTION["components"]["schemas"].as_object().expect("there are schemas") {
        for (member, node) in schema["properties"].as_object().into_iter().flatten() {
            let described = [node, &node["oneOf"][0]].into_iter().any(|node| node["description"].is_string());
            assert!(described || node["$ref"].is_string(), "{name}.{member}");
        }
    }
}
