//! Pods that fit no node: requests, node selectors and affinity, pod affinity, taints, spread, host ports, cordons.
//!
//! Evidence: the scheduler's own words (condition and events), the pod's spec, nodes. Looks alike: a claim that is not bound, which is
//! `storage`'s, and a pod that a quota never let be made, which is `policy`'s.

use k8s_openapi::api::core::v1::Node;

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::quantity;
use crate::diagnosis::remedy::{ContainerRef, Remedy};
use crate::text::clip;

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
    // What follows "preemption:" is about evicting others, and repeats.
    let head = message.split("preemption:").next().unwrap_or(&message);
    let head = head.split_once("available:").map_or(head, |(_, rest)| rest);
    let clauses: Vec<&str> = head
        .split([',', '.'])
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .collect();
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
    let fault = |category: &str| {
        claim(category, &workload.name, Depth::Fault, Basis::Stated, agreeing)
            .cites(cited.iter().copied())
            .since(pod.created())
    };
    let pods = format!("pods of {}", workload.name);
    for clause in clauses {
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
        } else if lower.contains("node affinity/selector")
            || lower.contains("node selector")
            || lower.contains("node affinity") && !lower.contains("volume")
        {
            let selector = spec.and_then(|spec| spec.node_selector.as_ref());
            let wanted = selector.map_or_else(
                || "its required node affinity".to_owned(),
                |labels| {
                    format!(
                        "nodeSelector {}",
                        labels
                            .iter()
                            .map(|(k, v)| format!("{k}={v}"))
                            .collect::<Vec<_>>()
                            .join(",")
                    )
                },
            );
            push(
                fault("NodeSelectorMatchesNothing")
                    .says(format!(
                        "{pods} cannot be scheduled: {wanted} matches no node (node selector/affinity)"
                    ))
                    .cites(view.facts.case.all::<Node>().map(|(_, _, id)| id).take(1))
                    .manual(format!("correct or remove {wanted}, or label a node accordingly"))
                    .done(),
            );
        } else if lower.contains("anti-affinity") {
            push(
                fault("AntiAffinityUnsatisfiable")
                    .says(format!(
                        "{pods} cannot be scheduled: required pod anti-affinity allows one replica for each topology domain, and there are fewer domains (nodes) than the {} replicas",
                        workload.desired.unwrap_or(1)
                    ))
                    .manual("make the anti-affinity preferred, lower the replicas, or add nodes")
                    .done(),
            );
        } else if lower.contains("pod affinity") {
            push(
                fault("AffinityUnsatisfiable")
                    .says(format!(
                        "{pods} cannot be scheduled: required pod affinity finds no pod to be near"
                    ))
                    .manual("correct the affinity's selector, or start the pods that it asks for")
                    .done(),
            );
        } else if lower.contains("taint") {
            let taint = clause
                .split_once('{')
                .map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
            push(taints(view, taint, &pods, workload, &fault("TaintNotTolerated")));
        } else if lower.contains("topology spread") {
            push(
                fault("TopologySpreadUnsatisfiable")
                    .says(format!(
                        "{pods} cannot be scheduled: their topology spread constraints fit no node"
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
            || lower.contains("volume node affinity")
            || lower.contains("bind")
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
                .says(format!("{pods} cannot be scheduled: {}", clip(clause, 200)))
                .cites(cited.iter().copied())
                .points_to(claims)
                .since(pod.created())
                .manual("see the claim that the pods mount")
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

fn insufficient(
    view: &View<'_>,
    workload: &Workload<'_>,
    pod: &PodFacts<'_>,
    resource: &str,
    fault: &super::Claim,
) -> Finding {
    let number = |text: &str| {
        if resource == "memory" || resource.contains("storage") {
            quantity::bytes(text)
        } else {
            quantity::cpu_millis(text)
        }
    };
    let requests: Vec<(&str, &str, u64)> = pod
        .pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .filter_map(|container| {
            let asked = container.resources.as_ref()?.requests.as_ref()?.get(resource)?;
            Some((container.name.as_str(), asked.0.as_str(), number(&asked.0)?))
        })
        .collect();
    let total: u64 = requests.iter().map(|(_, _, value)| *value).fold(0, u64::saturating_add);
    let nodes: Vec<(u64, &str, &str)> = view
        .facts
        .case
        .all::<Node>()
        .filter_map(|(_, node, id)| {
            let text = node.status.as_ref()?.allocatable.as_ref()?.get(resource)?.0.as_str();
            Some((number(text)?, text, id))
        })
        .collect();
    let biggest = nodes.iter().max_by_key(|(value, _, _)| *value);
    let asked = requests.iter().map(|(_, text, _)| *text).collect::<Vec<_>>().join("+");
    let never = biggest.is_some_and(|(value, _, _)| *value < total);
    let compare = match biggest {
        Some((_, text, _)) if never => format!(", more than any node has ({text})"),
        Some(_) => ", more than any node has free".to_owned(),
        None => String::new(),
    };
    let asked = if asked.is_empty() {
        "what they need".to_owned()
    } else {
        asked
    };
    let largest = requests.iter().max_by_key(|(_, _, value)| *value);
    let remedy = match largest {
        Some((container, text, _)) => Remedy::Resources {
            container: ContainerRef {
                workload: workload.name.clone(),
                container: (*container).to_owned(),
            },
            field: format!("requests.{resource}"),
            from: Some((*text).to_owned()),
            to: None,
        },
        None => Remedy::Manual {
            instruction: format!("add a node with enough {resource}"),
        },
    };
    fault
        .clone()
        .says(format!(
            "pods of {} cannot be scheduled: they request {asked} {resource}{compare}: insufficient {resource}",
            workload.name
        ))
        .cites(biggest.map(|(_, _, id)| *id))
        .remedy(remedy)
        .long_term(format!(
            "set the {resource} request to what the program uses, or let a cluster autoscaler add nodes"
        ))
        .done()
}

fn taints(view: &View<'_>, taint: &str, pods: &str, workload: &Workload<'_>, fault: &super::Claim) -> Finding {
    if taint.contains("node.kubernetes.io/unschedulable") {
        return cordoned(view, pods, fault);
    }
    let not_ready = taint.contains("not-ready") || taint.contains("unreachable");
    let node = view.facts.case.all::<Node>().find(|(_, node, _)| {
        node.spec
            .as_ref()
            .is_some_and(|spec| spec.taints.iter().flatten().any(|t| taint.contains(t.key.as_str())))
    });
    let advice = if not_ready {
        "bring the node back".to_owned()
    } else {
        format!(
            "let {} tolerate the taint where that is meant, or remove the taint",
            workload.name
        )
    };
    fault
        .clone()
        .says(format!(
            "{pods} cannot be scheduled: they do not tolerate the node's taint {{{taint}}}"
        ))
        .cites(node.as_ref().map(|(_, _, id)| *id))
        .manual(advice)
        .done()
}

fn cordoned(view: &View<'_>, pods: &str, fault: &super::Claim) -> Finding {
    let nodes: Vec<(&ObjectName, &str)> = view
        .facts
        .case
        .all::<Node>()
        .filter(|(_, node, _)| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)))
        .map(|(name, _, id)| (name, id))
        .collect();
    let names: Vec<String> = nodes.iter().map(|(name, _)| name.name.clone()).collect();
    let mut done = fault
        .clone()
        .says(format!(
            "{pods} cannot be scheduled: the nodes that would fit are cordoned ({})",
            names.join(", ")
        ))
        .cites(nodes.iter().map(|(_, id)| *id))
        .remedy(
            nodes
                .first()
                .map(|(name, _)| Remedy::UncordonNode { node: (*name).clone() }),
        )
        .done();
    "NodesCordoned".clone_into(&mut done.category);
    done
}
