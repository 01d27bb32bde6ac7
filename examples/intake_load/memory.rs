//! An API server of one namespace that holds incidents in memory, on a thread of its own: what the intake does is measured without what
//! an API server does. It answers what the intake asks and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{Method, Request, Response};
use firewatch_core::intake::report::{KEY_LABEL, OPT_IN_LABEL, OPT_IN_VALUE};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

struct Call {
    method: Method,
    path: String,
    body: Vec<u8>,
    answer: oneshot::Sender<(u16, Vec<u8>)>,
}

/// How often it was asked to read and to write.
#[derive(Default)]
pub struct Calls {
    pub reads: AtomicU64,
    pub writes: AtomicU64,
}

/// A client of a new one.
pub fn client(calls: Arc<Calls>) -> kube::Client {
    let (sender, mut waiting) = mpsc::channel::<Call>(1024);
    std::thread::Builder::new()
        .name("api".into())
        .spawn(move || {
            let mut incidents = BTreeMap::new();
            while let Some(call) = waiting.blocking_recv() {
                let of = if call.method == Method::GET {
                    &calls.reads
                } else {
                    &calls.writes
                };
                of.fetch_add(1, Ordering::Relaxed);
                let (status, answer) = answer(&mut incidents, &call);
                let _ = call.answer.send((status, answer.to_string().into_bytes()));
            }
        })
        .expect("a thread");
    let service = tower::service_fn(move |request: Request<Body>| {
        let sender = sender.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            let (answer, answered) = oneshot::channel();
            let call = Call {
                method: parts.method,
                path: parts.uri.to_string(),
                body: body.to_vec(),
                answer,
            };
            let _ = sender.send(call).await;
            let (status, body) = answered.await.unwrap_or((500, b"{}".to_vec()));
            let response = Response::builder()
                .status(status)
                .header("content-type", "application/json");
            response.body(Body::from(body)).map_err(std::io::Error::other)
        }
    });
    kube::Client::new(service, "default")
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason, "metadata": {} });
    (code, status)
}

fn answer(incidents: &mut BTreeMap<String, Value>, call: &Call) -> (u16, Value) {
    let (path, query) = call.path.split_once('?').unwrap_or((call.path.as_str(), ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body = || serde_json::from_slice::<Value>(&call.body).unwrap_or_default();
    match (&call.method, parts.as_slice()) {
        (&Method::GET, ["api", "v1", "namespaces", name]) => (
            200,
            json!({ "metadata": { "name": name, "labels": { OPT_IN_LABEL: OPT_IN_VALUE } } }),
        ),
        (&Method::GET, [.., "incidents"]) => {
            // The value of the one label that is asked for: forty digits at the end of the selector.
            let selector = query
                .split('&')
                .find(|part| part.starts_with("labelSelector="))
                .unwrap_or_default();
            let key = selector.get(selector.len().saturating_sub(40)..).unwrap_or_default();
            let items: Vec<&Value> = incidents
                .values()
                .filter(|incident| incident["metadata"]["labels"][KEY_LABEL] == key)
                .collect();
            let list = json!({ "kind": "IncidentList", "apiVersion": "firewatch.dev/v1alpha1", "metadata": { "resourceVersion": "1" }, "items": items });
            (200, list)
        }
        (&Method::GET, [.., "incidents", name]) => match incidents.get(*name) {
            Some(incident) => (200, incident.clone()),
            None => refusal(404, "NotFound"),
        },
        (&Method::POST, [.., "incidents"]) => {
            let mut made = body();
            let name = made["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if incidents.contains_key(&name) {
                return refusal(409, "AlreadyExists");
            }
            made["metadata"]["uid"] = name.as_str().into();
            made["metadata"]["resourceVersion"] = "1".into();
            made["metadata"]["creationTimestamp"] = "2026-05-01T12:00:00Z".into();
            incidents.insert(name, made.clone());
            (201, made)
        }
        (&Method::PATCH, [.., "incidents", name, "status"]) => {
            let Some(incident) = incidents.get_mut(*name) else {
                return refusal(404, "NotFound");
            };
            let patch = body();
            if patch["metadata"]["resourceVersion"] != incident["metadata"]["resourceVersion"] {
                return refusal(409, "Conflict");
            }
            let version: u64 = incident["metadata"]["resourceVersion"]
                .as_str()
                .and_then(|version| version.parse().ok())
                .unwrap_or_default();
            incident["metadata"]["resourceVersion"] = (version + 1).to_string().into();
            // What the intake writes is all that stands in the status.
            incident["status"] = patch["status"].clone();
            (200, incident.clone())
        }
        _ => refusal(405, "MethodNotAllowed"),
    }
}
