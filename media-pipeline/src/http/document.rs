//! The OpenAPI 3.1 document, made of the routes, the reasons and the schema.

use super::routes::{ROUTES, Route};
use super::schema;
use crate::authz::{Operation, Scope};
use crate::refusal::Reason;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// As it is served.
pub(super) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| openapi().to_string())
}

/// The document.
#[must_use]
pub fn openapi() -> Value {
    let summaries = schema::summaries();
    let mut paths = Map::new();
    for route in ROUTES {
        let summary = summaries.get(route.id).cloned().unwrap_or_default();
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route, &summary);
    }
    let mut schemas = schema::schemas();
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kaiwa: clips",
            "version": "1",
            "description": "Uploads, transcoding and playback of shared clips. The same messages as \
                `kaiwa/media/v1/media.proto`, in proto3's JSON mapping: 64-bit integers are strings. \
                `grpc-timeout` (such as `2S`) bounds any call; `x-request-id` names it. \
                `OPTIONS` of each path answers 204 with its methods in `Allow`, and pages of the origins in \
                `http.allowed_origins` may read all answers (CORS).",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A person's token, or a service's with `x-acting-user`.",
            }},
            "schemas": schemas,
            "responses": responses(),
        },
    })
}

fn operation(route: &Route, summary: &str) -> Value {
    let (role, scope, _) = route.operation.rule();
    let mut parameters: Vec<Value> = Vec::new();
    for name in route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{'))
    {
        let name = name.trim_end_matches('}');
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    for name in route.parameters {
        let place = if name.contains('-') {
            "header"
        } else {
            "query"
        };
        parameters.push(json!({ "name": name, "in": place, "schema": { "type": "string" } }));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": summary,
        "parameters": parameters,
        "responses": answers(route),
        "x-kaiwa-role": role,
        "x-kaiwa-scope": Scope::text(scope),
    });
    if let Some(body) = route.body {
        operation["requestBody"] = if body.contains('/') {
            json!({ "required": true, "content": { body: { "schema": { "type": "string" } } } })
        } else {
            json!({ "required": true, "content": { "application/json": { "schema": reference(body) } } })
        };
    }
    operation
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn answers(route: &Route) -> Map<String, Value> {
    let kind = if route.operation == Operation::Watch {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut answers = Map::new();
    answers.insert(
        route.status.to_string(),
        json!({
            "description": "Done.",
            "content": { kind: { "schema": reference(route.answer) } },
        }),
    );
    if route.id == "GetClip" {
        answers.insert(
            "304".to_owned(),
            json!({ "description": "It has not changed." }),
        );
    }
    for status in statuses() {
        let name = format!("#/components/responses/E{status}");
        answers.insert(status.to_string(), json!({ "$ref": name }));
    }
    answers
}

fn statuses() -> BTreeSet<u16> {
    Reason::ALL.iter().map(|reason| reason.status()).collect()
}

fn responses() -> Map<String, Value> {
    let mut responses = Map::new();
    for status in statuses() {
        let of_it = Reason::ALL.iter().filter(|r| r.status() == status);
        let lines: Vec<String> = of_it
            .map(|reason| format!("`{}`: {}", reason.text(), reason.help()))
            .collect();
        responses.insert(
            format!("E{status}"),
            json!({
                "description": lines.join(" "),
                "content": { "application/json": { "schema": reference("Error") } },
            }),
        );
    }
    responses
}

fn error_schema() -> Value {
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.text()).collect();
    let violation = json!({
        "type": "object",
        "properties": { "field": { "type": "string" }, "description": { "type": "string" } },
    });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["reason", "message", "help", "requestId"],
            "properties": {
                "reason": { "type": "string", "enum": reasons },
                "message": { "type": "string" },
                "help": { "type": "string" },
                "requestId": { "type": "string" },
                "fieldViolations": { "type": "array", "items": violation },
                "state": reference("ClipState"),
                "quota": { "type": "string" },
                "retryAfterMs": { "type": "integer" },
            },
        }},
    })
}
