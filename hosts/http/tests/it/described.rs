//! Holds answers against the API's description: whatever a test is about, what it gets is what the description says.

use std::sync::LazyLock;

use http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::Answer;

/// The description, as JSON.
pub(crate) static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(saas_http::openapi()).expect("the description is JSON"));

/// What a reference of the description leads to; everything else is itself.
pub(crate) fn resolve(node: &'static Value) -> &'static Value {
    let Some(reference) = node["$ref"].as_str() else { return node };
    let pointer = reference.strip_prefix('#').expect("a reference stays in the document");
    resolve(DESCRIPTION.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
}

/// Judges by a schema of the description, formats too.
pub(crate) fn validator(schema: &Value) -> Validator {
    let whole =
        json!({ "allOf": [schema], "components": { "schemas": DESCRIPTION["components"]["schemas"] } });
    jsonschema::draft202012::options().should_validate_formats(true).build(&whole).expect("the schema is one")
}

/// Fails with what is wrong.
pub(crate) fn assert_valid(schema: &Value, value: &Value, of: &str) {
    let errors: Vec<String> = validator(schema)
        .iter_errors(value)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{of}: {errors:#?}\n{value:#}");
}

/// Every operation: its method, its path, itself.
pub(crate) fn operations() -> impl Iterator<Item = (String, &'static str, &'static Value)> {
    let paths = DESCRIPTION["paths"].as_object().expect("there are paths");
    paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().expect("a path has operations").iter();
        operations.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    })
}

fn is_of(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found))
                if wanted == found || (wanted.starts_with('{') && !found.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Fails if the description does not have this answer to a request of this method and path.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    // Of every route alike: the introduction has it.
    if answer.status == StatusCode::BAD_REQUEST
        && (method == Method::HEAD || answer.problem().1 == "invalid_host")
    {
        return;
    }
    let asked = if method == Method::HEAD { &Method::GET } else { method };
    let Some((_, template, operation)) =
        operations().find(|(method, template, _)| method == asked.as_str() && is_of(template, path))
    else {
        let beside = matches!(
            answer.status,
            StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::URI_TOO_LONG
                | StatusCode::MISDIRECTED_REQUEST
        );
        assert!(beside || path.starts_with("/docs"), "{method} {path} is not described: {answer:?}");
        return;
    };
    let of = format!("{method} {template} {}", answer.status.as_u16());
    let response = resolve(&operation["responses"][answer.status.as_str()]);
    assert!(!response.is_null(), "{of} is not described: {answer:?}");
    check_headers(response, answer, &of);
    let kind = answer.header("content-type");
    if answer.body.is_empty() {
        // Who has seen the last event of a run gets none.
        let none = response["content"].is_null() || kind == "text/event-stream";
        assert!(none || method == Method::HEAD, "{of} has no body");
        return;
    }
    let content = &response["content"][kind];
    assert!(!content.is_null(), "{of} is not described as {kind}");
    if kind == "text/event-stream" {
        check_events(&answer.text(), &of);
        return;
    }
    if kind.starts_with("text/plain") {
        assert_valid(&content["schema"], &Value::from(answer.text()), &of);
        return;
    }
    let json = answer.json();
    assert_valid(&content["schema"], &json, &of);
    if kind == "application/problem+json" {
        let code = json["code"].as_str().expect("a problem has a code");
        assert!(!content["examples"][code].is_null(), "{of} does not name {code}");
    }
}

fn check_headers(response: &Value, answer: &Answer, of: &str) {
    for name in ["ETag", "Link", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id"] {
        let described = !response["headers"][name].is_null();
        let sent = !answer.header(name).is_empty();
        // The last page links to no other.
        assert!(described == sent || (name == "Link" && described), "{of}, {name}: {described}, {sent}");
    }
}

fn check_events(stream: &str, of: &str) {
    let events = stream.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':'));
    for event in events {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ").expect("an event has data");
        assert_valid(
            &json!({ "$ref": "#/components/schemas/StreamEvent" }),
            &json!({ "id": field("id: "), "data": data }),
            of,
        );
        let frame = serde_json::from_str(data).expect("data is JSON");
        assert_valid(&json!({ "$ref": "#/components/schemas/StreamFrame" }), &frame, of);
    }
}
