//! The real Prometheus and the real Alertmanager, as processes of this machine: they watch one namespace and tell the installed operator.
//! What kube-state-metrics would say of its Deployments is said by the test itself.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::world::{Place, must};

/// A process that ends with the test.
struct Program(Child);

impl Program {
    /// The first of these that this machine has.
    fn start(names: &[&str], args: &[String]) -> Self {
        let started = names.iter().find_map(|name| {
            let mut command = Command::new(name);
            command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
            command.spawn().ok()
        });
        Self(started.unwrap_or_else(|| panic!("none of {names:?} is on the PATH: `tests/cluster/prepare monitoring`, `eval \"$(tests/cluster/env.sh)\"`")))
    }

    /// Reads what it says until there is an answer in it, and goes on reading, so that it never waits for its reader.
    fn says<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let answer = lines.by_ref().find_map(|line| wanted(&line.ok()?));
        std::thread::spawn(move || lines.for_each(drop));
        answer.expect("it said nothing of what was waited for")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends with the test.
pub struct Monitoring {
    _programs: Vec<Program>,
    _files: tempfile::TempDir,
    exporter: tokio::task::JoinHandle<()>,
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.exporter.abort();
    }
}

impl Monitoring {
    /// Watches the namespace of `place`, from now on.
    pub async fn of(place: &Place) -> Self {
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
        let (exporter, metrics) = exporter(place.cluster.client.clone(), place.namespace.clone()).await;

        let mut forward = Program::start(
            &["kubectl"],
            &[
                "-n",
                "firewatch-system",
                "port-forward",
                "service/firewatch-intake",
                ":8443",
            ]
            .map(str::to_owned),
        );
        let intake = forward.says(|line| {
            let address = line.strip_prefix("Forwarding from ")?.split(' ').next()?;
            address.parse::<SocketAddr>().ok()
        });
        let secret = "go-template={{.data.tokens | base64decode}}";
        write(
            "token",
            &must(&[
                "-n",
                "firewatch-system",
                "get",
                "secret",
                "firewatch-intake",
                "-o",
                secret,
            ]),
        );
        write("alertmanager.yml", &alertmanager_yml(intake, files.path()));
        let alertmanager = free_address();
        let tells = Program::start(
            &["prometheus-alertmanager", "alertmanager"],
            &[
                format!("--config.file={}/alertmanager.yml", files.path().display()),
                format!("--storage.path={}/alertmanager", files.path().display()),
                format!("--web.listen-address={alertmanager}"),
                "--cluster.listen-address=".to_owned(),
                "--log.level=warn".to_owned(),
            ],
        );
        write("rules.yml", &rules_yml(&place.namespace));
        write("prometheus.yml", &prometheus_yml(alertmanager, metrics));
        let watches = Program::start(
            &["prometheus"],
            &[
                format!("--config.file={}/prometheus.yml", files.path().display()),
                format!("--storage.tsdb.path={}/prometheus", files.path().display()),
                format!("--web.listen-address={}", free_address()),
                "--log.level=warn".to_owned(),
            ],
        );
        Self {
            _programs: vec![watches, tells, forward],
            _files: files,
            exporter,
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn alertmanager_yml(intake: SocketAddr, files: &Path) -> String {
    format!(
        r"route: {{receiver: firewatch, group_by: [alertname, namespace, deployment], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}}
receivers:
- name: firewatch
  webhook_configs:
  - url: http://{intake}/webhooks/alertmanager
    send_resolved: true
    http_config: {{authorization: {{credentials_file: {}/token}}}}
",
        files.display()
    )
}

fn prometheus_yml(alertmanager: SocketAddr, metrics: SocketAddr) -> String {
    format!(
        r#"global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs:
- {{job_name: kube-state-metrics, static_configs: [{{targets: ["{metrics}"]}}]}}
"#
    )
}

/// What restarts is available for a moment each time: the rule looks back, as such rules do.
fn rules_yml(namespace: &str) -> String {
    format!(
        r#"groups:
- name: firewatch
  rules:
  - alert: DeploymentReplicasUnavailable
    expr: max_over_time(kube_deployment_status_replicas_unavailable{{namespace="{namespace}"}}[30s]) > 0
    labels: {{severity: critical}}
    annotations: {{summary: "{{{{ $labels.deployment }}}} has replicas that are not available"}}
"#
    )
}

async fn exporter(client: Client, namespace: String) -> (tokio::task::JoinHandle<()>, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/metrics", get(unavailable))
        .with_state(Api::<Deployment>::namespaced(client, &namespace));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (serving, address)
}

async fn unavailable(State(deployments): State<Api<Deployment>>) -> String {
    let all = deployments.list(&ListParams::default()).await.unwrap();
    all.iter()
        .map(|deployment| {
            let count = deployment
                .status
                .as_ref()
                .and_then(|s| s.unavailable_replicas)
                .unwrap_or(0);
            format!(
                "kube_deployment_status_replicas_unavailable{{namespace=\"{}\",deployment=\"{}\"}} {count}\n",
                deployment.namespace().unwrap_or_default(),
                deployment.name_any()
            )
        })
        .collect::<Vec<_>>()
        .concat()
}
