//! What the tests share: the API server, namespaces of their own, an intake in this process, and a sender that behaves as Alertmanager does.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use firewatch::intake::store::Store;
use firewatch::intake::{IntakeConfig, server};
use firewatch::telemetry::metrics::Metrics;
use firewatch_core::api::Incident;
use firewatch_core::intake::report::{OPT_IN_LABEL, OPT_IN_VALUE};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::definitions::{OPERATOR_NAMESPACE, defined, infer, operator_config};

pub const TOKEN: &str = "a-token-for-tests-only";

/// The administrator's client, and the one that the intake uses.
async fn clients() -> (Client, Client, bool) {
    let (as_operator, installed) = operator_config().await;
    let admin = Client::try_from(infer().await).unwrap();
    defined(&admin).await;
    (admin, Client::try_from(as_operator).unwrap(), installed)
}

/// Namespaces of a test's own: one that opted in, one that did not, and one that stands for the operator's. Where the chart is installed
/// that is the operator's itself: admission lets no other hold incidents about a namespace that is not its own.
pub struct World {
    /// Part of the group keys of what goes to the operator's namespace, which others use too.
    pub id: String,
    pub admin: Client,
    client: Client,
    pub open: String,
    pub silent: String,
    pub own: String,
    /// While true, the intake's API server answers 503.
    pub down: Arc<AtomicBool>,
}

impl World {
    pub async fn new(name: &str) -> Self {
        let (admin, client, installed) = clients().await;
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
        let api: Api<Namespace> = Api::all(admin.clone());
        let make = async |kind: &str, labels: Value| {
            let name = format!("{name}-{kind}-{id}");
            let namespace = json!({ "metadata": { "name": name, "labels": labels } });
            api.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap())
                .await
                .unwrap();
            name
        };
        Self {
            open: make("open", json!({ OPT_IN_LABEL: OPT_IN_VALUE })).await,
            silent: make("silent", json!({})).await,
            own: if installed {
                OPERATOR_NAMESPACE.to_owned()
            } else {
                make("own", json!({})).await
            },
            id,
            down: Arc::new(AtomicBool::new(false)),
            admin,
            client,
        }
    }

    /// The intake's client: as real as can be, until `down`.
    fn flaky(&self) -> Client {
        let (client, down) = (self.client.clone(), self.down.clone());
        let service = tower::service_fn(move |request: axum::http::Request<kube::client::Body>| {
            let (client, down) = (client.clone(), down.clone());
            async move {
                if down.load(Ordering::Relaxed) {
                    let refused = axum::http::Response::builder().status(503);
                    return Ok(refused.body(kube::client::Body::from(b"{}".to_vec())).unwrap());
                }
                client.send(request).await
            }
        });
        Client::new(service, "default")
    }

    /// Starts an intake.
    pub async fn intake(&self, change: impl FnOnce(&mut IntakeConfig)) -> Running {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{TOKEN}").unwrap();
        let mut config = IntakeConfig {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            token_file: Some(file.path().to_owned()),
            rate: 10_000,
            ..IntakeConfig::default()
        };
        change(&mut config);
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let store = Arc::new(Store::new(self.flaky(), &self.own, metrics.clone()));
        let listening = server::start(&config, store, metrics.clone(), stop.clone())
            .await
            .unwrap()
            .unwrap();
        Running {
            address: listening.address,
            metrics,
            stop,
            task: listening.task,
            _file: file,
        }
    }

    /// A group key of this test's own.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.id)
    }

    pub fn incidents(&self, namespace: &str) -> Api<Incident> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    pub async fn all(&self, namespace: &str) -> Vec<Incident> {
        self.incidents(namespace)
            .list(&ListParams::default())
            .await
            .unwrap()
            .into_iter()
            .filter(|incident| namespace != self.own || self.is_ours(incident))
            .collect()
    }

    fn is_ours(&self, incident: &Incident) -> bool {
        let key = incident
            .spec
            .alert
            .as_ref()
            .and_then(|alert| alert.group_key.as_deref());
        key.is_some_and(|key| key.starts_with(&self.id))
    }

    pub async fn only(&self, namespace: &str) -> Incident {
        let mut all = self.all(namespace).await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Ends an incident as the loop does.
    pub async fn ends(&self, incident: &Incident, outcome: &str, at: &str) {
        let namespace = incident.namespace().unwrap();
        let patch = json!({ "status": { "phase": "Completed", "outcome": outcome, "completedAt": at } });
        Api::<Incident>::namespaced(self.client.clone(), &namespace)
            .patch_status(&incident.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub async fn over(self) {
        let api: Api<Namespace> = Api::all(self.admin.clone());
        for incident in self.all(&self.own).await {
            let _ = self
                .incidents(&self.own)
                .delete(&incident.name_any(), &DeleteParams::default())
                .await;
        }
        let all = [&self.open, &self.silent, &self.own];
        for name in all.into_iter().filter(|name| *name != OPERATOR_NAMESPACE) {
            let _ = api.delete(name, &DeleteParams::default()).await;
        }
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _file: tempfile::NamedTempFile,
}

impl Running {
    pub async fn stops(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Sends a notification with the right token.
    pub async fn post(&self, body: &Value) -> Answer {
        let authorization = format!("Authorization: Bearer {TOKEN}");
        send(self.address, &[&authorization], body.to_string().as_bytes()).await
    }
}

/// What came before notifications were taken.
#[derive(Default)]
pub struct Tried {
    /// Answers 5xx.
    pub told_again: AtomicUsize,
    /// Connections that were refused or broke.
    pub cut: AtomicUsize,
}

/// As Alertmanager does: again after 5xx or a broken connection, until it is taken; whatever 4xx answered is lost.
pub async fn post_until_taken(address: SocketAddr, body: &Value, tried: &Tried) {
    let authorization = format!("Authorization: Bearer {TOKEN}");
    for attempt in 0_u32..1000 {
        match try_send(address, &[&authorization], body.to_string().as_bytes()).await {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => {
                assert!(answer.status >= 500, "{answer:?}");
                tried.told_again.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => {
                tried.cut.fetch_add(1, Ordering::SeqCst);
            }
        }
        tokio::time::sleep(Duration::from_millis(50 + u64::from(attempt.min(10)) * 10)).await;
    }
    panic!("never taken");
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

pub async fn send(address: SocketAddr, headers: &[&str], body: &[u8]) -> Answer {
    try_send(address, headers, body).await.unwrap()
}

async fn try_send(address: SocketAddr, headers: &[&str], body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    exchange(&mut stream, headers, body).await
}

/// One request on a connection of its own.
pub async fn exchange<S>(stream: &mut S, headers: &[&str], body: &[u8]) -> std::io::Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut head = format!(
        "POST /webhooks/alertmanager HTTP/1.1\r\nHost: intake\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    // A server that has refused already closes its side: what it said is still read.
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Err(read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()));
    };
    Ok(Answer {
        status: head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
        head: head.to_ascii_lowercase(),
    })
}

/// An alert as Alertmanager sends it.
pub fn alert(status: &str, starts: &str, labels: &Value) -> Value {
    json!({
        "status": status, "labels": labels, "annotations": { "summary": "checkout is bad" }, "startsAt": starts,
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph",
        "fingerprint": firewatch_core::intake::report::hash(&[&labels.to_string()], 16),
    })
}

pub fn notification(key: &str, alerts: Vec<Value>) -> Value {
    json!({
        "version": "4", "groupKey": key, "truncatedAlerts": 0, "status": "firing", "receiver": "firewatch", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager", "alerts": alerts,
    })
}
