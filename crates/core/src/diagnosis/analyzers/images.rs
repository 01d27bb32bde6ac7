//! Images that cannot be pulled: wrong name or tag, registry that does not resolve or answer, missing credentials, pull limits.
//!
//! Evidence: the container's waiting state, and events of the kubelet. Looks alike: a pull that is merely slow (`ContainerCreating`
//! without an error), which is none.

use super::{KnownCause, View, claim, known};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::waiting;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "ImagePullFailed",
    "An image cannot be pulled: its name, its tag, its registry, its credentials, or a limit.",
    "The waiting state and the kubelet's Failed events.",
    "A pull that is merely slow: ContainerCreating without an error.",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        let Some((pod, status, reason, message)) = workload.pods.iter().find_map(|pod| {
            pod.statuses().find_map(|(status, _)| {
                let (reason, message) = waiting(status)?;
                matches!(
                    reason,
                    "ErrImagePull"
                        | "ImagePullBackOff"
                        | "InvalidImageName"
                        | "ErrImageNeverPull"
                        | "RegistryUnavailable"
                        | "ImageInspectError"
                )
                .then_some((pod, status, reason, message))
            })
        }) else {
            continue;
        };
        let event = view
            .facts
            .events(pod.name)
            .iter()
            .copied()
            .filter(|event| event.reason == "Failed" && event.message.contains("pull"))
            .max_by_key(|event| event.message.len());
        let whole = format!("{message} {}", event.map_or("", |event| event.message.as_str())).to_ascii_lowercase();
        let why = why(reason, &whole);
        let image = pod
            .pod
            .spec
            .as_ref()
            .into_iter()
            .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
            .find(|container| container.name == status.name)
            .and_then(|container| container.image.as_deref())
            .unwrap_or(status.image.as_str());
        let before = workload.last_two().and_then(|(_, before)| {
            let spec = before.template.spec.as_ref()?;
            let old = spec
                .containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
                .find(|c| c.name == status.name)?
                .image
                .clone()?;
            (old != image).then(|| KnownValue {
                value: old,
                source: format!("revision {} of {}", before.number, workload.name),
                evidence: vec![before.evidence.to_owned()],
            })
        });
        found.push(
            claim(
                "ImagePullFailed",
                &workload.name,
                Depth::Fault,
                Basis::Stated,
                1 + u8::from(event.is_some()),
            )
            .says(format!(
                "the image {image} of container {} of {} cannot be pulled: {why}",
                status.name, workload.name
            ))
            .cites(
                [pod.evidence, workload.evidence]
                    .into_iter()
                    .chain(event.map(|event| event.evidence.as_str())),
            )
            .since(pod.created())
            .remedy(Remedy::Image {
                container: ContainerRef {
                    workload: workload.name.clone(),
                    container: status.name.clone(),
                },
                from: image.to_owned(),
                to: before,
            })
            .done(),
        );
    }
    found
}

fn why(reason: &str, text: &str) -> &'static str {
    if reason == "InvalidImageName" || text.contains("invalid reference format") {
        "its name is not a valid image reference"
    } else if reason == "ErrImageNeverPull" {
        "imagePullPolicy is Never, and the node does not have it"
    } else if text.contains("dial tcp: lookup ")
        || text.contains("no such host")
        || text.contains("name resolution")
        || text.contains("server misbehaving")
    {
        "the name of its registry does not resolve"
    } else if text.contains("toomanyrequests") || text.contains("429") {
        "the registry's pull limit is reached"
    } else if text.contains("unauthorized")
        || text.contains("authentication required")
        || text.contains("401")
        || text.contains("403")
        || text.contains("denied")
    {
        "the registry refuses it: no such repository, or missing credentials (imagePullSecrets)"
    } else if text.contains("not found") || text.contains("manifest unknown") || text.contains("404") {
        "the registry does not have it: not found"
    } else if text.contains("no match for platform") {
        "the registry has it, but not for the node's platform"
    } else if text.contains("connection refused") || text.contains("i/o timeout") || text.contains("no route to host") {
        "its registry cannot be reached"
    } else if text.contains("x509") || text.contains("certificate") {
        "the registry's certificate is not trusted"
    } else {
        "the registry does not give it"
    }
}
