//! Claims that are not bound, storage classes that do not exist, volumes that do not attach or mount.
//!
//! Evidence: claims, storage classes, events. Looks alike: a class that binds only when a first pod comes (`WaitForFirstConsumer`).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::jiff::SignedDuration;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::quantity;
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;
use crate::text::clip;

/// A provisioner that has not answered for so long does not.
const PROVISIONER_SECS: i64 = 120;

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
        "AccessModeUnsupported",
        "A claim asks for an access mode that its volume or class does not offer.",
        "The claim beside the volumes, the provisioner's message.",
        "A volume that is held by another pod (Multi-Attach).",
    ),
    known(
        "ClaimTooLarge",
        "A claim asks for more than any volume of its class has.",
        "The claim beside the volumes.",
        "A provisioner that makes volumes on demand; a quota.",
    ),
    known(
        "VolumeReleased",
        "The volume that would fit still belongs to a claim that was deleted.",
        "Phase Released of the volume.",
        "A volume that is bound to a claim that exists.",
    ),
    known(
        "ProvisionerSilent",
        "The provisioner that a class names makes no volume.",
        "ExternalProvisioning for longer than two minutes, and no word of the provisioner.",
        "A volume that is just being made; a class that waits for the first pod.",
    ),
    known(
        "HostPathMissing",
        "A hostPath is not on the node, or of another type.",
        "FailedMount: hostPath type check failed.",
        "A claim that is missing.",
    ),
    known(
        "CsiDriverMissing",
        "The volume's CSI driver does not run on the node.",
        "FailedMount: not found in the list of registered CSI drivers.",
        "A driver that runs and refuses.",
    ),
    known(
        "RemoteVolumeRefused",
        "The server of a network volume does not answer or refuses the node.",
        "FailedMount with the words of mount.",
        "A CSI driver that is missing.",
    ),
    known(
        "FileSystemDamaged",
        "The volume's file system is damaged or of another type.",
        "FailedMount: wrong fs type, bad superblock, fsck.",
        "A read-only mount.",
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
        // That no volume fits is a Normal event of the controller.
        .filter(|event| event.warning || event.reason == "FailedBinding")
        .max_by_key(|event| event.last);
    let classes = case.complete_list(Resource::StorageClasses);
    let class = spec.storage_class_name.as_deref().filter(|class| !class.is_empty());
    if spec.volume_name.is_some()
        && let Some(finding) = unfit(view, name, object, evidence)
    {
        return Some(finding);
    }
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
    if let Some(finding) = unfit(view, name, object, evidence) {
        return Some(finding);
    }
    if let Some(event) = event.filter(|event| event.warning) {
        let lower = event.message.to_ascii_lowercase();
        let modes = ["access mode", "accessmode", "readwritemany", "readwriteonce"];
        if modes.iter().any(|word| lower.contains(word)) {
            return Some(
                claim("AccessModeUnsupported", name, Depth::Fault, Basis::Stated, 2)
                    .says(format!(
                        "the claim {name} asks for access mode {}, which its storage does not offer, so it stays Pending: {}",
                        modes_of(spec.access_modes.as_ref()),
                        clip(&event.message, 240)
                    ))
                    .cites([evidence, event.evidence.as_str()])
                    .since(event.first)
                    .manual("make the claim anew with an access mode that the storage offers (a claim's mode is immutable), or use a class that offers it")
                    .done(),
            );
        }
        return Some(
            claim("ClaimNotBound", name, Depth::Fault, Basis::Stated, 1)
                .says(format!("the claim {name} is not bound: {}", clip(&event.message, 300)))
                .cites([evidence, event.evidence.as_str()])
                .since(event.first)
                .manual("see what the provisioner says; a claim's size and access mode must fit a volume")
                .done(),
        );
    }
    let told = |reason: &str| {
        view.facts
            .events(name)
            .iter()
            .copied()
            .find(|event| event.reason == reason)
    };
    if let Some(event) = told("ExternalProvisioning").filter(|event| {
        let since = event
            .first
            .or_else(|| crate::diagnosis::facts::created(&object.metadata));
        since.is_some_and(|at| case.now().duration_since(at) >= SignedDuration::from_secs(PROVISIONER_SECS))
    }) {
        return Some(
            claim("ProvisionerSilent", name, Depth::Fault, Basis::Stated, 0)
                .says(format!(
                    "the claim {name} waits for a provisioner that makes no volume: {}",
                    clip(&event.message, 240)
                ))
                .cites([evidence, event.evidence.as_str()])
                .since(event.first)
                .manual("see whether the provisioner that the storage class names runs, and what it says")
                .done(),
        );
    }
    let by_default = case.all::<StorageClass>().any(|(_, class, _)| {
        crate::diagnosis::facts::annotation(&class.metadata, "storageclass.kubernetes.io/is-default-class")
            == Some("true")
    });
    // A claim without a class gets the default one, where there is one; only the empty name asks for none.
    let no_class = class.is_none() && classes.is_some() && !(by_default && spec.storage_class_name.is_none());
    let waits = told("WaitForFirstConsumer").is_some();
    (no_class && !waits).then(|| {
        claim("ClaimNotBound", name, Depth::Fault, Basis::Inferred, 1)
            .says(format!(
                "the claim {name} names no storage class, and no volume fits it, so it stays Pending"
            ))
            .cites(
                [evidence]
                    .into_iter()
                    .chain(classes)
                    .chain(event.map(|event| event.evidence.as_str())),
            )
            .manual("name a storage class, set a default one, or make a volume that fits")
            .done()
    })
}

fn modes_of(modes: Option<&Vec<String>>) -> String {
    modes.map_or("none".to_owned(), |modes| modes.join(", "))
}

/// Volumes made by hand that the claim would take, but for one thing.
fn unfit(view: &View<'_>, name: &ObjectName, object: &PersistentVolumeClaim, evidence: &str) -> Option<Finding> {
    let spec = object.spec.as_ref()?;
    let class = spec.storage_class_name.as_deref().unwrap_or_default();
    let dynamic = view
        .facts
        .case
        .all::<StorageClass>()
        .any(|(known, storage, _)| known.name == class && storage.provisioner != "kubernetes.io/no-provisioner");
    // Without the classes nobody can say that no provisioner will make a volume.
    let unknown = view.facts.case.complete_list(Resource::StorageClasses).is_none();
    if (dynamic || unknown) && spec.volume_name.is_none() {
        return None;
    }
    let wanted = spec
        .resources
        .as_ref()
        .and_then(|r| r.requests.as_ref()?.get("storage"));
    let mut reasons: Vec<(&'static str, String, &str)> = Vec::new();
    for (volume, pv, id) in view.facts.case.all::<PersistentVolume>() {
        let Some(offer) = &pv.spec else { continue };
        let phase = pv
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or_default();
        let meant = spec.volume_name.as_deref() == Some(volume.name.as_str());
        if !meant && (spec.volume_name.is_some() || offer.storage_class_name.as_deref().unwrap_or_default() != class) {
            continue;
        }
        let holder = offer.claim_ref.as_ref();
        let ours = holder
            .is_none_or(|claim| claim.name.as_deref() == Some(name.name.as_str()) && claim.namespace == name.namespace);
        let capacity = offer.capacity.as_ref().and_then(|c| c.get("storage"));
        let small = wanted
            .zip(capacity)
            .and_then(|(wanted, has)| Some(quantity::bytes(&has.0)? < quantity::bytes(&wanted.0)?))
            .unwrap_or(false);
        let missing: Vec<&String> = spec
            .access_modes
            .iter()
            .flatten()
            .filter(|mode| !offer.access_modes.iter().flatten().any(|offered| offered == *mode))
            .collect();
        if meant && offer.storage_class_name.as_deref().unwrap_or_default() != class {
            let text = format!(
                "{volume} has the storage class {:?} and the claim asks for {class:?}",
                offer.storage_class_name.as_deref().unwrap_or_default()
            );
            reasons.push(("ClaimNotBound", text, id));
        } else if phase == "Released" {
            let text = format!("{volume} would fit and is Released: it still belongs to the claim that was deleted");
            reasons.push(("VolumeReleased", text, id));
        } else if !ours || phase == "Bound" {
            if meant {
                reasons.push(("ClaimNotBound", format!("{volume} belongs to another claim"), id));
            }
        } else if !missing.is_empty() {
            let text = format!(
                "the claim asks for access mode {} and {volume} offers {}",
                modes_of(spec.access_modes.as_ref()),
                modes_of(offer.access_modes.as_ref())
            );
            reasons.push(("AccessModeUnsupported", text, id));
        } else if small {
            let text = format!(
                "the claim asks for {} and {volume} has {}",
                wanted.map_or("", |q| q.0.as_str()),
                capacity.map_or("", |q| q.0.as_str())
            );
            reasons.push(("ClaimTooLarge", text, id));
        }
    }
    let (category, _, _) = reasons.first()?;
    let shown: Vec<&str> = reasons.iter().take(3).map(|(_, text, _)| text.as_str()).collect();
    let advice = match *category {
        "VolumeReleased" => {
            "if its data may be used: remove spec.claimRef of the volume, so that it is Available again"
        }
        "AccessModeUnsupported" => {
            "make the claim anew with an access mode that the volume offers (a claim's mode is immutable)"
        }
        "ClaimTooLarge" => "make the claim anew within what the volume has, or a larger volume",
        _ => "make claim and volume fit: class, size, access mode",
    };
    Some(
        claim(category, name, Depth::Fault, Basis::Inferred, 2)
            .says(format!(
                "the claim {name} is not bound and stays Pending: {}",
                shown.join("; ")
            ))
            .cites(
                [evidence]
                    .into_iter()
                    .chain(reasons.iter().take(3).map(|(_, _, id)| *id)),
            )
            .since(crate::diagnosis::facts::created(&object.metadata))
            .manual(advice)
            .done(),
    )
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
            // Missing objects and keys are told by `references`.
            .filter(|event| !is_reference(&event.message))
            // The kubelet sums up what it waits for; the message before says why.
            .max_by_key(|event| {
                (
                    !event.message.contains("timed out waiting for the condition"),
                    event.count,
                )
            });
        let Some(event) = event else { continue };
        let (category, advice) = mount_failure(&event.message);
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

/// Whether the message is about a ConfigMap, Secret or claim of the pod's own spec.
fn is_reference(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    lower.contains("non-existent")
        || (lower.contains("not found")
            && !lower.contains("kube-root-ca.crt")
            && ["configmap \"", "secret \"", "persistentvolumeclaim \""]
                .iter()
                .any(|kind| lower.contains(kind)))
}

fn mount_failure(message: &str) -> (&'static str, &'static str) {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["Multi-Attach"]) {
        (
            "VolumeAttachedElsewhere",
            "the volume may be used by one node at a time: stop the other pod, or use the Recreate strategy",
        )
    } else if has(&["hostPath type check failed"]) {
        (
            "HostPathMissing",
            "make the path on the node, let its hostPath type create it (DirectoryOrCreate), or use a claim",
        )
    } else if has(&["list of registered CSI drivers"]) {
        (
            "CsiDriverMissing",
            "see why the driver's node plugin does not run on this node (its DaemonSet, its tolerations)",
        )
    } else if has(&[
        "mount.nfs",
        "nfs: ",
        "Connection timed out",
        "No route to host",
        "access denied by server",
    ]) {
        (
            "RemoteVolumeRefused",
            "see whether the server of the volume answers this node and exports that path",
        )
    } else if has(&["wrong fs type", "bad superblock", "fsck"]) {
        (
            "FileSystemDamaged",
            "check the file system of the volume, or name the type that it really has",
        )
    } else {
        ("VolumeDoesNotMount", "see the driver's message")
    }
}
