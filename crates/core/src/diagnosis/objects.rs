//! Objects of the cluster as typed values, where Firewatch knows their kind; as they are, with the error, where not.
//! Must never fail on what a cluster says. Called by the case file.

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
use serde_json::Value;

use super::items;
use crate::sandbox::command::Resource;

/// An object with what names it.
pub(super) struct Read {
    pub kind: String,
    pub api_version: String,
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub object: Object,
}

impl Read {
    /// Whatever is JSON, as far as it names itself.
    fn tolerant(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        Some(Self {
            kind: text(&value, &["kind"]),
            api_version: text(&value, &["apiVersion"]),
            name: text(&value, &["metadata", "name"]),
            namespace: text(&value, &["metadata", "namespace"]),
            uid: text(&value, &["metadata", "uid"]),
            object: Object::from_value(value),
        })
    }
}

/// A string inside JSON; empty where it is not there.
pub(super) fn text(value: &Value, path: &[&str]) -> String {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

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
                    $(stringify!($kind) => match <$type as serde::Deserialize>::deserialize(&value) {
                        Ok(object) => Self::$kind(Box::new(object)),
                        Err(error) => Self::Unknown { value: Box::new(value), error: Some(error.to_string()) },
                    },)*
                    _ => Self::Unknown { value: Box::new(value), error: None },
                }
            }

            /// One object's text, parsed once where it is what its kind says; none where it is no object at all.
            pub(super) fn read(text: &str) -> Option<Read> {
                let typed = match items::field(text, "kind").unwrap_or_default() {
                    $(stringify!($kind) => serde_json::from_str::<$type>(text).ok().map(|object| Self::$kind(Box::new(object))),)*
                    _ => None,
                };
                let metadata = typed.as_ref().and_then(Self::metadata);
                let (Some(object), Some(metadata)) = (&typed, metadata) else { return Read::tolerant(text) };
                Some(Read {
                    kind: object.kind_name().to_owned(),
                    api_version: items::field(text, "apiVersion").unwrap_or_default().to_owned(),
                    name: metadata.name.clone().unwrap_or_default(),
                    namespace: metadata.namespace.clone().unwrap_or_default(),
                    uid: metadata.uid.clone().unwrap_or_default(),
                    object: typed?,
                })
            }

            fn kind_name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                    Self::Unknown { .. } => "",
                }
            }

            /// As JSON again.
            pub fn to_value(&self) -> Value {
                match self {
                    $(Self::$kind(object) => serde_json::to_value(object).unwrap_or_default(),)*
                    Self::Unknown { value, .. } => (**value).clone(),
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

/// The kind that a listed resource holds, as in `kind`.
pub fn kind_of(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "Pod",
        Resource::Deployments => "Deployment",
        Resource::ReplicaSets => "ReplicaSet",
        Resource::StatefulSets => "StatefulSet",
        Resource::DaemonSets => "DaemonSet",
        Resource::ControllerRevisions => "ControllerRevision",
        Resource::Jobs => "Job",
        Resource::CronJobs => "CronJob",
        Resource::Services => "Service",
        Resource::EndpointSlices => "EndpointSlice",
        Resource::Ingresses => "Ingress",
        Resource::NetworkPolicies => "NetworkPolicy",
        Resource::ConfigMaps => "ConfigMap",
        Resource::PersistentVolumeClaims => "PersistentVolumeClaim",
        Resource::HorizontalPodAutoscalers => "HorizontalPodAutoscaler",
        Resource::PodDisruptionBudgets => "PodDisruptionBudget",
        Resource::ResourceQuotas => "ResourceQuota",
        Resource::LimitRanges => "LimitRange",
        Resource::ServiceAccounts => "ServiceAccount",
        Resource::Roles => "Role",
        Resource::RoleBindings => "RoleBinding",
        Resource::Events => "Event",
        Resource::Namespaces => "Namespace",
        Resource::Nodes => "Node",
        Resource::PersistentVolumes => "PersistentVolume",
        Resource::StorageClasses => "StorageClass",
        Resource::IngressClasses => "IngressClass",
        Resource::PriorityClasses => "PriorityClass",
        Resource::VerticalPodAutoscalers => "VerticalPodAutoscaler",
    }
}
