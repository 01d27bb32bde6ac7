//! A namespace in the making, for the tests of faults: workloads that serve or fail, Services, ConfigMaps, logs, events.
use firewatch_core::api::{ObjectName, Role};
use firewatch_core::diagnosis::questions::{CLUSTER_KINDS, NAMESPACE_KINDS};
use firewatch_core::diagnosis::{CaseFile, Diagnosis, Finding, diagnose};
use firewatch_core::sandbox::command::{Command, Scope};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const NS: &str = "plant";
const NOW: &str = "2026-05-04T09:30:00Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub fn ago(seconds: i64) -> String {
    (now() - SignedDuration::from_secs(seconds)).to_string()
}

/// A namespace in the making.
#[derive(Clone, Default)]
pub struct Space {
    pub objects: Vec<Value>,
    pub cluster: Vec<Value>,
    pub logs: Vec<(String, bool, u32, String)>,
    pub top: String,
}

/// What a container's status is.
#[derive(Clone)]
pub enum State {
    /// Runs and is ready, since so many seconds.
    Serves(i64),
    /// Runs, and is not ready.
    Unready(i64),
    /// Ends again and again with this code and reason.
    Crashes(i32, &'static str),
}

impl Space {
    pub fn with(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// A Deployment of one pod, with its ReplicaSet, and a Service of its name on port 8080.
    pub fn workload(self, name: &str, state: State) -> Self {
        self.workload_of(name, state, json!({}))
    }

    /// The same, its container and pod spec with these fields too: `{"container": {…}, "pod": {…}}`.
    pub fn workload_of(self, name: &str, state: State, more: Value) -> Self {
        let age = match state {
            State::Serves(age) | State::Unready(age) => age,
            State::Crashes(..) => 600,
        };
        let mut container = json!({"name": "main", "image": format!("registry.test/{name}:1")});
        let mut spec = json!({"nodeName": "n1"});
        for (key, value) in more.get("container").and_then(Value::as_object).into_iter().flatten() {
            container[key] = value.clone();
        }
        for (key, value) in more.get("pod").and_then(Value::as_object).into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec["containers"] = json!([container]);
        let labels = json!({"app": name});
        let template = json!({"metadata": {"labels": labels}, "spec": spec});
        let ready = matches!(state, State::Serves(_));
        let status = match state {
            State::Serves(age) | State::Unready(age) => {
                json!({"name": "main", "image": "i", "imageID": "", "ready": ready, "restartCount": 0,
                "started": true, "state": {"running": {"startedAt": ago(age)}}})
            }
            State::Crashes(code, reason) => {
                json!({"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 6, "started": false,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": code, "reason": reason, "startedAt": ago(90), "finishedAt": ago(40)}}})
            }
        };
        let replicas = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
        self.with(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": NS, "uid": format!("u-{name}"), "creationTimestamp": ago(90_000)}, "spec": replicas}))
        .with(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("{name}-1"), "namespace": NS, "creationTimestamp": ago(90_000), "annotations": {"deployment.kubernetes.io/revision": "1"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("u-{name}"), "controller": true}]},
            "spec": replicas, "status": {"replicas": 1, "readyReplicas": i32::from(ready)}}))
        .with(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{name}-p"), "namespace": NS, "creationTimestamp": ago(age), "labels": labels,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-1"), "uid": "r", "controller": true}]},
            "spec": spec,
            "status": {"phase": "Running", "containerStatuses": [status],
                "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": if ready {"True"} else {"False"}, "lastTransitionTime": ago(age.min(300))}]}}))
        .service(name, 8080)
    }

    pub fn service(self, name: &str, port: i32) -> Self {
        self.with(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS},
            "spec": {"clusterIP": format!("10.96.0.{}", name.len()), "selector": {"app": name}, "ports": [{"port": port, "targetPort": port}]}}))
    }

    /// A ConfigMap that `by` changed so many seconds ago.
    pub fn config_map(self, name: &str, data: Value, changed: Option<(&str, i64)>) -> Self {
        let mut fields = vec![json!({"manager": "helm", "operation": "Apply", "time": ago(90_000)})];
        fields.extend(changed.map(|(by, at)| json!({"manager": by, "operation": "Update", "time": ago(at)})));
        self.with(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": name, "namespace": NS, "creationTimestamp": ago(90_000), "managedFields": fields}}))
    }

    /// Lines of a workload's present run: the last a second ago, the others two seconds apart.
    pub fn log(self, workload: &str, text: &str) -> Self {
        self.log_ending(workload, text, 1)
    }

    /// The same, the last line so many seconds ago.
    pub fn log_ending(mut self, workload: &str, text: &str, last: i64) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let count = i64::try_from(lines.len()).unwrap();
        let stamped: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(n, line)| format!("{} {line}", ago(last + 2 * (count - 1 - i64::try_from(n).unwrap()))))
            .collect();
        self.logs
            .push((format!("{workload}-p"), false, 1500, stamped.join("\n")));
        self
    }

    /// Lines of the present and of the previous run of a workload that crashes.
    pub fn crash_log(mut self, workload: &str, text: &str) -> Self {
        let stamped: Vec<String> = text.lines().map(|line| format!("{} {line}", ago(41))).collect();
        self.logs
            .push((format!("{workload}-p"), false, 1500, stamped.join("\n")));
        self.logs
            .push((format!("{workload}-p"), true, 1500, stamped.join("\n")));
        self
    }

    pub fn event(self, kind: &str, name: &str, reason: &str, message: &str) -> Self {
        let count = self.objects.len();
        self.with(json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("e{count}"), "namespace": NS},
            "involvedObject": {"kind": kind, "name": name, "namespace": NS}, "type": "Warning", "reason": reason, "message": message,
            "count": 9, "firstTimestamp": ago(300), "lastTimestamp": ago(5)}))
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        let mut list: Vec<Evidence> = Vec::new();
        let mut add = |command: Command, output: String| {
            list.push(Evidence {
                id: format!("E{}", list.len() + 1),
                agent: Role::SreInvestigator,
                command,
                argv: Vec::new(),
                state: EvidenceState::Complete,
                exit_code: Some(0),
                duration_ms: 1,
                collected_at: now(),
                output,
                sha256: String::new(),
            });
        };
        let items = |objects: &[Value]| json!({"kind": "List", "items": objects}).to_string();
        let get = |resources: &[_], scope| Command::Get {
            resources: resources.to_vec(),
            scope,
            name: None,
        };
        add(get(&NAMESPACE_KINDS, Scope::Namespace(NS.into())), items(&self.objects));
        add(get(&CLUSTER_KINDS, Scope::Cluster), items(&self.cluster));
        add(Command::TopPods { namespace: NS.into() }, self.top.clone());
        for (pod, previous, tail, text) in &self.logs {
            let command = Command::Logs {
                namespace: NS.into(),
                pod: pod.clone(),
                container: "main".into(),
                previous: *previous,
                tail_lines: *tail,
            };
            add(command, text.clone());
        }
        list
    }

    pub fn read(&self, kind: &str, name: &str) -> Diagnosis {
        read(&self.evidence(), kind, name)
    }

    pub fn cause(&self, name: &str) -> Finding {
        let diagnosis = self.read("Deployment", name);
        match diagnosis.root_cause {
            Some(root) => root.finding,
            None => panic!("no cause; {:?}: {:#?}", diagnosis.verdict, diagnosis.findings),
        }
    }
}

pub fn read(evidence: &[Evidence], kind: &str, name: &str) -> Diagnosis {
    let case = CaseFile::from_evidence(NS, Some(ObjectName::namespaced(kind, NS, name)), now(), evidence);
    let diagnosis = diagnose(&case);
    crate::common::told::told("faults", NS, &case, &diagnosis);
    diagnosis
}

/// Lines of a program that does its work.
pub fn served(lines: usize) -> String {
    (0..lines)
        .map(|n| format!("INFO  GET /items/{n} 200 {}ms\n", 3 + n % 7))
        .collect()
}
