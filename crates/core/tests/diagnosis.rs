//! What the diagnosis concludes, domain by domain, on small evidence made by hand: the cause, and what looks like it and is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    clippy::indexing_slicing,
    clippy::similar_names
)]

mod common;

use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::analyzers::ALL;
use firewatch_core::diagnosis::questions::{CLUSTER_KINDS, NAMESPACE_KINDS};
use firewatch_core::diagnosis::{CaseFile, Diagnosis, Finding, Remedy, Verdict, diagnose};
use firewatch_core::sandbox::command::{Command, Scope};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

const NS: &str = "shop";
const NOW: &str = "2026-03-01T12:00:00Z";
const EARLIER: &str = "2026-03-01T11:50:00Z";

/// A namespace in the making.
#[derive(Default)]
struct Case {
    objects: Vec<Value>,
    cluster: Vec<Value>,
    logs: Vec<(String, String, bool, String)>,
    top: String,
    incomplete: bool,
}

impl Case {
    fn with(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    fn cluster(mut self, object: Value) -> Self {
        self.cluster.push(object);
        self
    }

    fn log(mut self, pod: &str, text: &str) -> Self {
        self.logs.push((pod.into(), "main".into(), false, text.into()));
        self
    }

    fn event(self, kind: &str, name: &str, reason: &str, message: &str) -> Self {
        let count = self.objects.len();
        self.with(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("e{count}"), "namespace": NS},
            "involvedObject": {"kind": kind, "name": name, "namespace": NS}, "type": "Warning", "reason": reason, "message": message,
            "count": 5, "firstTimestamp": EARLIER, "lastTimestamp": NOW
        }))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let now: Timestamp = NOW.parse().unwrap();
        let mut list = Vec::new();
        let mut add = |command: Command, output: String, state: EvidenceState| {
            list.push(Evidence {
                state,
                ..common::evidence(list.len() + 1, now, command, output)
            });
        };
        let state = if self.incomplete {
            EvidenceState::Truncated
        } else {
            EvidenceState::Complete
        };
        let items = |objects: &[Value]| json!({"kind": "List", "items": objects}).to_string();
        let get = |resources: &[_], scope| Command::Get {
            resources: resources.to_vec(),
            scope,
            name: None,
        };
        add(
            get(&NAMESPACE_KINDS, Scope::Namespace(NS.into())),
            items(&self.objects),
            state,
        );
        add(
            get(&CLUSTER_KINDS, Scope::Cluster),
            items(&self.cluster),
            EvidenceState::Complete,
        );
        add(
            Command::TopPods { namespace: NS.into() },
            self.top.clone(),
            EvidenceState::Complete,
        );
        for (pod, container, previous, text) in &self.logs {
            let command = Command::Logs {
                namespace: NS.into(),
                pod: pod.clone(),
                container: container.clone(),
                previous: *previous,
                tail_lines: 1500,
            };
            add(command, text.clone(), EvidenceState::Complete);
        }
        list
    }

    fn read(&self, target: Option<(&str, &str)>) -> Diagnosis {
        let target = target.map(|(kind, name)| ObjectName::namespaced(kind, NS, name));
        let case = CaseFile::from_evidence(NS, target, NOW.parse().unwrap(), &self.evidence());
        let diagnosis = diagnose(&case);
        common::told::told("diagnosis", NS, &case, &diagnosis);
        for finding in &diagnosis.findings {
            assert!(is_documented(finding), "{} is in no table", finding.category);
        }
        diagnosis
    }

    fn cause(&self, kind: &str, name: &str) -> Finding {
        let diagnosis = self.read(Some((kind, name)));
        match diagnosis.root_cause {
            Some(root) => root.finding,
            None => panic!("no cause; {:?}: {:#?}", diagnosis.verdict, diagnosis.findings),
        }
    }
}

/// Whether an analyzer of that role lists the category among its causes; a change is told by `rollout` for all of them.
fn is_documented(finding: &Finding) -> bool {
    finding.category == "ChangedByRollout"
        || ALL
            .iter()
            .filter(|analyzer| analyzer.role == finding.agent)
            .any(|analyzer| analyzer.causes.iter().any(|cause| cause.category == finding.category))
}

fn container() -> Value {
    json!({"name": "main", "image": "registry.test/web:1"})
}

fn deployment(name: &str, replicas: i32, container: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NS, "uid": format!("uid-{name}"), "creationTimestamp": EARLIER},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name, "tier": "x"}}, "spec": {"containers": [container]}}}
    })
}

fn replica_set(owner: &str, revision: i64, created: &str, container: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("{owner}-{revision}"), "namespace": NS, "creationTimestamp": created,
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": owner, "uid": format!("uid-{owner}"), "controller": true}]},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": owner}},
            "template": {"metadata": {"labels": {"app": owner, "tier": "x"}}, "spec": {"containers": [container]}}}
    })
}

/// A pod of revision 1 of that Deployment. `status` is its container's status.
fn pod(owner: &str, ready: bool, container: Value, status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{owner}-p"), "namespace": NS, "creationTimestamp": EARLIER, "labels": {"app": owner, "tier": "x"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{owner}-1"), "uid": "u", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [container]},
        "status": {"phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": if ready {"True"} else {"False"}, "lastTransitionTime": EARLIER}],
            "containerStatuses": [status]}
    })
}

fn running() -> Value {
    json!({"name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "started": true, "state": {"running": {"startedAt": EARLIER}}})
}

fn crashed(exit_code: i32, reason: &str) -> Value {
    let end = json!({"exitCode": exit_code, "reason": reason, "startedAt": "2026-03-01T11:59:00Z", "finishedAt": "2026-03-01T11:59:30Z"});
    json!({"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 4, "started": false,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {"terminated": end}})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}})
}

/// A Deployment with one revision and one pod.
fn workload(case: Case, name: &str, ready: bool, spec: Value, status: Value) -> Case {
    case.with(deployment(name, 1, spec.clone()))
        .with(replica_set(name, 1, EARLIER, spec.clone()))
        .with(pod(name, ready, spec, status))
}

fn service(name: &str, selector: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS},
        "spec": {"clusterIP": "10.0.0.9", "selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}})
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NS}, "data": data})
}

fn pending(owner: &str, message: &str) -> Value {
    let mut pod = pod(owner, false, container(), running());
    pod["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]});
    pod["spec"]["nodeName"] = Value::Null;
    pod
}

// Settings

#[test]
fn a_missing_variable_without_a_config_map_belongs_to_the_workload() {
    let case = workload(Case::default(), "web", false, container(), crashed(1, "Error"))
        .log("web-p", "FATAL REGION_NAME is not set");
    let cause = case.cause("Deployment", "web");
    assert_eq!(
        (cause.category.as_str(), cause.object.kind.as_str()),
        ("MissingEnvironmentVariable", "Deployment")
    );
    assert!(
        matches!(cause.remedy, Some(Remedy::Env { ref name, from: None, to: None, .. }) if name == "REGION_NAME"),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_value_is_proposed_only_where_all_neighbours_agree() {
    let spec = json!({"name": "main", "image": "i", "envFrom": [{"configMapRef": {"name": "web"}}]});
    let case = |second: &str| {
        workload(Case::default(), "web", false, spec.clone(), crashed(1, "Error"))
            .with(config_map("web", json!({"A": "1"})))
            .with(config_map("cart", json!({"RATES_URL": "http://rates"})))
            .with(config_map("mail", json!({"RATES_URL": second})))
            .log("web-p", "KeyError: 'RATES_URL'")
            .cause("Deployment", "web")
            .remedy
    };
    assert!(
        matches!(case("http://rates"), Some(Remedy::MissingConfigMapKey { value: Some(value), .. }) if value.value == "http://rates")
    );
    assert!(matches!(
        case("http://other"),
        Some(Remedy::MissingConfigMapKey { value: None, .. })
    ));
}

#[test]
fn what_may_be_a_credential_is_never_proposed() {
    let spec = json!({"name": "main", "image": "i", "envFrom": [{"configMapRef": {"name": "web"}}]});
    let cause = workload(Case::default(), "web", false, spec, crashed(1, "Error"))
        .with(config_map("web", json!({"A": "1"})))
        .with(config_map("cart", json!({"RATES_TOKEN": "abc"})))
        .log("web-p", "KeyError: 'RATES_TOKEN'")
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::MissingConfigMapKey { value: None, .. })),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_variable_that_is_set_is_not_called_missing() {
    let spec = json!({"name": "main", "image": "i", "env": [{"name": "RATES_URL", "value": "x"}]});
    let diagnosis = workload(Case::default(), "web", false, spec, crashed(1, "Error"))
        .log("web-p", "KeyError: 'RATES_URL'")
        .read(Some(("Deployment", "web")));
    assert!(
        diagnosis
            .findings
            .iter()
            .all(|finding| !finding.category.starts_with("Missing")),
        "{:#?}",
        diagnosis.findings
    );
}

// Exit codes and memory

#[test]
fn exit_code_137_alone_is_not_out_of_memory() {
    let spec = json!({"name": "main", "image": "i", "ports": [{"containerPort": 8000}], "livenessProbe": {"httpGet": {"path": "/", "port": 8080}}});
    let cause = workload(Case::default(), "web", false, spec, crashed(137, "Error"))
        .event(
            "Pod",
            "web-p",
            "Unhealthy",
            "Liveness probe failed: Get \"http://10.1.1.1:8080/\": dial tcp 10.1.1.1:8080: connect: connection refused",
        )
        .log("web-p", "serving on port 8000")
        .cause("Deployment", "web");
    assert_eq!(cause.category, "WrongProbePort");
    assert!(
        matches!(cause.remedy, Some(Remedy::ProbePort { ref from, to: Some(ref to), .. }) if from == "8080" && to == "8000"),
        "{:?}",
        cause.remedy
    );
    assert!(!cause.summary.contains("OOM"));
}

#[test]
fn out_of_memory_without_an_earlier_revision_raises_the_limit() {
    let spec = json!({"name": "main", "image": "i", "resources": {"limits": {"memory": "64Mi"}}});
    let cause = workload(Case::default(), "web", false, spec, crashed(137, "OOMKilled"))
        .log("web-p", "ok")
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::Resources { ref field, from: Some(ref from), to: Some(ref to), .. }) if field == "limits.memory" && from == "64Mi" && to == "128Mi"),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_revision_before_the_trouble_that_touched_nothing_of_it_is_not_blamed() {
    let spec = json!({"name": "main", "image": "i", "resources": {"limits": {"memory": "64Mi"}}});
    let mut now = replica_set("web", 2, "2026-03-01T11:55:00Z", spec.clone());
    now["spec"]["template"]["metadata"]["labels"]["team"] = json!("blue");
    let cause = workload(Case::default(), "web", false, spec, crashed(137, "OOMKilled"))
        .with(now)
        .log("web-p", "ok")
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::Resources { .. })),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_crash_that_came_with_an_image_leads_back_to_the_one_before() {
    let old = json!({"name": "main", "image": "registry.test/web:1"});
    let new = json!({"name": "main", "image": "registry.test/web:2"});
    let mut failing = pod("web", false, new.clone(), crashed(1, "Error"));
    failing["metadata"]["ownerReferences"][0]["name"] = json!("web-2");
    let cause = Case::default()
        .with(deployment("web", 1, new.clone()))
        .with(replica_set("web", 1, "2026-03-01T10:00:00Z", old))
        .with(replica_set("web", 2, EARLIER, new))
        .with(failing)
        .log("web-p", "Traceback (most recent call last):\n  File \"/app/main.py\", line 7, in <module>\nTypeError: 'NoneType' object is not iterable")
        .cause("Deployment", "web");
    assert_eq!(cause.category, "UncaughtError");
    assert!(cause.summary.contains("/app/main.py:7"), "{}", cause.summary);
    let ways: Vec<&Remedy> = cause.remedy.iter().flat_map(Remedy::ways).collect();
    assert!(
        matches!(ways.first(), Some(Remedy::BadRevision { from_revision: 2, to_revision: 1, diff, .. }) if diff.contains("web:1 → registry.test/web:2"))
    );
}

// Start, image, references

#[test]
fn what_the_kubelet_says_of_a_start_is_the_cause() {
    let missing = "failed to create containerd task: OCI runtime create failed: exec: \"pyton3\": executable file not found in $PATH";
    for (reason, message, category, words) in [
        ("RunContainerError", missing, "CommandNotFound", "pyton3"),
        (
            "ImagePullBackOff",
            "Back-off pulling image \"registry.test/web:1\": manifest unknown: not found",
            "ImagePullFailed",
            "not found",
        ),
        (
            "InvalidImageName",
            "couldn't parse image name",
            "ImageNameInvalid",
            "not a valid image reference",
        ),
        (
            "CreateContainerConfigError",
            "secret \"db-login\" not found",
            "MissingSecret",
            "db-login",
        ),
        (
            "CreateContainerConfigError",
            "couldn't find key password in Secret shop/db-login",
            "MissingSecretKey",
            "password",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
            "RunAsRootRefused",
            "root",
        ),
    ] {
        let cause =
            workload(Case::default(), "web", false, container(), waiting(reason, message)).cause("Deployment", "web");
        assert_eq!(cause.category, category, "{message}");
        assert!(cause.summary.contains(words), "{}", cause.summary);
    }
}

#[test]
fn a_missing_config_map_is_named_with_the_one_that_was_meant() {
    let mut case = workload(
        Case::default(),
        "web",
        false,
        container(),
        waiting("ContainerCreating", ""),
    )
    .with(config_map("web-settings", json!({})));
    case.objects[0]["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "v", "configMap": {"name": "web-setting"}}]);
    let cause = case.cause("Deployment", "web");
    assert_eq!(cause.category, "MissingConfigMap");
    assert!(cause.summary.contains("web-settings exists"), "{}", cause.summary);
}

#[test]
fn an_optional_reference_may_be_absent() {
    let mut case = workload(Case::default(), "web", true, container(), running()).log("web-p", "ok");
    case.objects[0]["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "v", "configMap": {"name": "extra", "optional": true}}]);
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Healthy);
}

// Scheduling, storage, policy

#[test]
fn the_schedulers_words_name_the_constraint() {
    for (message, category) in [
        (
            "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found.",
            "InsufficientResources",
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: none",
            "NodeSelectorMatchesNothing",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: gpu}. preemption: none",
            "TaintNotTolerated",
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: none",
            "AntiAffinityUnsatisfiable",
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints. preemption: none",
            "TopologySpreadUnsatisfiable",
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports. preemption: none",
            "HostPortTaken",
        ),
    ] {
        let cause = Case::default()
            .with(deployment("web", 1, container()))
            .with(replica_set("web", 1, EARLIER, container()))
            .with(pending("web", message))
            .cause("Deployment", "web");
        assert_eq!(cause.category, category, "{message}");
    }
}

#[test]
fn a_cordoned_node_may_be_uncordoned() {
    let cause = Case::default()
        .with(deployment("web", 1, container()))
        .with(replica_set("web", 1, EARLIER, container()))
        .with(pending(
            "web",
            "0/1 nodes are available: 1 node(s) were unschedulable. preemption: none",
        ))
        .cluster(
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"unschedulable": true}}),
        )
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::UncordonNode { ref node }) if node.name == "n1"),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_claim_of_a_class_that_does_not_exist_explains_the_pending_pod() {
    let mut waiting = pending(
        "web",
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: none",
    );
    waiting["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": NS},
        "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}});
    let cause = Case::default()
        .with(deployment("web", 1, container()))
        .with(replica_set("web", 1, EARLIER, container()))
        .with(waiting)
        .with(claim)
        .cluster(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "standard"}, "provisioner": "x"}))
        .cause("Deployment", "web");
    assert_eq!(
        (cause.category.as_str(), cause.object.to_string().as_str()),
        ("StorageClassMissing", "PersistentVolumeClaim/data")
    );
}

#[test]
fn a_volume_that_was_late_once_is_no_trouble_of_a_container_that_has_run_since() {
    let late = "MountVolume.SetUp failed for volume \"app\" : failed to sync configmap cache: timed out waiting for the condition";
    let has = |status: Value| {
        let case =
            workload(Case::default(), "web", false, container(), status).event("Pod", "web-p", "FailedMount", late);
        let diagnosis = case.read(Some(("Deployment", "web")));
        diagnosis.findings.iter().any(|f| f.category == "VolumeDoesNotMount")
    };
    assert!(has(waiting("ContainerCreating", "")), "it still waits for its volume");
    assert!(!has(crashed(1, "Error")));
}

#[test]
fn a_quota_is_raised_to_what_the_replicas_need() {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": NS}, "spec": {"hard": {"requests.cpu": "100m"}}});
    let cause = Case::default()
        .with(deployment("web", 3, container()))
        .with(replica_set("web", 1, EARLIER, container()))
        .with(pod("web", true, container(), running()))
        .with(quota)
        .event(
            "ReplicaSet",
            "web-1",
            "FailedCreate",
            "Error creating: pods \"web-1-x\" is forbidden: exceeded quota: team, requested: requests.cpu=60m, used: requests.cpu=60m, limited: requests.cpu=100m",
        )
        .log("web-p", "ok")
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::Quota { ref resource, ref from, to: Some(ref to), .. }) if resource == "requests.cpu" && from == "100m" && to == "180m"),
        "{:?}",
        cause.remedy
    );
}

// Services and dependencies

/// The Service `db`, on its usual port.
fn database(selector: Value) -> Value {
    let mut service = service("db", selector);
    service["spec"]["ports"] = json!([{"port": 5432, "targetPort": 5432}]);
    service
}

fn caller(case: Case) -> Case {
    let spec = json!({"name": "main", "image": "i", "env": [{"name": "DB_URL", "value": "postgres://web@db:5432/x"}]});
    workload(case, "web", false, spec, running()).log(
        "web-p",
        "ERROR cannot connect to db:5432: Connection refused\nERROR cannot connect to db:5432: Connection refused",
    )
}

#[test]
fn a_dependency_scaled_to_nothing_is_scaled_back_to_what_it_was() {
    let cause = caller(Case::default())
        .with(database(json!({"app": "db"})))
        .with(deployment("db", 0, container()))
        .event(
            "Deployment",
            "db",
            "ScalingReplicaSet",
            "Scaled down replica set db-1 from 3 to 0",
        )
        .cause("Deployment", "web");
    assert_eq!(cause.object.to_string(), "Deployment/db");
    assert!(
        matches!(cause.remedy, Some(Remedy::ScaleUp { from: 0, to: 3, .. })),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_dependency_that_crashes_is_the_cause_and_not_its_victim() {
    let diagnosis = workload(caller(Case::default()), "db", false, container(), crashed(1, "Error"))
        .with(database(json!({"app": "db"})))
        .log("db-p", "FATAL: DATA_DIRECTORY must be set")
        .read(Some(("Deployment", "web")));
    let root = diagnosis.root_cause.unwrap();
    assert_eq!(
        (root.finding.category.as_str(), root.finding.object.to_string().as_str()),
        ("MissingEnvironmentVariable", "Deployment/db")
    );
    assert!(root.chain.len() >= 3, "{:#?}", root.chain);
}

#[test]
fn a_selector_with_one_wrong_label_is_put_right() {
    let cause = workload(caller(Case::default()), "db", true, container(), running())
        .with(database(json!({"app": "db", "tier": "y"})))
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::ServiceSelector { ref key, ref from, to: Some(ref to), .. }) if key == "tier" && from == "y" && to == "x"),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_target_port_by_a_name_that_no_container_has_is_put_right() {
    let spec = json!({"name": "main", "image": "i", "ports": [{"name": "sql", "containerPort": 5432}]});
    let mut db = database(json!({"app": "db"}));
    db["spec"]["ports"][0]["targetPort"] = json!("postgres");
    let cause = workload(caller(Case::default()), "db", true, spec, running())
        .with(db)
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::ServicePort { index: 0, ref from, to: Some(ref to), .. }) if from == "postgres" && to == "5432")
    );
}

#[test]
fn a_host_that_no_service_has_is_named_with_its_variable() {
    let spec = json!({"name": "main", "image": "i", "env": [{"name": "RATES", "value": "http://rate:80"}]});
    let line = "ERROR GET http://rate:80/: [Errno -2] Name or service not known";
    let cause = workload(Case::default(), "web", true, spec, running())
        .with(service("rates", json!({"app": "rates"})))
        .log("web-p", &format!("{line}\n{line}\n{line}"))
        .cause("Deployment", "web");
    assert_eq!(cause.category, "WrongHostname");
    assert!(
        cause.summary.contains("RATES") && cause.summary.contains("Service rates exists"),
        "{}",
        cause.summary
    );
    assert!(matches!(cause.remedy, Some(Remedy::Env { ref name, to: None, .. }) if name == "RATES"));
}

#[test]
fn a_dependency_in_another_namespace_is_named_and_not_read() {
    let line = "ERROR call to rates.money.svc:80 failed: connection refused";
    let cause = workload(Case::default(), "web", false, container(), running())
        .log("web-p", &format!("{line}\n{line}"))
        .cause("Deployment", "web");
    assert!(cause.summary.contains("namespace money"), "{}", cause.summary);
    assert_eq!(cause.object.namespace.as_deref(), Some(NS));
}

#[test]
fn two_that_call_each_other_end_the_search() {
    let line =
        |other: &str| format!("ERROR http://{other}:80 connection refused\nERROR http://{other}:80 connection refused");
    let diagnosis = workload(
        workload(Case::default(), "a", false, container(), running()),
        "b",
        false,
        container(),
        running(),
    )
    .with(service("a", json!({"app": "a"})))
    .with(service("b", json!({"app": "b"})))
    .log("a-p", &line("b"))
    .log("b-p", &line("a"))
    .read(Some(("Deployment", "a")));
    assert_ne!(diagnosis.verdict, Verdict::Healthy);
}

#[test]
fn a_port_that_the_service_does_not_have_is_put_right_where_it_stands() {
    let spec = json!({"name": "main", "image": "i", "env": [{"name": "DB_URL", "value": "postgres://web@db:5433/x"}]});
    let line = "ERROR cannot connect to db:5433: connection refused";
    let mut db = service("db", json!({"app": "db"}));
    db["spec"]["ports"][0] = json!({"port": 5432, "targetPort": 5432});
    let case = workload(Case::default(), "web", false, spec, running()).log("web-p", &format!("{line}\n{line}"));
    let cause = workload(case, "db", true, container(), running())
        .with(db)
        .cause("Deployment", "web");
    assert_eq!(cause.category, "WrongPort");
    assert!(
        matches!(cause.remedy, Some(Remedy::Env { to: Some(ref to), .. }) if to.value == "postgres://web@db:5432/x"),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_target_port_is_read_from_what_the_program_says_it_listens_on() {
    let line = "ERROR GET http://api:80/ connection refused";
    let case = workload(Case::default(), "web", true, container(), running()).log("web-p", &format!("{line}\n{line}"));
    let cause = workload(case, "api", true, container(), running())
        .with(service("api", json!({"app": "api"})))
        .log("api-p", "INFO listening on :9090")
        .cause("Deployment", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::ServicePort { ref from, to: Some(ref to), .. }) if from == "8080" && to == "9090"),
        "{:?}",
        cause.remedy
    );
}

#[test]
fn a_policy_that_forbids_the_call_is_the_cause_and_one_that_allows_it_is_not() {
    let case = |allowed: &str| {
        let line = "ERROR http://api:80 timed out";
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "api-in", "namespace": NS},
            "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": allowed}}}]}]}});
        let case =
            workload(Case::default(), "web", false, container(), running()).log("web-p", &format!("{line}\n{line}"));
        workload(case, "api", true, container(), running())
            .with(service("api", json!({"app": "api"})))
            .with(policy)
            .log("api-p", "INFO listening on :8080")
            .cause("Deployment", "web")
            .category
    };
    assert_eq!(case("shop-window"), "NetworkPolicyBlocks");
    assert_ne!(case("web"), "NetworkPolicyBlocks");
}

#[test]
fn a_secret_that_changed_after_the_start_asks_for_a_restart() {
    let secret = json!({"name": "main", "image": "i", "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]});
    let line = "FATAL http://db:80 password authentication failed for user web";
    let mut case = workload(Case::default(), "web", false, secret.clone(), running())
        .with(service("db", json!({"app": "db"})))
        .log("web-p", &format!("{line}\n{line}"));
    case = workload(case, "db", true, secret, running()).log("db-p", "INFO ready");
    let last = case.objects.len() - 1;
    case.objects[last]["metadata"]["creationTimestamp"] = json!("2026-03-01T11:58:00Z");
    let cause = case.cause("Deployment", "web");
    assert_eq!(cause.category, "CredentialsRefused");
    assert!(
        matches!(cause.remedy, Some(Remedy::Restart { .. })),
        "{:?}",
        cause.remedy
    );
}

// Waiting

#[test]
fn an_init_container_that_waits_for_a_service_that_is_not_there_says_so() {
    let mut waiting_pod = pod("web", false, container(), waiting("PodInitializing", ""));
    waiting_pod["status"]["phase"] = json!("Pending");
    waiting_pod["status"]["initContainerStatuses"] = json!([{"name": "wait", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "started": true, "state": {"running": {"startedAt": EARLIER}}}]);
    let mut web = deployment("web", 1, container());
    web["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "wait", "image": "i", "command": ["sh", "-c", "until nslookup databse; do sleep 2; done"]}]);
    let cause = Case::default()
        .with(web)
        .with(replica_set("web", 1, EARLIER, container()))
        .with(waiting_pod)
        .with(service("database", json!({"app": "database"})))
        .cause("Deployment", "web");
    assert_eq!(cause.category, "InitContainerWaits");
    assert!(
        cause.summary.contains("databse") && cause.summary.contains("database exists"),
        "{}",
        cause.summary
    );
}

#[test]
fn a_sidecar_that_keeps_a_job_is_named() {
    let mut done = pod("web", false, container(), running());
    done["metadata"]["ownerReferences"][0] =
        json!({"apiVersion": "batch/v1", "kind": "Job", "name": "nightly", "uid": "u", "controller": true});
    done["status"]["containerStatuses"] = json!([
        {"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
        {"name": "proxy", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": EARLIER}}}
    ]);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nightly", "namespace": NS}, "spec": {"template": {"spec": {"containers": []}}}});
    let cause = Case::default().with(job).with(done).cause("Job", "nightly");
    assert_eq!(cause.category, "SidecarKeepsJob");
    assert!(cause.summary.contains("proxy"), "{}", cause.summary);
}

#[test]
fn a_command_that_ends_with_success_has_nothing_to_keep_it_running() {
    let cause = workload(Case::default(), "web", false, container(), crashed(0, "Completed"))
        .log("web-p", "done")
        .cause("Deployment", "web");
    assert_eq!(cause.category, "CommandEnds");
}

#[test]
fn a_liveness_probe_that_ends_a_slow_start_is_not_called_a_wrong_port() {
    let spec = json!({"name": "main", "image": "i", "ports": [{"containerPort": 8080}],
        "livenessProbe": {"httpGet": {"path": "/", "port": 8080}, "initialDelaySeconds": 5, "periodSeconds": 5, "failureThreshold": 2}});
    let cause = workload(Case::default(), "web", false, spec, crashed(137, "Error"))
        .event(
            "Pod",
            "web-p",
            "Unhealthy",
            "Liveness probe failed: Get \"http://10.1.1.1:8080/\": dial tcp 10.1.1.1:8080: connect: connection refused",
        )
        .log("web-p", "loading model 20%\nloading model 40%")
        .cause("Deployment", "web");
    assert_eq!(cause.category, "ProbeKillsSlowStart");
}

#[test]
fn a_broken_service_is_found_from_the_workload_behind_it() {
    let cause = workload(Case::default(), "api", true, container(), running())
        .with(service("api", json!({"app": "api", "tier": "y"})))
        .log("api-p", "INFO ok")
        .cause("Deployment", "api");
    assert_eq!(cause.object.to_string(), "Service/api");
}

#[test]
fn a_budget_that_lets_nothing_go_is_lowered_by_one() {
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": NS},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2}});
    let cause = Case::default().with(budget).cause("PodDisruptionBudget", "web");
    assert!(
        matches!(cause.remedy, Some(Remedy::DisruptionBudget { ref field, ref from, to: Some(ref to), .. }) if field == "minAvailable" && from == "2" && to == "1"),
        "{:?}",
        cause.remedy
    );
}

// Autoscalers, jobs, the rest

#[test]
fn an_autoscaler_without_requests_names_the_container() {
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": NS},
        "spec": {"maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]},
        "status": {"conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "missing request for cpu"}]}});
    let mut case = workload(Case::default(), "web", true, container(), running())
        .with(hpa)
        .log("web-p", "ok");
    case.top = "web-p main 40m 20Mi\n".into();
    let cause = case.cause("HorizontalPodAutoscaler", "web");
    assert_eq!(cause.category, "HpaWithoutRequests");
    assert!(
        matches!(cause.remedy, Some(Remedy::Resources { ref field, from: None, to: Some(ref to), .. }) if field == "requests.cpu" && to == "60m")
    );
}

#[test]
fn a_busy_container_that_nobody_waits_for_is_left_alone() {
    let spec = json!({"name": "main", "image": "i", "resources": {"limits": {"cpu": "100m"}}});
    let mut case = workload(Case::default(), "web", true, spec, running()).log("web-p", "INFO batch 7 done");
    case.top = "web-p main 100m 20Mi\n".into();
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Healthy);
}

#[test]
fn a_suspended_cron_job_is_resumed() {
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": NS},
        "spec": {"suspend": true, "schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [container()]}}}}}});
    let cause = Case::default().with(cron).cause("CronJob", "report");
    assert!(matches!(cause.remedy, Some(Remedy::ResumeCronJob { .. })));
}

// Healthy, unknown, incomplete

#[test]
fn a_healthy_target_is_left_alone_whatever_its_neighbour_does() {
    let case = workload(Case::default(), "web", true, container(), running()).log("web-p", "INFO ok");
    let diagnosis = workload(case, "other", false, container(), crashed(1, "Error"))
        .log("other-p", "FATAL KEY_FILE is not set")
        .read(Some(("Deployment", "web")));
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{:#?}", diagnosis.findings);
    assert!(
        diagnosis
            .next_steps
            .iter()
            .any(|step| step.contains("Deployment/other")),
        "{:?}",
        diagnosis.next_steps
    );
}

#[test]
fn retries_and_trouble_that_has_ended_are_no_incident() {
    let mut text = "ERROR db:5432 connection refused, retrying (attempt 1/5)\n".repeat(20);
    text.push_str(&"INFO served\n".repeat(10));
    let case = workload(Case::default(), "web", true, container(), running()).with(service("db", json!({"app": "db"})));
    assert_eq!(
        case.log("web-p", &text).read(Some(("Deployment", "web"))).verdict,
        Verdict::Healthy
    );
    let mut text = "ERROR db:5432 connection refused\n".repeat(3);
    text.push_str(&"INFO served\n".repeat(400));
    let case = workload(Case::default(), "web", true, container(), running()).with(service("db", json!({"app": "db"})));
    assert_eq!(
        case.log("web-p", &text).read(Some(("Deployment", "web"))).verdict,
        Verdict::Healthy
    );
}

#[test]
fn a_call_that_failed_before_the_repair_leaves_no_question_open() {
    let line = |second: u32| format!("2026-03-01T11:58:{second:02}Z ERROR http://api:80 connection refused\n");
    let text: String = (0..5)
        .map(|n| line(n * 3))
        .chain(["2026-03-01T11:59:59Z INFO served\n".to_owned()])
        .collect();
    let case = workload(Case::default(), "web", true, container(), running()).log("web-p", &text);
    let diagnosis = workload(case, "api", true, container(), running())
        .with(service("api", json!({"app": "api"})))
        .read(Some(("Deployment", "web")));
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{:?}", diagnosis.checked);
}

#[test]
fn a_rollout_that_only_begins_is_no_incident() {
    let mut young = pod("web", false, container(), waiting("ContainerCreating", ""));
    young["metadata"]["creationTimestamp"] = json!("2026-03-01T11:59:50Z");
    let case = Case::default()
        .with(deployment("web", 1, container()))
        .with(replica_set("web", 1, EARLIER, container()))
        .with(young);
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Healthy);
}

#[test]
fn a_symptom_without_a_cause_says_what_to_look_at_next() {
    let diagnosis = workload(Case::default(), "web", false, container(), crashed(3, "Error"))
        .log("web-p", "bye")
        .read(Some(("Deployment", "web")));
    assert_eq!(diagnosis.verdict, Verdict::Unexplained);
    assert!(diagnosis.root_cause.is_none());
    assert_eq!(diagnosis.next_steps.len(), 3, "{:?}", diagnosis.next_steps);
    assert!(diagnosis.next_steps.iter().all(|step| step.contains("kubectl")));
}

#[test]
fn nothing_is_healthy_that_was_not_read() {
    let mut case = workload(Case::default(), "web", true, container(), running()).log("web-p", "ok");
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Healthy);
    case.incomplete = true;
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Unexplained);
    case.incomplete = false;
    case.logs.clear();
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Unexplained);
}

#[test]
fn a_target_that_does_not_exist_is_said_so() {
    let diagnosis = Case::default()
        .with(deployment("web", 1, container()))
        .read(Some(("Deployment", "wbe")));
    assert_eq!(diagnosis.verdict, Verdict::Unexplained);
    assert!(
        diagnosis
            .next_steps
            .iter()
            .any(|step| step.contains("Deployment/wbe does not exist")),
        "{:?}",
        diagnosis.next_steps
    );
}

#[test]
fn without_a_target_the_workload_in_trouble_is_found() {
    let case = workload(Case::default(), "good", true, container(), running()).log("good-p", "ok");
    let diagnosis = workload(case, "bad", false, container(), crashed(1, "Error"))
        .log("bad-p", "FATAL QUEUE_URL is not set")
        .read(None);
    assert_eq!(
        diagnosis.root_cause.unwrap().finding.object.to_string(),
        "Deployment/bad"
    );
}

#[test]
fn independent_causes_are_told_apart() {
    let mut case = workload(Case::default(), "web", false, container(), crashed(1, "Error"))
        .log("web-p", "FATAL QUEUE_URL is not set");
    case.objects[0]["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "gone"}}]);
    let root = case.read(Some(("Deployment", "web"))).root_cause.unwrap();
    let categories: Vec<&str> = std::iter::once(&root.finding)
        .chain(&root.also)
        .map(|finding| finding.category.as_str())
        .collect();
    assert!(
        categories.contains(&"MissingConfigMap") && categories.contains(&"MissingEnvironmentVariable"),
        "{categories:?}"
    );
}

#[test]
fn objects_without_status_and_of_unknown_kinds_are_borne() {
    let case = workload(Case::default(), "web", true, container(), running())
        .with(json!({"apiVersion": "x/v9", "kind": "Gadget", "metadata": {"name": "g", "namespace": NS}, "spec": [1, 2]}))
        .with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": NS}}))
        .with(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "odd", "namespace": NS}, "spec": "nonsense"}))
        .with(json!({"kind": "Service"}))
        .with(json!(null))
        .log("web-p", "ok");
    assert_eq!(case.read(Some(("Deployment", "web"))).verdict, Verdict::Healthy);
    let read = CaseFile::from_evidence(NS, None, NOW.parse().unwrap(), &case.evidence());
    assert!(read.entry(&ObjectName::namespaced("Deployment", NS, "odd")).is_some());
    assert!(read.entry(&ObjectName::namespaced("Gadget", NS, "g")).is_some());
}

#[test]
fn a_list_that_was_cut_is_read_as_far_as_it_goes() {
    let mut evidence = workload(Case::default(), "web", true, container(), running()).evidence();
    let cut = evidence[0].output.len() - 40;
    evidence[0].output.truncate(cut);
    evidence[0].state = EvidenceState::Truncated;
    let case = CaseFile::from_evidence(NS, None, NOW.parse().unwrap(), &evidence);
    assert!(case.entry(&ObjectName::namespaced("Deployment", NS, "web")).is_some());
    assert!(case.entry(&ObjectName::namespaced("Pod", NS, "web-p")).is_none());
    assert_eq!(case.gaps().len(), 1);
}
