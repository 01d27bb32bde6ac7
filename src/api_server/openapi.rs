//! The OpenAPI document, made from the handlers and their types: `firewatch openapi` prints it, `docs/openapi.json` keeps it, and a test
//! compares both. Says of every operation also what the middleware answers.

use serde_json::{Value, json};
use utoipa::{IntoParams, OpenApi};

use super::models::ProblemDocument;
use super::{approval, create, read, transitions};

/// Reports trouble.
pub const INCIDENT: &str = "/incident";
/// Reports a scenario's workload.
pub const RUN: &str = "/incident/run";
/// Lists.
pub const INCIDENTS: &str = "/incidents";
/// Shows one.
pub const ONE: &str = "/incidents/{namespace}/{name}";
/// Shows its document.
pub const DOCUMENT: &str = "/incidents/{namespace}/{name}/document";
/// Follows it.
pub const TRANSITIONS: &str = "/incidents/{namespace}/{name}/transitions";
/// Decides about its plan.
pub const APPROVAL: &str = "/incidents/{namespace}/{name}/approval";

/// Which incident.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // Described here, read by `input::Named`.
pub struct PathParams {
    /// Its namespace.
    #[param(max_length = 63, pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    pub namespace: String,
    /// Its name.
    #[param(
        max_length = 63,
        pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"
    )]
    pub name: String,
}

/// Where a stream goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // Described here, read by `transitions`.
pub struct StreamParams {
    /// The id of the last event that was seen.
    #[param(rename = "Last-Event-ID", required = false, minimum = 0, maximum = 2_147_483_647)]
    pub last_event_id: i64,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Firewatch",
        description = "Incidents are reported, read, followed and decided about. Every request needs a bearer token; what its owner may is what the cluster's RBAC says.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        create::incident,
        create::run,
        read::list,
        read::one,
        read::document,
        transitions::stream,
        approval::decide
    ),
    components(schemas(ProblemDocument)),
    tags((name = "incidents", description = "Incidents of the cluster"))
)]
struct Document;

/// Answers of the middleware, and which of them only requests with a body meet.
const PROBLEMS: [(&str, bool, &str); 9] = [
    ("400", true, "The body is not JSON, or broke off"),
    ("401", false, "No valid token"),
    ("403", false, "You may not"),
    ("404", false, "There is no such thing"),
    ("413", true, "The body is too large"),
    ("415", true, "The body is not application/json"),
    ("422", false, "A field is not what it must be; `field` names it"),
    ("429", false, "More requests than one user may send"),
    ("503", false, "The API server, or this one, is not able to now"),
];

/// The document.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let problem =
        json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/ProblemDocument" } } });
    let header = |name: &str, what: &str| json!({ name: { "description": what, "schema": { "type": "string" } } });
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for operation in paths.into_iter().flat_map(|paths| paths.values_mut()) {
        for operation in operation
            .as_object_mut()
            .into_iter()
            .flat_map(|methods| methods.values_mut())
        {
            let has_body = operation.get("requestBody").is_some();
            let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
                continue;
            };
            for (status, with_body, description) in PROBLEMS {
                if with_body && !has_body {
                    continue;
                }
                let mut response = json!({ "description": description, "content": problem });
                let headers = match status {
                    "401" => Some(header("WWW-Authenticate", "Bearer")),
                    "429" | "503" => Some(header("Retry-After", "Seconds")),
                    _ => None,
                };
                if let (Some(headers), Some(map)) = (headers, response.as_object_mut()) {
                    map.insert("headers".into(), headers);
                }
                responses.entry(status).or_insert(response);
            }
        }
    }
    if let Some(map) = document.as_object_mut() {
        map.insert("security".into(), json!([{ "bearer": [] }]));
        if let Some(components) = map.get_mut("components").and_then(Value::as_object_mut) {
            let bearer = json!({ "type": "http", "scheme": "bearer", "description": "A token of the cluster (kubectl create token NAME), or one of the token file" });
            components.insert("securitySchemes".into(), json!({ "bearer": bearer }));
        }
    }
    document
}

/// As it is printed and kept.
pub fn text() -> String {
    format!("{:#}\n", document())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_in_the_repository_is_the_one_that_the_code_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == text(),
            "docs/openapi.json differs; write it anew: cargo run -- openapi > docs/openapi.json"
        );
    }

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let document = document();
        let described: BTreeSet<&str> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let routes = [INCIDENT, RUN, INCIDENTS, ONE, DOCUMENT, TRANSITIONS, APPROVAL];
        assert_eq!(described, routes.into_iter().collect());
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        for route in routes {
            let guide = include_str!("../../docs/api.md");
            assert!(guide.contains(route), "docs/api.md does not tell of {route}");
        }
    }
}
