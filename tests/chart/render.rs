//! Renders the chart, and the sets of values that the other tests go through.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;

/// The least that installs.
pub const TRIED_OUT: &str = "audit: {mode: file}";
/// As in production, with everything that is off by default.
pub const EVERYTHING: &str = r#"
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullSecrets: [registry]}
database: {existingSecret: firewatch-postgres}
remediation: {namespaces: [shop, pay], nodes: true}
replicas: 2
podDisruptionBudget: {enabled: true}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: infra, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}]
priorityClassName: infra
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
networkPolicy:
  apiServer: {cidrs: [10.0.0.1/32], ports: [6443]}
  operator: {enabled: true, metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}
rbac: {aggregateViewer: true}
api: {enabled: true, tokenSecret: api-tokens, tls: {secret: api-tls, clientCertificates: true}, tokenReview: {audiences: [firewatch]}}
notifications:
  secrets: [firewatch-slack]
  channels: [{name: ops, kind: slack-webhook, urlFile: /etc/firewatch/notifications/firewatch-slack/url}]
  routes: [{channels: [ops], minSeverity: high}]
prometheus: {url: "http://prometheus.monitoring:9090", tokenSecret: prometheus-token, caConfigMap: prometheus-ca}
"#;
const NARROW: &str = r"
database: {url: 'postgres://firewatch:word@db:5432/firewatch', migrateUrl: 'postgres://owner:word@db:5432/firewatch'}
sandbox: {namespace: incident-sandbox, image: 'registry.example.com/sandbox@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}
observe: {clusterWide: false, namespaces: [shop]}
crds: {enabled: false}
";

/// Name, values; each must render.
pub const SETS: [(&str, &str); 3] = [("tried out", TRIED_OUT), ("everything", EVERYTHING), ("narrow", NARROW)];

fn chart() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/firewatch")
}

/// A file of the chart.
pub fn file(name: &str) -> String {
    std::fs::read_to_string(chart().join(name)).unwrap()
}

type Rendered = Result<Vec<Value>, String>;

/// What helm makes of the chart with these values, or what it says against them. Each set is rendered once.
pub fn render(values: &str) -> Rendered {
    static KNOWN: Mutex<BTreeMap<String, Arc<OnceLock<Rendered>>>> = Mutex::new(BTreeMap::new());
    let known = KNOWN.lock().unwrap().entry(values.to_owned()).or_default().clone();
    known.get_or_init(|| helm_template(values)).clone()
}

fn helm_template(values: &str) -> Rendered {
    let helm = std::env::var("FIREWATCH_HELM").unwrap_or_else(|_| "helm".to_owned());
    let mut child = Command::new(&helm)
        .args(["template", "firewatch"])
        .arg(chart())
        .args(["--namespace", "firewatch-system", "--values", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{helm}: {e}; tests/cluster/prepare builds it, or name yours in FIREWATCH_HELM"));
    child.stdin.take().unwrap().write_all(values.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    Ok(documents.into_iter().filter(|d| !d.is_null()).collect())
}

/// Every set, rendered.
pub fn rendered() -> Vec<(&'static str, Vec<Value>)> {
    let render = |(name, values)| (name, render(values).unwrap_or_else(|e| panic!("{name}: {e}")));
    SETS.into_iter().map(render).collect()
}

/// Those of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

pub fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The texts of a list; none where it is not there.
pub fn words(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
