//! What the tests share: the API server, a namespace of their own, callers with tokens of their own, an HTTP API in this process, a client.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use firewatch::api_server::access::{Authority, Cluster};
use firewatch::api_server::approval::as_caller;
use firewatch::api_server::server::{self, Ways};
use firewatch::api_server::{ApiConfig, ApiError};
use firewatch::telemetry::metrics::Metrics;
use firewatch_core::api::Incident;
use firewatch_core::intake::target::LabelPolicy;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::definitions::{OPERATOR_NAMESPACE, defined, infer, operator_config};

pub const FILE_TOKEN: &str = "a-token-for-tests-only";
pub const FILE_USER: &str = "firewatch-api:ci";

/// Writes into a buffer that the tests read.
struct To(Arc<Mutex<Vec<u8>>>);

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that this process logs.
pub fn logged() -> Arc<Mutex<Vec<u8>>> {
    static LOG: std::sync::OnceLock<Arc<Mutex<Vec<u8>>>> = std::sync::OnceLock::new();
    LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let to = log.clone();
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || To(to.clone()))
            .try_init();
        log
    })
    .clone()
}

pub struct World {
    pub admin: Client,
    pub way: Config,
    pub operator: Client,
    pub installed: bool,
    pub namespace: String,
}

impl World {
    pub async fn new(name: &str) -> Self {
        logged();
        let way = infer().await;
        let admin = Client::try_from(way.clone()).unwrap();
        defined(&admin).await;
        let (as_operator, installed) = operator_config().await;
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
        let namespace = format!("api-{name}-{id}");
        let made = json!({ "metadata": { "name": namespace } });
        Api::<Namespace>::all(admin.clone())
            .create(&PostParams::default(), &serde_json::from_value(made).unwrap())
            .await
            .unwrap();
        Self {
            operator: Client::try_from(as_operator).unwrap(),
            admin,
            way,
            installed,
            namespace,
        }
    }

    /// A ServiceAccount with these verbs on our kinds in the test's namespace, and a real token of it.
    pub async fn caller(&self, name: &str, rights: &[(&str, &[&str])]) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), &self.namespace);
        let account: ServiceAccount = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": self.namespace });
        self.grant(name, rights, subject).await;
        self.token(name, None).await
    }

    /// Gives a subject rights in the test's namespace.
    pub async fn grant(&self, name: &str, rights: &[(&str, &[&str])], subject: Value) {
        let rules: Vec<Value> = rights
            .iter()
            .map(|(resource, verbs)| json!({ "apiGroups": ["firewatch.dev"], "resources": [resource], "verbs": verbs }))
            .collect();
        let role: Role = serde_json::from_value(json!({ "metadata": { "name": name }, "rules": rules })).unwrap();
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": { "name": name }, "subjects": [subject],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        }))
        .unwrap();
        let post = PostParams::default();
        Api::namespaced(self.admin.clone(), &self.namespace)
            .create(&post, &role)
            .await
            .unwrap();
        Api::namespaced(self.admin.clone(), &self.namespace)
            .create(&post, &binding)
            .await
            .unwrap();
    }

    /// Gives a subject of the test's namespace all rights on our kinds, in the whole cluster.
    pub async fn grant_everywhere(&self, account: &str) {
        let role: ClusterRole = serde_json::from_value(json!({
            "metadata": { "name": self.namespace },
            "rules": [{ "apiGroups": ["firewatch.dev"], "resources": ["*"], "verbs": ["*"] }],
        }))
        .unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": { "name": self.namespace },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": self.namespace }],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.namespace },
        }))
        .unwrap();
        let post = PostParams::default();
        Api::all(self.admin.clone()).create(&post, &role).await.unwrap();
        Api::all(self.admin.clone()).create(&post, &binding).await.unwrap();
    }

    /// A real token of an account, for an audience or for the API server.
    pub async fn token(&self, account: &str, audience: Option<&str>) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.map(str::to_owned).into_iter().collect(),
                expiration_seconds: Some(600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .unwrap();
        made.status.unwrap().token
    }

    /// The name by which the API server knows an account.
    pub fn user(&self, account: &str) -> String {
        format!("system:serviceaccount:{}:{account}", self.namespace)
    }

    /// Starts an HTTP API that asks the real API server.
    pub async fn api(&self, change: impl FnOnce(&mut ApiConfig)) -> Running {
        let mut audiences = ApiConfig::default();
        change(&mut audiences);
        let authority = Cluster::new(self.admin.clone(), audiences.audiences.clone());
        self.api_with(audiences, Box::new(authority)).await.unwrap()
    }

    /// The same, where somebody else says who calls.
    pub async fn api_with(&self, changed: ApiConfig, authority: Box<dyn Authority>) -> Result<Running, ApiError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{FILE_TOKEN},ci").unwrap();
        let config = ApiConfig {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            token_review: true,
            token_file: Some(file.path().to_owned()),
            stream_seconds: if changed.stream_seconds == 0 {
                60
            } else {
                changed.stream_seconds
            },
            ..changed
        };
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let ways = Ways {
            client: self.operator.clone(),
            authority,
            as_caller: as_caller(&self.way),
            operator_namespace: OPERATOR_NAMESPACE.to_owned(),
            labels: LabelPolicy::default(),
            metrics: metrics.clone(),
        };
        let listening = server::start(&config, ways, stop.clone()).await?.unwrap();
        Ok(Running {
            address: listening.address,
            metrics,
            stop,
            task: listening.task,
            _file: file,
        })
    }

    pub fn incidents(&self) -> Api<Incident> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Writes an incident's status, as the operator does.
    pub async fn stands(&self, name: &str, status: Value) {
        Api::<Incident>::namespaced(self.operator.clone(), &self.namespace)
            .patch_status(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({ "status": status })),
            )
            .await
            .unwrap();
    }

    pub async fn over(self) {
        let gone = DeleteParams::default();
        let _ = Api::<Namespace>::all(self.admin.clone())
            .delete(&self.namespace, &gone)
            .await;
        let _ = Api::<ClusterRole>::all(self.admin.clone())
            .delete(&self.namespace, &gone)
            .await;
        let _ = Api::<ClusterRoleBinding>::all(self.admin.clone())
            .delete(&self.namespace, &gone)
            .await;
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
    pub fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    pub async fn stops(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", path, &[&bearer(token)], b"").await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let headers = [&*bearer(token), "Content-Type: application/json"];
        self.send("POST", path, &headers, body.to_string().as_bytes()).await
    }

    /// One request on a connection of its own.
    pub async fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = self.open(method, path, headers, body).await;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        Answer {
            status: head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
            head: head.to_ascii_lowercase(),
            text: body.to_owned(),
        }
    }

    pub async fn open(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has refused already closes its side: what it said is still read.
        let _ = stream.write_all(body).await;
        stream
    }
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// Whether it is this problem, as a problem document.
    pub fn is_problem(&self, status: u16, title: &str) {
        assert_eq!(
            (self.status, self.body["title"].as_str()),
            (status, Some(title)),
            "{self:?}"
        );
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        assert!(self.head.contains("x-request-id: "), "{self:?}");
    }
}
