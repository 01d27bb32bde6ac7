//! Pods that the kubelet took off their node: for their own use of ephemeral storage, or because the node ran short.
//!
//! Evidence: pods with reason `Evicted` and the kubelet's message. Looks alike: a memory kill (`OOMKilled`, the same exit code 137), a
//! drain, and one pod that was evicted and has been replaced.

use std::sync::LazyLock;

use regex::Regex;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::text::clip;

/// `The node was low on resource: memory. … Container app was using 2Gi, request is 0, has larger consumption of memory.`
static USED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"Container (\S+) was using (\S+), request is ([^,\s]+)").ok());
static LOW: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:low on resource: |node had condition: \[)([A-Za-z-]+)").ok());
static OWN_LIMIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)Container (\S+) exceeded its local ephemeral storage limit "([^"]+)"|Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)"|ephemeral local storage usage exceeds the total limit of containers ([^\s.]+)"#).ok()
});

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "Evicted",
        "The kubelet took pods off their node, because the node ran short of memory, disk or process ids.",
        "Pods with reason Evicted and the kubelet's message: what was used and requested.",
        "Exit code 137 of a memory kill (OOMKilled) or a liveness probe; one pod that was evicted and has been replaced.",
    ),
    known(
        "EphemeralStorageExceeded",
        "A container writes more to its local disk (layers, logs, emptyDir) than its limit allows, and is evicted.",
        "Pods with reason Evicted and the kubelet's message that names the limit.",
        "A node that ran short of disk; a claim's volume that is full.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    view.facts.workloads.iter().filter_map(judge).collect()
}

fn judge(workload: &Workload<'_>) -> Option<Finding> {
    let gone: Vec<&PodFacts<'_>> = workload
        .pods
        .iter()
        .filter(|pod| pod.pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted"))
        .collect();
    let last = gone.iter().max_by_key(|pod| pod.created())?;
    // Evicted once and replaced by pods that serve: over.
    if workload
        .desired
        .is_some_and(|desired| workload.ready() >= usize::try_from(desired).unwrap_or(0))
        && gone.len() < 2
    {
        return None;
    }
    // A Job whose pod was evicted and that has done its work since is done.
    if !workload.is_service() && workload.pods.iter().any(|pod| pod.phase() == "Succeeded") {
        return None;
    }
    let message = last
        .pod
        .status
        .as_ref()
        .and_then(|status| status.message.as_deref())
        .unwrap_or("no reason given");
    let cited: Vec<&str> = gone.iter().map(|pod| pod.evidence).chain([workload.evidence]).collect();
    Some(
        own_limit(workload, message, gone.len(), &cited)
            .unwrap_or_else(|| node_short(workload, last, message, gone.len(), &cited)),
    )
}

fn own_limit(workload: &Workload<'_>, message: &str, times: usize, cited: &[&str]) -> Option<Finding> {
    let captures = OWN_LIMIT.as_ref()?.captures(message)?;
    let get = |n: usize| captures.get(n).map(|m| m.as_str());
    let (what, remedy) = match (get(1), get(2), get(3), get(4), get(5)) {
        (Some(container), Some(limit), ..) => (
            format!("container {container} writes more than its ephemeral-storage limit of {limit}"),
            Remedy::Resources {
                container: ContainerRef {
                    workload: workload.name.clone(),
                    container: container.to_owned(),
                },
                field: "limits.ephemeral-storage".to_owned(),
                from: Some(limit.to_owned()),
                to: None,
            },
        ),
        (_, _, Some(volume), Some(limit), _) => (
            format!("the emptyDir volume {volume} holds more than its sizeLimit of {limit}"),
            Remedy::Manual {
                instruction: format!(
                    "let the program clean up what it writes to volume {volume}, or raise its sizeLimit above {limit}"
                ),
            },
        ),
        (.., Some(limit)) => (
            format!("the pod writes more than the ephemeral-storage limits of its containers ({limit} together)"),
            Remedy::Manual {
                instruction: format!(
                    "let the program clean up what it writes, or raise limits.ephemeral-storage above {limit}"
                ),
            },
        ),
        _ => return None,
    };
    Some(
        claim(
            "EphemeralStorageExceeded",
            &workload.name,
            Depth::Fault,
            Basis::Stated,
            1 + u8::from(times > 1),
        )
        .says(format!("pods of {} are evicted ({times}): {what}", workload.name))
        .cites(cited.iter().copied())
        .remedy(remedy)
        .long_term("log to standard output, rotate files, and give what must grow a volume of its own")
        .done(),
    )
}

fn node_short(workload: &Workload<'_>, pod: &PodFacts<'_>, message: &str, times: usize, cited: &[&str]) -> Finding {
    let resource = LOW
        .as_ref()
        .and_then(|regex| regex.captures(message))
        .and_then(|captures| captures.get(1))
        .map_or("a resource", |m| m.as_str());
    let node = pod.pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let used = USED
        .as_ref()
        .and_then(|regex| regex.captures(message))
        .map_or(String::new(), |captures| {
            let get = |n: usize| captures.get(n).map_or("", |m| m.as_str().trim_end_matches('.'));
            format!("; container {} used {} and requested {}", get(1), get(2), get(3))
        });
    claim("Evicted", &workload.name, Depth::Fault, Basis::Stated, 1)
        .says(format!(
            "{times} pods of {} were evicted: {} was low on {resource}{used} ({})",
            workload.name,
            node.unwrap_or("their node"),
            clip(message, 300)
        ))
        .cites(cited.iter().copied())
        .points_to(node.map(|node| ObjectName::cluster("Node", node)))
        .manual(format!(
            "give the containers {resource} requests that match what they use, or relieve the node"
        ))
        .done()
}
