//! A receiver: writes down each request, and answers as it is told, then with 200.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone, Debug)]
pub enum Say {
    /// Status, Retry-After, body.
    This(u16, Option<u32>, String),
    /// Nothing, ever.
    Nothing,
}

#[derive(Clone, Default)]
struct Shared {
    heard: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<VecDeque<Say>>>,
    usual: String,
}

pub struct Receiver {
    pub address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Receiver {
    /// With these answers first, and this body in all others.
    pub async fn start(script: &[Say], usual: &str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), script, usual).await
    }

    pub async fn at(address: SocketAddr, script: &[Say], usual: &str) -> Self {
        let shared = Shared {
            script: Arc::new(Mutex::new(script.iter().cloned().collect())),
            usual: usual.to_owned(),
            ..Shared::default()
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn heard(&self) -> Vec<Request> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Once it has heard so many.
    pub async fn hears(&self, count: usize) -> Vec<Request> {
        for _ in 0..1500 {
            let heard = self.heard();
            if heard.len() >= count {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it heard only {:#?}", self.heard());
    }

    pub async fn stops(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    shared.heard.lock().unwrap().push(Request {
        method,
        path: uri.path().to_owned(),
        headers,
        body,
    });
    let say = shared.script.lock().unwrap().pop_front();
    match say {
        Some(Say::Nothing) => std::future::pending().await,
        Some(Say::This(status, after, body)) => {
            let mut response = Response::builder().status(status);
            if let Some(after) = after {
                response = response.header("retry-after", after);
            }
            response.body(Body::from(body)).unwrap()
        }
        None => Response::new(Body::from(shared.usual.clone())),
    }
}
