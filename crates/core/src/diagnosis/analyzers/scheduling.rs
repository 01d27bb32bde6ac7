//! Pods that fit no node: requests, node selectors and affinity, pod affinity, taints, spread, host ports, cordons.
//!
//! Evidence: the scheduler's own words (condition and events), the pod's spec, nodes. Looks alike: a claim that is not bound, which is
//! `storage`'s, and a pod that a quota never let be made, which is `policy`'s.

mod reasons;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::text::clip;
use reasons::{
    affinity, anti_affinity, clauses, cordoned, insufficient, is_control_plane, other_zone, selector, taints,
};

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "InsufficientResources",
        "No node has what the pod requests.",
        "The scheduler's message, requests, allocatable of the nodes.",
        "A quota: then the pod is never made.",
    ),
    known(
        "NodeSelectorMatchesNothing",
        "No node fits the node selector or required node affinity.",
        "The scheduler's message, the pod's selector, labels of the nodes.",
        "A volume that is bound to another zone (volume node affinity).",
    ),
    known(
        "AntiAffinityUnsatisfiable",
        "Required pod anti-affinity leaves no node.",
        "The scheduler's message.",
        "A rollout whose old pod still holds the node for a moment.",
    ),
    known(
        "AffinityUnsatisfiable",
        "Required pod affinity finds no pod to be near.",
        "The scheduler's message.",
        "Anti-affinity, which has nearly the same words.",
    ),
    known(
        "TaintNotTolerated",
        "The nodes that would fit have a taint that the pod does not tolerate.",
        "The scheduler's message, taints of the nodes.",
        "A cordon, which is a taint too.",
    ),
    known(
        "TopologySpreadUnsatisfiable",
        "Topology spread constraints leave no node.",
        "The scheduler's message.",
        "Anti-affinity.",
    ),
    known(
        "HostPortTaken",
        "The host port of the pod is taken on every node.",
        "The scheduler's message.",
        "A port that a process inside the pod holds (address in use).",
    ),
    known(
        "NodesCordoned",
        "The nodes that would fit are cordoned.",
        "The scheduler's message, spec.unschedulable.",
        "A node that is not ready.",
    ),
    known(
        "VolumeOnOtherNode",
        "The volume of the pod's claim can be used only on nodes that do not take the pod.",
        "The scheduler's message, the volume's node affinity.",
        "A node selector of the pod that no node fits.",
    ),
    known(
        "NodeNotReady",
        "The nodes that would fit are not ready or not reachable.",
        "The scheduler's message with Kubernetes' own taint, the node.",
        "A taint that a person has set.",
    ),
    known(
        "NodeUnderPressure",
        "The nodes that would fit are short of disk, memory or process ids, so Kubernetes has tainted them.",
        "The scheduler's message with Kubernetes' own taint, the node.",
        "A taint that a person has set.",
    ),
    known(
        "WaitsForClaim",
        "The pod waits for a claim; the claim says why.",
        "The scheduler's message, the pod's volumes.",
        "A class that binds only when a first pod comes.",
    ),
    known(
        "NodesFull",
        "Every node runs as many pods as it may.",
        "The scheduler's message.",
        "Insufficient CPU or memory.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        let pending = workload.pods.iter().find(|pod| {
            pod.phase() == "Pending"
                && !pod.is_going()
                && pod
                    .condition("PodScheduled")
                    .is_some_and(|(status, _)| status == "False")
        });
        if let Some(pod) = pending {
            found.extend(judge(view, workload, pod));
        }
    }
    found
}

fn judge(view: &View<'_>, workload: &Workload<'_>, pod: &PodFacts<'_>) -> Vec<Finding> {
    let condition = pod
        .pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled")
        .and_then(|condition| condition.message.clone());
    let event = view
        .facts
        .events(pod.name)
        .iter()
        .copied()
        .filter(|event| event.reason == "FailedScheduling")
        .max_by_key(|event| event.last);
    let Some(message) = condition.or_else(|| event.map(|event| event.message.clone())) else {
        return Vec::new();
    };
    let mut clauses = clauses(&message);
    // The taint of the control plane is meant to stay: it is a cause only where nothing else stands in the way.
    if clauses.iter().any(|(_, text)| !is_control_plane(text)) {
        clauses.retain(|(_, text)| !is_control_plane(text));
    }
    // What keeps the pod from most nodes comes first.
    clauses.sort_by_key(|(nodes, _)| std::cmp::Reverse(*nodes));
    let most = clauses.first().map_or(0, |(nodes, _)| *nodes);
    let spec = pod.pod.spec.as_ref();
    let cited: Vec<&str> = [pod.evidence, workload.evidence]
        .into_iter()
        .chain(event.map(|event| event.evidence.as_str()))
        .collect();
    let agreeing = 1 + u8::from(event.is_some());
    let mut found: Vec<Finding> = Vec::new();
    let mut push = |finding: Finding| {
        if !found.iter().any(|known| known.category == finding.category) {
            found.push(finding);
        }
    };
    let pods = format!("pods of {}", workload.name);
    for (nodes, clause) in clauses {
        let weight = if nodes == most { agreeing } else { agreeing - 1 };
        let fault = |category: &str| {
            claim(category, &workload.name, Depth::Fault, Basis::Stated, weight)
                .cites(cited.iter().copied())
                .since(pod.created())
        };
        let lower = clause.to_ascii_lowercase();
        if let Some(resource) = lower
            .split_once("insufficient ")
            .map(|(_, rest)| rest.trim().to_owned())
        {
            push(insufficient(
                view,
                workload,
                pod,
                &resource,
                &fault("InsufficientResources"),
            ));
        } else if lower.contains("persistentvolume's node affinity") || lower.contains("volume node affinity") {
            push(other_zone(view, workload, pod, &pods, &fault("VolumeOnOtherNode")));
        } else if lower.contains("node affinity/selector")
            || lower.contains("node selector")
            || lower.contains("node affinity")
            || lower.contains("requested node name")
        {
            push(selector(view, workload, pod, &fault("NodeSelectorMatchesNothing")));
        } else if lower.contains("existing pods anti-affinity") {
            push(
                fault("AntiAffinityUnsatisfiable")
                    .says(format!(
                        "{pods} cannot be scheduled: pods that run already refuse to share a node with them (their required pod anti-affinity)"
                    ))
                    .manual("correct the anti-affinity of the pods that run there, or add nodes")
                    .done(),
            );
        } else if lower.contains("anti-affinity") {
            push(anti_affinity(
                view,
                workload,
                &pods,
                &fault("AntiAffinityUnsatisfiable"),
            ));
        } else if lower.contains("pod affinity") {
            push(
                fault("AffinityUnsatisfiable")
                    .says(format!(
                        "{pods} cannot be scheduled: required pod affinity finds no pod to be near{}",
                        affinity(workload)
                    ))
                    .manual("correct the affinity's selector, or start the pods that it asks for")
                    .done(),
            );
        } else if lower.contains("taint") {
            let taint = clause
                .split_once('{')
                .map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
            push(taints(view, taint, &pods, workload, pod, &fault("TaintNotTolerated")));
        } else if lower.contains("topology spread") {
            push(
                fault("TopologySpreadUnsatisfiable")
                    .says(format!(
                        "{pods} cannot be scheduled: their topology spread constraints fit no node{}",
                        if lower.contains("missing required label") {
                            ": the nodes do not have the label that topologyKey names"
                        } else {
                            ""
                        }
                    ))
                    .manual("relax whenUnsatisfiable or maxSkew, or add nodes in the missing domain")
                    .done(),
            );
        } else if lower.contains("free ports") {
            push(
                fault("HostPortTaken")
                    .says(format!(
                        "{pods} cannot be scheduled: their host port is taken on every node"
                    ))
                    .manual("remove the hostPort, or run at most one pod for each node")
                    .done(),
            );
        } else if lower.contains("unschedulable") {
            push(cordoned(view, &pods, &fault("NodesCordoned")));
        } else if lower.contains("unbound")
            || lower.contains("persistentvolumeclaim")
            || lower.contains("persistent volumes to bind")
            || lower.contains("non-existent pv")
        {
            let claims = spec
                .into_iter()
                .flat_map(|spec| spec.volumes.iter().flatten())
                .filter_map(|volume| volume.persistent_volume_claim.as_ref())
                .map(|source| {
                    ObjectName::namespaced("PersistentVolumeClaim", workload.namespace(), source.claim_name.clone())
                });
            push(
                claim(
                    "WaitsForClaim",
                    &workload.name,
                    Depth::Mechanism,
                    Basis::Stated,
                    agreeing,
                )
                .says(format!("{pods} cannot be scheduled: {}", clip(&clause, 200)))
                .cites(cited.iter().copied())
                .points_to(claims)
                .since(pod.created())
                .manual("see the claim that the pods mount")
                .done(),
            );
        } else if lower.contains("max volume count") {
            push(
                fault("NodesFull")
                    .says(format!(
                        "{pods} cannot be scheduled: the nodes have as many volumes attached as they may"
                    ))
                    .manual("add nodes, or remove pods with volumes")
                    .done(),
            );
        } else if lower.contains("too many pods") {
            push(
                fault("NodesFull")
                    .says(format!(
                        "{pods} cannot be scheduled: every node runs as many pods as it may"
                    ))
                    .manual("add nodes, or remove pods")
                    .done(),
            );
        }
    }
    found
}
