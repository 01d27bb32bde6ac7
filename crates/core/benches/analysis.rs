//! How long it takes to analyse a namespace of 50, 500 and 5,000 pods with four events for each pod: from the recorded text to the
//! diagnosis. Generated data with one real fault. `make bench-analysis`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::path::Path;
use std::process::Command as Process;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use firewatch_core::diagnosis::recording::{Header, Recording, VERSION};
use firewatch_core::diagnosis::{CaseFile, Verdict, diagnose, questions};
use firewatch_core::sandbox::command::{Command, Resource, Scope};
use firewatch_core::sandbox::evidence::Evidence;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

const NOW: &str = "2026-03-01T12:00:00Z";
const NAMESPACE: &str = "plant";
const SIZES: [usize; 3] = [50, 500, 5000];
/// Pods of one Deployment.
const EACH: usize = 10;

fn evidence(id: usize, command: Command, output: String) -> Evidence {
    common::evidence(id, NOW.parse().unwrap(), command, output)
}

fn metadata(name: &str, app: &str, owner: Option<(&str, &str)>) -> Value {
    let owners: Vec<Value> = owner
        .into_iter()
        .map(|(kind, name)| {
            json!({ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true })
        })
        .collect();
    json!({
        "name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}"), "resourceVersion": "1",
        "creationTimestamp": "2026-03-01T08:00:00Z",
        "labels": { "app": app, "tier": "backend", "pod-template-hash": "7c9d5b" },
        "annotations": { "deployment.kubernetes.io/revision": "2" },
        "ownerReferences": owners,
        "managedFields": [{ "manager": "kube-controller-manager", "operation": "Update", "time": "2026-03-01T08:00:00Z" }],
    })
}

fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app, "tier": "backend", "pod-template-hash": "7c9d5b" } },
        "spec": {
            "containers": [{
                "name": "app", "image": image, "ports": [{ "containerPort": 8080, "name": "http" }],
                "env": [
                    { "name": "UPSTREAM", "value": "http://app-0:80" },
                    { "name": "LEVEL", "valueFrom": { "configMapKeyRef": { "name": format!("{app}-settings"), "key": "level" } } },
                ],
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "memory": "128Mi" } },
                "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 5 },
                "livenessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 10 },
                "volumeMounts": [{ "name": "settings", "mountPath": "/etc/app" }],
            }],
            "volumes": [{ "name": "settings", "configMap": { "name": format!("{app}-settings") } }],
            "serviceAccountName": "default", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
        },
    })
}

fn pod(app: &str, number: usize, well: bool) -> Value {
    let mut spec = template(app, "registry.example/app:1.8.2")["spec"].clone();
    spec["nodeName"] = json!(format!("node-{}", number % 40));
    let ready = if well { "True" } else { "False" };
    let state = if well {
        json!({ "running": { "startedAt": "2026-03-01T08:00:05Z" } })
    } else {
        json!({ "waiting": { "reason": "CreateContainerConfigError", "message": format!("configmap \"{app}-settings\" not found") } })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": metadata(&format!("{app}-7c9d5b-{number}"), app, Some(("ReplicaSet", &format!("{app}-7c9d5b")))),
        "spec": spec,
        "status": {
            "phase": if well { "Running" } else { "Pending" }, "podIP": format!("10.0.{}.{}", number / 250, number % 250),
            "startTime": "2026-03-01T08:00:01Z",
            "conditions": [
                { "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T08:00:00Z" },
                { "type": "Initialized", "status": "True", "lastTransitionTime": "2026-03-01T08:00:01Z" },
                { "type": "ContainersReady", "status": ready, "lastTransitionTime": "2026-03-01T08:00:09Z" },
                { "type": "Ready", "status": ready, "lastTransitionTime": "2026-03-01T08:00:09Z" },
            ],
            "containerStatuses": [{
                "name": "app", "image": "registry.example/app:1.8.2", "imageID": "registry.example/app@sha256:00", "ready": well,
                "restartCount": 0, "started": well, "state": state, "lastState": {},
            }],
        },
    })
}

fn application(number: usize, pods: usize, well: bool) -> Vec<Value> {
    let app = format!("app-{number}");
    let ready = if well { pods } else { 0 };
    let mut objects = vec![
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&app, &app, None),
            "spec": { "replicas": pods, "selector": { "matchLabels": { "app": app } }, "template": template(&app, "registry.example/app:1.8.2") },
            "status": { "replicas": pods, "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": pods, "observedGeneration": 1 },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": metadata(&format!("{app}-7c9d5b"), &app, Some(("Deployment", &app))),
            "spec": { "replicas": pods, "selector": { "matchLabels": { "app": app } }, "template": template(&app, "registry.example/app:1.8.2") },
            "status": { "replicas": pods, "readyReplicas": ready },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": metadata(&format!("{app}-6b8c4a"), &app, Some(("Deployment", &app))),
            "spec": { "replicas": 0, "selector": { "matchLabels": { "app": app } }, "template": template(&app, "registry.example/app:1.8.1") },
            "status": { "replicas": 0 },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(&app, &app, None),
            "spec": { "selector": { "app": app }, "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] },
        }),
    ];
    if well {
        objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(&format!("{app}-settings"), &app, None),
            "data": { "level": "info" },
        }));
    }
    objects.extend((0..pods).map(|n| pod(&app, n, well)));
    objects
}

/// One event each of the four that every pod has.
fn events(app: &str, number: usize) -> Vec<Value> {
    let name = format!("{app}-7c9d5b-{number}");
    ["Scheduled", "Pulled", "Created", "Started"]
        .into_iter()
        .map(|reason| {
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": { "name": format!("{name}.{reason}"), "namespace": NAMESPACE },
                "involvedObject": { "kind": "Pod", "namespace": NAMESPACE, "name": name, "uid": format!("uid-{name}") },
                "reason": reason, "type": "Normal", "count": 1, "message": format!("{reason} container app of {name}"),
                "firstTimestamp": "2026-03-01T08:00:03Z", "lastTimestamp": "2026-03-01T08:00:03Z",
            })
        })
        .collect()
}

/// A recorded namespace of that many pods, of which the last application has no ConfigMap.
fn namespace(pods: usize) -> Vec<Evidence> {
    let applications = pods / EACH;
    let mut objects = Vec::new();
    let mut happened = Vec::new();
    for number in 0..applications {
        objects.extend(application(number, EACH, number + 1 < applications));
        for pod in 0..EACH {
            happened.extend(events(&format!("app-{number}"), pod));
        }
    }
    let list = |items: Vec<Value>| json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let get = |resources: Vec<Resource>, scope: Scope| Command::Get {
        resources,
        scope,
        name: None,
    };
    let own = || Scope::Namespace(NAMESPACE.to_owned());
    let kinds = questions::NAMESPACE_KINDS
        .iter()
        .copied()
        .filter(|kind| *kind != Resource::Events)
        .collect();
    vec![
        evidence(1, get(kinds, own()), list(objects)),
        evidence(2, get(vec![Resource::Events], own()), list(happened)),
        evidence(
            3,
            get(questions::CLUSTER_KINDS.to_vec(), Scope::Cluster),
            list(Vec::new()),
        ),
        evidence(
            4,
            Command::TopPods {
                namespace: NAMESPACE.to_owned(),
            },
            String::new(),
        ),
    ]
}

fn case(evidence: &[Evidence]) -> CaseFile {
    let now: Timestamp = NOW.parse().unwrap();
    CaseFile::from_evidence(NAMESPACE, None, now, evidence)
}

/// Set for a process of its own that reads one recording: its memory is then that of the analysis alone.
const RECORDING: &str = "FIREWATCH_BENCH_RECORDING";
/// Measurements of which the median is taken.
const RUNS: usize = 7;

fn main() {
    if let Some(path) = std::env::var_os(RECORDING) {
        return measure(Path::new(&path));
    }
    table();
    let mut criterion = Criterion::default()
        .sample_size(10)
        .without_plots()
        .configure_from_args();
    let mut group = criterion.benchmark_group("namespace");
    for pods in SIZES {
        let evidence = namespace(pods);
        let read = case(&evidence);
        let diagnosis = diagnose(&read);
        assert_eq!(diagnosis.verdict, Verdict::Found, "{:?}", diagnosis.next_steps);
        group.throughput(Throughput::Elements(pods as u64));
        group.bench_with_input(BenchmarkId::new("read", pods), &evidence, |b, evidence| {
            b.iter(|| black_box(case(evidence)));
        });
        group.bench_with_input(BenchmarkId::new("diagnose", pods), &read, |b, read| {
            b.iter(|| black_box(diagnose(read)));
        });
    }
    group.finish();
}

/// One row for each size, each measured in a process of its own.
fn table() {
    println!("| pods | events | recording | read | diagnose | together | peak memory |");
    println!("|---|---|---|---|---|---|---|");
    for pods in SIZES {
        let recording = Recording {
            header: Header {
                version: VERSION,
                namespace: NAMESPACE.to_owned(),
                target: None,
                read_at: NOW.parse().unwrap(),
            },
            evidence: namespace(pods),
        };
        let path = std::env::temp_dir().join(format!("firewatch-bench-{}-{pods}.jsonl", std::process::id()));
        std::fs::write(&path, recording.to_text().unwrap()).unwrap();
        let child = Process::new(std::env::current_exe().unwrap())
            .env(RECORDING, &path)
            .output()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        print!("| {pods} | {} | {}", pods * 4, String::from_utf8_lossy(&child.stdout));
    }
}

/// What this thread has used of one core: a machine that does other things does not count. Elsewhere than on Linux, the clock.
fn spent() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .map_or_else(|| START.elapsed(), Duration::from_nanos)
}

fn measure(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let size = text.len();
    let evidence = Recording::from_text(&text).unwrap().evidence;
    drop(text);
    let mut times: Vec<(Duration, Duration)> = (0..RUNS)
        .map(|_| {
            let started = spent();
            let case = case(&evidence);
            let read = spent();
            assert_eq!(diagnose(&case).verdict, Verdict::Found);
            (read.saturating_sub(started), spent().saturating_sub(started))
        })
        .collect();
    times.sort_by_key(|(_, whole)| *whole);
    let (read, whole) = times[RUNS / 2];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    println!(
        "{:.1} MB | {:.1} ms | {:.1} ms | {:.1} ms | {} |",
        f64::from(u32::try_from(size).unwrap()) / 1e6,
        read.as_secs_f64() * 1e3,
        whole.saturating_sub(read).as_secs_f64() * 1e3,
        whole.as_secs_f64() * 1e3,
        peak.map_or_else(|| "not known here".to_owned(), |kib| format!("{} MiB", kib / 1024)),
    );
}
