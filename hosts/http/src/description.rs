//! The API's description (OpenAPI 3.1): what the handlers say, and what `shell.rs` makes true of every operation.

use std::collections::BTreeMap;

use http::HeaderName;
use serde_json::Value;
use utoipa::{
    IntoResponses, Modify,
    openapi::{
        Components, Content, Header, HeaderBuilder, ObjectBuilder, OpenApi, Paths, Ref, RefOr, Response,
        Schema, Server,
        path::Operation,
        schema::{SchemaFormat, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    example,
    problem::described::{
        self, Busy, CrossSiteRequest, InternalError, Misdirected, TooManyHeaders, UriTooLong,
    },
};

const INTRODUCTION: &str = "\
Sign-in, tenants, sessions, and agents that chat.

## Signing in

`POST /api/v1/auth/register` and `POST /api/v1/auth/token` answer with an access token and a refresh token. Send the access token as \
`Authorization: Bearer <token>`; when it has expired, exchange the refresh token at `POST /api/v1/auth/refresh`. A refresh token is good \
for one exchange: using it twice ends its session.

A browser may hold its session by a cookie instead, where the operator has `AUTH_COOKIES` on: it signs in with `X-Session: cookie` and gets no \
tokens. What changes something is then taken from pages of ours alone, by `Origin` and `Sec-Fetch-Site`, and needs a JSON body or `X-Session`.

## Requests

Every answer carries an `X-Request-Id`; a request may bring one, as a UUID. Every `GET` also answers `HEAD`. Bodies are JSON objects; \
members that are not described are ignored. A page of a list names the next one in `Link`, as `rel=\"next\"`.

## Problems

Every error is `application/problem+json` (RFC 9457). Go by its `code`, which never changes once released. Beside the problems that are \
described with each operation there are `unknown_route` (404), where no route has the path, and `method_not_allowed` (405), where the \
route does not take the method; `Allow` lists those it takes; and `invalid_host` (400), where `Host` names no host or several. A head that is not HTTP (400), or larger than the server takes (431), is \
answered without a body.

";

/// Completes what the handlers describe.
pub(crate) struct Completed;

impl Modify for Completed {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some("The `access_token` of signing in."))
                    .build(),
            ),
        );
        components.add_security_scheme(
            "cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "__Host-saas_session",
                "The cookie of signing in with `X-Session: cookie`, where `AUTH_COOKIES` is on. What changes something has to come from a page of ours.",
            ))),
        );
        components.headers.extend(HEADERS.iter().map(|spec| (spec.name.to_owned(), spec.header().into())));
        for (name, mut response) in described::components() {
            name_request(&mut response);
            components.responses.insert(name.to_owned(), response.into());
        }
        name_data(&mut components.schemas);
        name_frame(&mut components.schemas);
        openapi.info.description = Some(INTRODUCTION.to_owned() + &codes(components));
        // Relative to where the description is: it stays true behind a prefix.
        openapi.servers = Some(vec![Server::new(".")]);
        let schemas = serde_json::to_value(&components.schemas).unwrap_or_default();
        for operation in changing(&mut openapi.paths) {
            if operation.security.as_ref().is_some_and(|schemes| !schemes.is_empty()) {
                for (status, problem) in CrossSiteRequest::responses() {
                    operation.responses.responses.entry(status).or_insert(problem);
                }
            }
        }
        for operation in operations(&mut openapi.paths) {
            around(operation);
            for content in contents(operation) {
                example::complete(content, &schemas);
            }
        }
    }
}

/// A reference where utoipa repeats the schema that a command's `data` has.
fn name_data(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    for (name, schema) in schemas {
        if let (Some(data), RefOr::T(Schema::Object(response))) =
            (name.strip_prefix("SuccessResponse_"), schema)
        {
            response.properties.insert("data".to_owned(), Ref::from_schema_name(data).into());
        }
    }
}

/// What the text in an event's `data` holds, in a keyword of JSON Schema (2020-12) that utoipa does not have.
fn name_frame(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let Some(RefOr::T(Schema::Object(event))) = schemas.get_mut("StreamEvent") else { return };
    let Some(RefOr::T(Schema::Object(data))) = event.properties.get_mut("data") else { return };
    let frame = Value::from_iter([("$ref", "#/components/schemas/StreamFrame")]);
    data.extensions = Some([("contentSchema", frame)].into_iter().collect());
}

fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    paths.paths.values_mut().flat_map(|item| {
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
    })
}

/// Those that change something.
fn changing(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    paths.paths.values_mut().flat_map(|item| {
        [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
    })
}

/// The bodies that an operation takes and gives, but for those of the components.
fn contents(operation: &mut Operation) -> impl Iterator<Item = &mut Content> {
    let taken = match &mut operation.request_body {
        Some(RefOr::T(body)) => Some(body.content.values_mut()),
        _ => None,
    };
    let given = operation.responses.responses.values_mut().filter_map(|response| match response {
        RefOr::T(response) => Some(response.content.values_mut()),
        RefOr::Ref(_) => None,
    });
    let contents = taken.into_iter().flatten().chain(given.flatten());
    contents.filter_map(|content| if let RefOr::T(content) = content { Some(content) } else { None })
}

/// What `shell.rs` does to every operation.
fn around(operation: &mut Operation) {
    // Said aloud: nothing is asked for.
    let security = operation.security.get_or_insert_default();
    // Whoever has a session holds it by tokens or by a cookie.
    let by_token = SecurityRequirement::new("bearer", Vec::<String>::new());
    if security.contains(&by_token) && !operation.tags.iter().flatten().any(|tag| tag == "operations") {
        security.push(SecurityRequirement::new("cookie", Vec::<String>::new()));
    }
    let problems = [
        UriTooLong::responses(),
        Misdirected::responses(),
        TooManyHeaders::responses(),
        InternalError::responses(),
        Busy::responses(),
    ];
    for (status, problem) in problems.into_iter().flatten() {
        operation.responses.responses.entry(status).or_insert(problem);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            for (name, value) in &mut response.headers {
                *value = header(name);
            }
            name_request(response);
        }
    }
}

fn name_request(response: &mut Response) {
    response.headers.insert("X-Request-Id".to_owned(), header("X-Request-Id"));
}

/// A table of the problems, by code.
fn codes(components: &Components) -> String {
    let mut rows = Vec::new();
    for response in components.responses.values() {
        let RefOr::T(response) = response else { continue };
        for content in response.content.values() {
            let RefOr::T(content) = content else { continue };
            rows.extend(content.examples.iter().filter_map(|(code, example)| {
                let RefOr::T(example) = example else { return None };
                let body = example.value.as_ref()?;
                Some(format!("| `{code}` | {} | {} |\n", body["status"], body["detail"].as_str()?))
            }));
        }
    }
    rows.sort();
    rows.dedup_by(|a, b| a.split('|').nth(1) == b.split('|').nth(1));
    format!("| code | status | for example |\n| --- | --- | --- |\n{}", rows.concat())
}

/// A header that several responses have.
struct HeaderSpec {
    name: &'static str,
    description: &'static str,
    kind: Type,
    format: Option<&'static str>,
    example: &'static str,
}

/// The headers that answers may carry beside those that go without saying.
pub(crate) fn header_names() -> Vec<HeaderName> {
    HEADERS.iter().filter_map(|spec| spec.name.parse().ok()).collect()
}

const HEADERS: &[HeaderSpec] = &[
    HeaderSpec {
        name: "X-Request-Id",
        description: "The request's id: the caller's own if it is a UUID, else a new one. The logs have it.",
        kind: Type::String,
        format: Some("uuid"),
        example: "01890a5d-ac96-774b-bcce-b302099a8057",
    },
    HeaderSpec {
        name: "Retry-After",
        description: "How many seconds to wait.",
        kind: Type::Integer,
        format: None,
        example: "1",
    },
    HeaderSpec {
        name: "WWW-Authenticate",
        description: "How to authenticate (RFC 6750).",
        kind: Type::String,
        format: None,
        example: "Bearer",
    },
    HeaderSpec {
        name: "ETag",
        description: "The version, for `If-None-Match`.",
        kind: Type::String,
        format: None,
        example: "\"6f1ed002ab5595859014ebf0951522d9\"",
    },
    HeaderSpec {
        name: "Cache-Control",
        description: "How long the answer may be kept.",
        kind: Type::String,
        format: None,
        example: "public, max-age=300",
    },
    HeaderSpec {
        name: "Last-Modified",
        description: "When it last changed (RFC 9110 section 8.8.2).",
        kind: Type::String,
        format: None,
        example: "Thu, 01 Jan 2026 00:00:00 GMT",
    },
    HeaderSpec {
        name: "Link",
        description: "Where the next page is, as `rel=\"next\"`; absent on the last one.",
        kind: Type::String,
        format: None,
        example: "</api/v1/conversations?limit=20&cursor=b2Zmc2V0>; rel=\"next\"",
    },
    HeaderSpec {
        name: "Location",
        description: "Where the run can be followed again.",
        kind: Type::String,
        format: Some("uri-reference"),
        example: "/api/v1/runs/01890a5d-ac96-774b-bcce-b302099a8057/stream",
    },
];

impl HeaderSpec {
    fn header(&self) -> Header {
        let example = match self.kind {
            Type::Integer => serde_json::from_str(self.example).unwrap_or_default(),
            _ => Value::from(self.example),
        };
        let schema = ObjectBuilder::new()
            .schema_type(self.kind.clone())
            .format(self.format.map(|format| SchemaFormat::Custom(format.to_owned())))
            .minimum(matches!(self.kind, Type::Integer).then_some(1))
            .examples([example]);
        HeaderBuilder::new().schema(Some(schema)).description(Some(self.description)).build()
    }
}

/// A reference to a header of the components.
pub(crate) fn header(name: &str) -> RefOr<Header> {
    RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))
}
