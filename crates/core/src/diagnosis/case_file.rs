//! Everything known about one incident, as typed values: objects, events, logs, usage, and what could not be read.
//!
//! Tolerant: an object that does not parse is kept as unknown, with its error; nothing here panics on what a cluster says.
//! It must never interpret: that is the analyzers' work. Built by the loop, the agents' edge and the plugin from `Evidence`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ResourceQuota, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role as RbacRole, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::api::ObjectName;
use crate::sandbox::command::Command;
use crate::sandbox::evidence::{Evidence, EvidenceState};

macro_rules! objects {
    ($($kind:ident($type:ty)),* $(,)?) => {
        /// One object of the cluster, typed where Firewatch knows its kind.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "each variant is the Kubernetes kind of that name")]
        pub enum Object {
            $($kind(Box<$type>),)*
            /// A kind that is not known, or an object that does not parse.
            Unknown {
                /// As it was read.
                value: Box<Value>,
                /// Why it did not parse; absent for kinds that are not known.
                error: Option<String>,
            },
        }

        impl Object {
            /// From JSON; never fails.
            pub fn from_value(value: Value) -> Self {
                let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
                match kind.as_str() {
                    $(stringify!($kind) => match serde_json::from_value::<$type>(value.clone()) {
                        Ok(object) => Self::$kind(Box::new(object)),
                        Err(error) => Self::Unknown { value: Box::new(value), error: Some(error.to_string()) },
                    },)*
                    _ => Self::Unknown { value: Box::new(value), error: None },
                }
            }

            /// Its metadata, where it is known.
            pub fn metadata(&self) -> Option<&ObjectMeta> {
                match self {
                    $(Self::$kind(object) => Some(&object.metadata),)*
                    Self::Unknown { .. } => None,
                }
            }
        }

        $(impl Kind for $type {
            const NAME: &'static str = stringify!($kind);
            fn of(object: &Object) -> Option<&Self> {
                if let Object::$kind(object) = object { Some(object) } else { None }
            }
        })*
    };
}

/// A kind that the case file knows.
pub trait Kind: Sized {
    /// As in `kind`.
    const NAME: &'static str;
    /// That object, if it is of this kind.
    fn of(object: &Object) -> Option<&Self>;
}

objects! {
    Pod(Pod), Deployment(Deployment), ReplicaSet(ReplicaSet), StatefulSet(StatefulSet), DaemonSet(DaemonSet),
    ControllerRevision(ControllerRevision), Job(Job), CronJob(CronJob), Service(Service), EndpointSlice(EndpointSlice),
    Ingress(Ingress), NetworkPolicy(NetworkPolicy), ConfigMap(ConfigMap), PersistentVolumeClaim(PersistentVolumeClaim),
    HorizontalPodAutoscaler(HorizontalPodAutoscaler), PodDisruptionBudget(PodDisruptionBudget), ResourceQuota(ResourceQuota),
    LimitRange(LimitRange), ServiceAccount(ServiceAccount), Role(RbacRole), RoleBinding(RoleBinding), Namespace(Namespace),
    Node(Node), PersistentVolume(PersistentVolume), StorageClass(StorageClass), IngressClass(IngressClass),
    PriorityClass(PriorityClass),
}

/// An object and the evidence that holds its newest form.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The object.
    pub object: Object,
    /// Evidence id.
    pub evidence: String,
    /// When it was seen.
    pub seen_at: Timestamp,
    /// Its uid; empty where it has none.
    pub uid: String,
    /// Its `apiVersion`.
    pub api_version: String,
}

/// One event, in the form that analyzers need.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// What it is about.
    pub object: ObjectName,
    /// `Warning` or `Normal`.
    pub warning: bool,
    /// `FailedScheduling`
    pub reason: String,
    /// What it says.
    pub message: String,
    /// How often.
    pub count: i32,
    /// First time.
    pub first: Option<Timestamp>,
    /// Last time.
    pub last: Option<Timestamp>,
    /// Evidence id.
    pub evidence: String,
}

/// The log of one container's run.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// The pod.
    pub pod: ObjectName,
    /// The container.
    pub container: String,
    /// The run before this one.
    pub previous: bool,
    /// Lines, with their time where the output has one.
    pub lines: Vec<LogLine>,
    /// Evidence id.
    pub evidence: String,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When the container wrote it.
    pub at: Option<Timestamp>,
    /// What it wrote.
    pub text: String,
}

/// What one container uses, as the metrics API tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Evidence id.
    pub evidence: String,
}

/// Something that was asked for and not, or not wholly, received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What was asked.
    pub command: Command,
    /// What came of it.
    pub state: EvidenceState,
    /// What was said.
    pub message: String,
    /// Evidence id.
    pub evidence: String,
}

/// Everything known about one incident.
#[derive(Clone, Debug)]
pub struct CaseFile {
    namespace: String,
    target: Option<ObjectName>,
    now: Timestamp,
    objects: BTreeMap<ObjectName, Entry>,
    events: Vec<EventRecord>,
    logs: Vec<LogRecord>,
    usage: Vec<Usage>,
    gaps: Vec<Gap>,
    asked: BTreeMap<Command, String>,
    evidence: BTreeSet<String>,
}

impl CaseFile {
    /// An empty one. `namespace` is the target's.
    pub fn new(namespace: &str, target: Option<ObjectName>, now: Timestamp) -> Self {
        Self {
            namespace: namespace.to_owned(),
            target,
            now,
            objects: BTreeMap::new(),
            events: Vec::new(),
            logs: Vec::new(),
            usage: Vec::new(),
            gaps: Vec::new(),
            asked: BTreeMap::new(),
            evidence: BTreeSet::new(),
        }
    }

    /// One with all of `evidence` added in its order.
    pub fn from_evidence(namespace: &str, target: Option<ObjectName>, now: Timestamp, evidence: &[Evidence]) -> Self {
        let mut case = Self::new(namespace, target, now);
        for one in evidence {
            case.add(one);
        }
        case
    }

    /// Adds one piece of evidence. Newer forms of an object replace older ones.
    pub fn add(&mut self, evidence: &Evidence) {
        self.asked.insert(evidence.command.clone(), evidence.id.clone());
        self.evidence.insert(evidence.id.clone());
    }

    /// The namespace that the incident is about.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object that the incident is about; none: the whole namespace.
    pub fn target(&self) -> Option<&ObjectName> {
        self.target.as_ref()
    }

    /// The time of the look.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether that command's output is here already, whatever came of it.
    pub fn has_asked(&self, command: &Command) -> bool {
        self.asked.contains_key(command)
    }

    /// Whether that evidence is in the file: nothing else may be cited.
    pub fn has_evidence(&self, id: &str) -> bool {
        self.evidence.contains(id)
    }

    /// One object, by name.
    pub fn entry(&self, name: &ObjectName) -> Option<&Entry> {
        self.objects.get(name)
    }

    /// Every object, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&ObjectName, &Entry)> {
        self.objects.iter()
    }

    /// One object of a known kind in the incident's namespace.
    pub fn get<K: Kind>(&self, name: &str) -> Option<&K> {
        let key = ObjectName::namespaced(K::NAME, self.namespace.clone(), name);
        self.objects.get(&key).and_then(|entry| K::of(&entry.object))
    }

    /// Every object of a known kind, with its name and evidence id.
    pub fn all<'a, K: Kind + 'a>(&'a self) -> impl Iterator<Item = (&'a ObjectName, &'a K, &'a str)> {
        self.objects
            .iter()
            .filter(|(name, _)| name.kind == K::NAME)
            .filter_map(|(name, entry)| K::of(&entry.object).map(|object| (name, object, entry.evidence.as_str())))
    }

    /// Every event.
    pub fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// Every log.
    pub fn logs(&self) -> &[LogRecord] {
        &self.logs
    }

    /// Usage of containers.
    pub fn usage(&self) -> &[Usage] {
        &self.usage
    }

    /// What is missing, forbidden, truncated or failed.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }
}
