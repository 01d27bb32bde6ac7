//! Objects of the case file as JSON, and the targets and containers that actions name. Pure. Called by `remedies` and `verify`.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::change::Container;
use crate::api::{ActionTarget, ObjectName};
use crate::diagnosis::CaseFile;
use crate::diagnosis::case_file::{Entry, Object};

/// An object of the case file as JSON. `Null` where its kind is not one that actions change.
pub fn json(object: &Object) -> Value {
    let value = match object {
        Object::Deployment(o) => serde_json::to_value(o),
        Object::StatefulSet(o) => serde_json::to_value(o),
        Object::DaemonSet(o) => serde_json::to_value(o),
        Object::CronJob(o) => serde_json::to_value(o),
        Object::ConfigMap(o) => serde_json::to_value(o),
        Object::Service(o) => serde_json::to_value(o),
        Object::HorizontalPodAutoscaler(o) => serde_json::to_value(o),
        Object::PodDisruptionBudget(o) => serde_json::to_value(o),
        Object::ResourceQuota(o) => serde_json::to_value(o),
        Object::Node(o) => serde_json::to_value(o),
        Object::ControllerRevision(o) => serde_json::to_value(o),
        _ => return Value::Null,
    };
    value.unwrap_or_default()
}

/// The newest ControllerRevision of an object; `None` for kinds that carry their revision themselves.
pub fn revision(case: &CaseFile, entry: &Entry) -> Option<i64> {
    if matches!(entry.object, Object::Deployment(_)) {
        return None;
    }
    let all: Vec<Value> = case
        .entries()
        .filter(|(name, _)| name.kind == "ControllerRevision")
        .map(|(_, entry)| json(&entry.object))
        .collect();
    super::standing::controller_revision(&entry.uid, &all)
}

/// An object as the target of an action, pinned by the uid that was seen.
pub fn target(name: &ObjectName, entry: &Entry) -> ActionTarget {
    ActionTarget {
        api_version: entry.api_version.clone(),
        kind: name.kind.clone(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        uid: entry.uid.clone(),
    }
}

/// Where a container stands in a pod template, and the container.
pub fn container<'a>(kind: &str, object: &'a Value, name: &str) -> Option<(Container, &'a Value)> {
    [false, true].into_iter().find_map(|init| {
        let all = pod_spec(kind, object)?
            .get(if init { "initContainers" } else { "containers" })?
            .as_array()?;
        let (index, found) = all
            .iter()
            .enumerate()
            .find(|(_, one)| one.get("name").and_then(Value::as_str) == Some(name))?;
        let place = Container {
            name: name.to_owned(),
            index: i32::try_from(index).ok()?,
            init,
        };
        Some((place, found))
    })
}

/// The spec of an object's pod template.
pub fn pod_spec<'a>(kind: &str, object: &'a Value) -> Option<&'a Value> {
    object.pointer(if kind == "CronJob" {
        "/spec/jobTemplate/spec/template/spec"
    } else {
        "/spec/template/spec"
    })
}

/// Whether a pod is one of a workload's, by its owner's name: ReplicaSets carry that of their Deployment, and a hash.
pub fn belongs(pod: &Pod, workload: &ObjectName) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| {
        (owner.kind == workload.kind && owner.name == workload.name)
            || (owner.kind == "ReplicaSet"
                && workload.kind == "Deployment"
                && owner
                    .name
                    .rsplit_once('-')
                    .is_some_and(|(name, _)| name == workload.name))
    })
}
