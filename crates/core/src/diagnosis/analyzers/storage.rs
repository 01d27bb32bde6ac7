//! Claims that are not bound, storage classes that do not exist, volumes that do not attach or mount.
//!
//! Evidence: claims, storage classes, events. Looks alike: a class that binds only when a first pod comes (`WaitForFirstConsumer`).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "ClaimLost",
        "The volume that a claim was bound to is gone.",
        "Phase Lost of the claim.",
        "A claim that was never bound.",
    ),
    known(
        "StorageClassMissing",
        "A claim names a storage class that does not exist.",
        "The claim beside a complete list of classes, the controller's message.",
        "A volume made by hand with the same class name.",
    ),
    known(
        "ClaimNotBound",
        "No volume fits a claim, or its provisioner makes none.",
        "The claim and the controller's message.",
        "WaitForFirstConsumer: bound only when a pod comes.",
    ),
    known(
        "VolumeAttachedElsewhere",
        "A volume for one node is held by a pod on another.",
        "Multi-Attach events.",
        "A volume that is slow to attach.",
    ),
    known(
        "VolumeDoesNotMount",
        "A volume does not attach or mount.",
        "FailedMount and FailedAttachVolume events.",
        "A ConfigMap or Secret that is missing; a mount that was late once.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, claim_, evidence) in view.facts.case.all::<PersistentVolumeClaim>() {
        let phase = claim_
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or_default();
        match phase {
            "Pending" => found.extend(pending(view, name, claim_, evidence)),
            "Lost" => found.push(
                claim("ClaimLost", name, Depth::Fault, Basis::Stated, 1)
                    .says(format!(
                        "{name} has lost its volume: the PersistentVolume that it was bound to is gone"
                    ))
                    .cites([evidence])
                    .manual("restore the volume, or make a new claim from a backup")
                    .done(),
            ),
            _ => {}
        }
    }
    found.extend(mounts(view));
    found
}

fn pending(view: &View<'_>, name: &ObjectName, object: &PersistentVolumeClaim, evidence: &str) -> Option<Finding> {
    let case = view.facts.case;
    let spec = object.spec.as_ref()?;
    let event = view
        .facts
        .events(name)
        .iter()
        .copied()
        .filter(|event| event.warning)
        .max_by_key(|event| event.last);
    let classes = case.complete_list(Resource::StorageClasses);
    let class = spec.storage_class_name.as_deref().filter(|class| !class.is_empty());
    let known = class.is_some_and(|class| case.entry(&ObjectName::cluster("StorageClass", class)).is_some());
    let said = event.is_some_and(|event| event.message.contains("storageclass") && event.message.contains("not found"));
    if let Some(class) = class
        && !known
        && (classes.is_some() || said)
    {
        // A claim may name a class that exists nowhere and be bound by hand to a volume of that name.
        let by_hand = case
            .all::<PersistentVolume>()
            .any(|(_, pv, _)| pv.spec.as_ref().and_then(|s| s.storage_class_name.as_deref()) == Some(class));
        if !by_hand {
            let near = closest(
                class,
                case.all::<StorageClass>().map(|(other, _, _)| other.name.as_str()),
            );
            let default = case.all::<StorageClass>().find(|(_, class, _)| {
                crate::diagnosis::facts::annotation(&class.metadata, "storageclass.kubernetes.io/is-default-class")
                    == Some("true")
            });
            let hint = near
                .first()
                .map(|other| (*other).to_owned())
                .or_else(|| default.map(|(other, _, _)| other.name.clone()))
                .map_or(String::new(), |other| format!("; the class {other} exists"));
            return Some(
                claim("StorageClassMissing", name, Depth::Fault, if said { Basis::Stated } else { Basis::Inferred }, 1 + u8::from(said && classes.is_some()))
                    .says(format!("the claim {name} asks for storage class {class}, which does not exist, so it stays Pending{hint}"))
                    .cites([evidence].into_iter().chain(classes).chain(event.map(|event| event.evidence.as_str())))
                    .since(crate::diagnosis::facts::created(&object.metadata))
                    .manual(format!("make the claim {} anew with a class that exists (a claim's class is immutable), or create the class {class}{hint}", name.name))
                    .done(),
            );
        }
    }
    if let Some(event) = event {
        return Some(
            claim("ClaimNotBound", name, Depth::Fault, Basis::Stated, 1)
                .says(format!("the claim {name} is not bound: {}", clip(&event.message, 300)))
                .cites([evidence, event.evidence.as_str()])
                .since(event.first)
                .manual("see what the provisioner says; a claim's size and access mode must fit a volume")
                .done(),
        );
    }
    let waits = view
        .facts
        .events(name)
        .iter()
        .any(|event| event.reason == "WaitForFirstConsumer");
    let no_class = class.is_none() && classes.is_some();
    (no_class && !waits).then(|| {
        claim("ClaimNotBound", name, Depth::Fault, Basis::Inferred, 1)
            .says(format!(
                "the claim {name} names no storage class, and no volume fits it, so it stays Pending"
            ))
            .cites([evidence].into_iter().chain(classes))
            .manual("name a storage class, set a default one, or make a volume that fits")
            .done()
    })
}

fn mounts(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        let event = workload
            .pods
            .iter()
            .filter(|pod| !pod.is_ready() && !pod.is_over() && !pod.is_going() && !pod.has_run())
            .flat_map(|pod| view.facts.events(pod.name).iter().copied())
            .filter(|event| {
                matches!(
                    event.reason.as_str(),
                    "FailedMount" | "FailedAttachVolume" | "FailedMapVolume"
                )
            })
            // Missing objects are told by `references`.
            .filter(|event| !event.message.contains("not found") && !event.message.contains("non-existent"))
            .max_by_key(|event| event.count);
        let Some(event) = event else { continue };
        let twice = event.message.contains("Multi-Attach");
        let (category, advice) = if twice {
            (
                "VolumeAttachedElsewhere",
                "the volume may be used by one node at a time: stop the other pod, or use the Recreate strategy",
            )
        } else {
            ("VolumeDoesNotMount", "see the driver's message")
        };
        found.push(
            claim(category, &workload.name, Depth::Fault, Basis::Stated, 1)
                .says(format!(
                    "a volume of the pods of {} does not mount: {}",
                    workload.name,
                    clip(&event.message, 300)
                ))
                .cites([event.evidence.as_str(), workload.evidence])
                .since(event.first)
                .manual(advice)
                .done(),
        );
    }
    found
}
