//! A namespace in the making: objects, events and logs in the form in which a cluster shows them.

use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::analyzers::ALL;
use firewatch_core::diagnosis::questions::{CLUSTER_KINDS, NAMESPACE_KINDS};
use firewatch_core::diagnosis::{CaseFile, Diagnosis, Finding, Verdict, diagnose};
use firewatch_core::sandbox::command::{Command, Resource, Scope};
use firewatch_core::sandbox::evidence::Evidence;
use serde_json::{Value, json};

use crate::common;

pub const NS: &str = "market";
pub const NOW: &str = "2026-05-04T10:00:00Z";
/// Ten minutes before.
pub const EARLIER: &str = "2026-05-04T09:50:00Z";
/// An hour before.
pub const LONG_AGO: &str = "2026-05-04T09:00:00Z";

#[derive(Clone, Default)]
pub struct Case {
    objects: Vec<Value>,
    cluster: Vec<Value>,
    classes: Option<Vec<Value>>,
    logs: Vec<(String, String, bool, String)>,
}

impl Case {
    pub fn with(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    pub fn cluster(mut self, object: Value) -> Self {
        self.cluster.push(object);
        self
    }

    pub fn ingress_classes(mut self, names: &[&str]) -> Self {
        let class = |name: &&str| {
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name},
                "spec": {"controller": "k8s.io/ingress-nginx"}})
        };
        self.classes = Some(names.iter().map(class).collect());
        self
    }

    pub fn log(self, pod: &str, text: &str) -> Self {
        self.log_of(pod, "app", text)
    }

    /// What the run before said.
    pub fn log_before(mut self, pod: &str, text: &str) -> Self {
        self.logs.push((pod.into(), "app".into(), true, text.into()));
        self
    }

    pub fn log_of(mut self, pod: &str, container: &str, text: &str) -> Self {
        self.logs.push((pod.into(), container.into(), false, text.into()));
        self
    }

    pub fn warning(self, kind: &str, name: &str, reason: &str, message: &str) -> Self {
        self.event(kind, name, "Warning", reason, message)
    }

    pub fn event(self, kind: &str, name: &str, type_: &str, reason: &str, message: &str) -> Self {
        let count = self.objects.len();
        self.with(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.{count}"), "namespace": NS},
            "involvedObject": {"kind": kind, "name": name, "namespace": NS}, "type": type_, "reason": reason, "message": message,
            "count": 7, "firstTimestamp": EARLIER, "lastTimestamp": NOW
        }))
    }

    /// An object that is there already, with these fields too.
    pub fn change(mut self, kind: &str, name: &str, fields: Value) -> Self {
        let object = self
            .objects
            .iter_mut()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .unwrap();
        merge(object, fields);
        self
    }

    /// Every container that has run has a log; where a test says nothing of it, there is nothing in it.
    fn quiet_logs(&self) -> Vec<(String, String, bool, String)> {
        let mut list = Vec::new();
        for pod in self.objects.iter().filter(|object| object["kind"] == "Pod") {
            let name = pod["metadata"]["name"].as_str().unwrap();
            for kind in ["containerStatuses", "initContainerStatuses"] {
                for status in pod["status"][kind].as_array().into_iter().flatten() {
                    let container = status["name"].as_str().unwrap();
                    let told = |previous: bool| {
                        self.logs
                            .iter()
                            .any(|(p, c, before, _)| p == name && c == container && *before == previous)
                    };
                    if !told(false) {
                        list.push((name.to_owned(), container.to_owned(), false, "started\n".to_owned()));
                    }
                    if status["restartCount"] != 0 && !told(true) {
                        list.push((name.to_owned(), container.to_owned(), true, "started\n".to_owned()));
                    }
                }
            }
        }
        list
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        let mut list = Vec::new();
        let mut add = |command: Command, output: String| {
            list.push(common::evidence(list.len() + 1, NOW.parse().unwrap(), command, output));
        };
        let items = |objects: &[Value]| json!({"kind": "List", "items": objects}).to_string();
        let get = |resources: &[Resource], scope| Command::Get {
            resources: resources.to_vec(),
            scope,
            name: None,
        };
        add(get(&NAMESPACE_KINDS, Scope::Namespace(NS.into())), items(&self.objects));
        add(get(&CLUSTER_KINDS, Scope::Cluster), items(&self.cluster));
        add(Command::TopPods { namespace: NS.into() }, String::new());
        if let Some(classes) = &self.classes {
            add(get(&[Resource::IngressClasses], Scope::Cluster), items(classes));
        }
        for (pod, container, previous, text) in self.logs.iter().chain(&self.quiet_logs()) {
            let command = Command::Logs {
                namespace: NS.into(),
                pod: pod.clone(),
                container: container.clone(),
                previous: *previous,
                tail_lines: 1500,
            };
            add(command, text.clone());
        }
        list
    }

    pub fn read(&self, kind: &str, name: &str) -> Diagnosis {
        let target = ObjectName::namespaced(kind, NS, name);
        let case = CaseFile::from_evidence(NS, Some(target), NOW.parse().unwrap(), &self.evidence());
        let diagnosis = diagnose(&case);
        common::told::told("infrastructure", NS, &case, &diagnosis);
        for finding in &diagnosis.findings {
            let documented = finding.category == "ChangedByRollout"
                || ALL
                    .iter()
                    .filter(|analyzer| analyzer.role == finding.agent)
                    .any(|analyzer| analyzer.causes.iter().any(|cause| cause.category == finding.category));
            assert!(documented, "{} is in no table", finding.category);
        }
        diagnosis
    }

    pub fn cause(&self, kind: &str, name: &str) -> Finding {
        let diagnosis = self.read(kind, name);
        match diagnosis.root_cause {
            Some(root) => root.finding,
            None => panic!("no cause; {:?}: {:#?}", diagnosis.verdict, diagnosis.findings),
        }
    }

    /// The cause is of that category, at that object, and says those words.
    #[track_caller]
    pub fn expect(&self, target: (&str, &str), category: &str, object: &str, words: &[&str]) -> Finding {
        let cause = self.cause(target.0, target.1);
        assert_eq!(
            (cause.category.as_str(), cause.object.to_string().as_str()),
            (category, object),
            "{}",
            cause.summary
        );
        for word in words {
            assert!(cause.summary.contains(word), "{word:?} is not in: {}", cause.summary);
        }
        cause
    }

    /// Nothing of that category is claimed at all.
    #[track_caller]
    pub fn never(&self, target: (&str, &str), category: &str) {
        let diagnosis = self.read(target.0, target.1);
        assert!(
            !diagnosis.findings.iter().any(|finding| finding.category == category),
            "{category}: {:#?}",
            diagnosis.findings
        );
    }

    #[track_caller]
    pub fn healthy(&self, kind: &str, name: &str) {
        let diagnosis = self.read(kind, name);
        assert_eq!(diagnosis.verdict, Verdict::Healthy, "{:#?}", diagnosis.findings);
        assert_eq!(diagnosis.findings, [], "a healthy target has no findings");
    }
}

pub fn container() -> Value {
    json!({"name": "app", "image": "registry.example/store/app:1.4"})
}

pub fn with(mut base: Value, fields: Value) -> Value {
    merge(&mut base, fields);
    base
}

fn merge(base: &mut Value, fields: Value) {
    match (base, fields) {
        (Value::Object(base), Value::Object(fields)) => {
            for (key, value) in fields {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, fields) => *base = fields,
    }
}

/// A Deployment, its ReplicaSet and one pod of it: `NAME-6d4b9-x7k2p`.
pub struct App {
    pub name: &'static str,
    pub pod_spec: Value,
    pub ready: bool,
    pub phase: &'static str,
    pub statuses: Value,
    pub conditions: Vec<Value>,
    pub pod_status: Value,
    pub replicas: i32,
    pub labels: Value,
    pub pods: bool,
    pub seen: bool,
}

impl App {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            pod_spec: json!({"containers": [container()]}),
            ready: true,
            phase: "Running",
            statuses: json!([running("app")]),
            conditions: Vec::new(),
            pod_status: json!({}),
            replicas: 1,
            labels: json!({"app": name}),
            pods: true,
            seen: true,
        }
    }

    pub fn container(mut self, fields: Value) -> Self {
        self.pod_spec["containers"][0] = with(self.pod_spec["containers"][0].clone(), fields);
        self
    }

    pub fn spec(mut self, fields: Value) -> Self {
        self.pod_spec = with(self.pod_spec, fields);
        self
    }

    pub fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Never started, with that reason.
    pub fn waiting(mut self, reason: &str, message: &str) -> Self {
        self.ready = false;
        self.phase = "Pending";
        self.statuses = json!([{"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "started": false,
            "state": {"waiting": {"reason": reason, "message": message}}}]);
        self
    }

    /// Started, failed, is started again.
    pub fn crashing(mut self, exit_code: i32, reason: &str, message: &str) -> Self {
        self.ready = false;
        self.statuses = json!([{"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 5, "started": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 2m40s restarting failed container=app pod=x"}},
            "lastState": {"terminated": {"exitCode": exit_code, "reason": reason, "message": message,
                "startedAt": "2026-05-04T09:58:00Z", "finishedAt": "2026-05-04T09:58:05Z"}}}]);
        self
    }

    /// Runs, and is not ready.
    pub fn unready(mut self) -> Self {
        self.ready = false;
        self.statuses[0]["ready"] = json!(false);
        self
    }

    /// Not scheduled, in the scheduler's words.
    pub fn unscheduled(mut self, message: &str) -> Self {
        self.ready = false;
        self.phase = "Pending";
        self.statuses = json!([]);
        self.conditions = vec![
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": EARLIER}),
        ];
        self
    }

    /// No scheduler has said anything about it.
    pub fn unseen(mut self) -> Self {
        self = self.unscheduled("");
        self.conditions.clear();
        self.seen = false;
        self
    }

    pub fn condition(mut self, condition: Value) -> Self {
        self.conditions.push(condition);
        self
    }

    pub fn status(mut self, fields: Value) -> Self {
        self.pod_status = fields;
        self
    }

    /// No pod was made.
    pub fn without_pods(mut self) -> Self {
        self.pods = false;
        self
    }

    pub fn pod(&self) -> String {
        format!("{}-6d4b9-x7k2p", self.name)
    }

    pub fn add(self, case: Case) -> Case {
        let name = self.name;
        let scheduled = self.seen && self.conditions.iter().all(|c| c["type"] != "PodScheduled");
        let template = json!({"metadata": {"labels": self.labels}, "spec": self.pod_spec});
        let case = case
            .with(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": NS, "uid": format!("d-{name}"), "creationTimestamp": LONG_AGO},
                "spec": {"replicas": self.replicas, "selector": {"matchLabels": self.labels}, "template": template},
                "status": {"replicas": i32::from(self.pods), "readyReplicas": i32::from(self.ready)}
            }))
            .with(json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": format!("{name}-6d4b9"), "namespace": NS, "uid": format!("r-{name}"), "creationTimestamp": LONG_AGO,
                    "annotations": {"deployment.kubernetes.io/revision": "1"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("d-{name}"), "controller": true}]},
                "spec": {"replicas": self.replicas, "selector": {"matchLabels": self.labels}, "template": template},
                "status": {"replicas": i32::from(self.pods), "readyReplicas": i32::from(self.ready)}
            }));
        if !self.pods {
            return case;
        }
        let mut conditions = self.conditions.clone();
        if scheduled {
            conditions.push(json!({"type": "PodScheduled", "status": "True"}));
        }
        conditions.push(
            json!({"type": "Ready", "status": if self.ready {"True"} else {"False"}, "lastTransitionTime": EARLIER}),
        );
        let mut spec = self.pod_spec.clone();
        if scheduled && spec.get("nodeName").is_none() {
            spec["nodeName"] = json!("node-a");
        }
        let status = with(
            json!({"phase": self.phase, "conditions": conditions, "containerStatuses": self.statuses}),
            self.pod_status.clone(),
        );
        case.with(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.pod(), "namespace": NS, "labels": self.labels, "creationTimestamp": EARLIER,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-6d4b9"), "uid": format!("r-{name}"), "controller": true}]},
            "spec": spec, "status": status
        }))
    }

    pub fn alone(self) -> Case {
        self.add(Case::default())
    }
}

pub fn running(name: &str) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "started": true,
        "state": {"running": {"startedAt": EARLIER}}})
}

pub fn service(name: &str, selector: Value, port: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS, "creationTimestamp": LONG_AGO},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "selector": selector, "ports": [port]}})
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NS, "creationTimestamp": LONG_AGO}, "data": data})
}

pub fn node(name: &str, fields: Value) -> Value {
    with(
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}}),
        fields,
    )
}

pub fn claim(name: &str, fields: Value) -> Value {
    with(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NS, "creationTimestamp": EARLIER},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
            "status": {"phase": "Pending"}}),
        fields,
    )
}

pub fn volume(name: &str, fields: Value) -> Value {
    with(
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual"},
            "status": {"phase": "Available"}}),
        fields,
    )
}
