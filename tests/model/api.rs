//! As much of an API server as one incident's consultation needs, in memory: objects by path, and a process that can die at any request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    requests: usize,
    /// From this request on nothing is answered: the process that asks is dead.
    dies_at: Option<usize>,
}

/// The API server.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<State>>);

/// The process is dead.
#[derive(Debug)]
struct Dead;

impl std::fmt::Display for Dead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the process is dead")
    }
}

impl std::error::Error for Dead {}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code}),
    )
}

impl Api {
    /// A client of it.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// Puts an object there.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.objects.insert(path.to_owned(), object);
    }

    /// The object of that path.
    pub fn get(&self, path: &str) -> Value {
        self.0.lock().unwrap().objects.get(path).cloned().unwrap_or_default()
    }

    /// Paths of all objects.
    pub fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().objects.keys().cloned().collect()
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }

    /// The process that asks dies at that request.
    pub fn dies_at(&self, request: Option<usize>) {
        self.0.lock().unwrap().dies_at = request;
    }

    /// Whether it did.
    pub fn is_dead(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.dies_at.is_some_and(|at| state.requests > at)
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Dead> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.map_err(|_| Dead)?;
        let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let (code, answer) = {
            let mut state = self.0.lock().unwrap();
            state.requests += 1;
            if state.dies_at.is_some_and(|at| state.requests > at) {
                return Err(Dead);
            }
            handle(&mut state, &parts.method, parts.uri.path(), sent)
        };
        let body = Body::from(answer.to_string().into_bytes());
        Response::builder().status(code).body(body).map_err(|_| Dead)
    }
}

fn handle(state: &mut State, method: &Method, path: &str, mut sent: Value) -> (u16, Value) {
    let path = path.trim_end_matches("/status");
    match *method {
        Method::POST => {
            // A Job is taken, and gone before anybody looks: nothing runs here.
            if path.ends_with("/jobs") || path.ends_with("/events") {
                return (201, sent);
            }
            let at = format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap());
            if state.objects.contains_key(&at) {
                return failure(409, "AlreadyExists");
            }
            state.version += 1;
            sent["metadata"]["resourceVersion"] = state.version.to_string().into();
            sent["metadata"]["uid"] = format!("uid-{}", state.version).into();
            state.objects.insert(at, sent.clone());
            (201, sent)
        }
        Method::PUT => {
            let Some(was) = state.objects.get(path) else {
                return failure(404, "NotFound");
            };
            if was["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] {
                return failure(409, "Conflict");
            }
            state.version += 1;
            sent["metadata"]["resourceVersion"] = state.version.to_string().into();
            state.objects.insert(path.to_owned(), sent.clone());
            (200, sent)
        }
        Method::DELETE => match state.objects.remove(path) {
            Some(was) => (200, was),
            None => failure(404, "NotFound"),
        },
        _ if is_collection(path) => {
            let within = format!("{path}/");
            let items: Vec<&Value> = state
                .objects
                .iter()
                .filter(|(at, _)| at.strip_prefix(&within).is_some_and(|name| !name.contains('/')))
                .map(|(_, object)| object)
                .collect();
            (
                200,
                json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}),
            )
        }
        _ => match state.objects.get(path) {
            Some(object) => (200, object.clone()),
            None => failure(404, "NotFound"),
        },
    }
}

fn is_collection(path: &str) -> bool {
    ["/configmaps", "/jobs", "/pods", "/api/v1/namespaces"]
        .iter()
        .any(|end| path.ends_with(end))
}
